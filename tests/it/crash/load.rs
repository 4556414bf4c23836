//! Clients at work, several at once, until they have written enough or nobody answers any more.

use super::client::Client;
use super::workload::{History, Mark, Outcome, Workload};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// How much is written at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) round: u32,
    pub(crate) writers: u32,
    /// How much each of them writes at most.
    pub(crate) each_max: u32,
}

impl Load {
    /// Lets the clients write; `meanwhile` is told of each acknowledgement as it arrives. Ends when all clients have.
    pub(crate) fn run(
        self,
        workload: &dyn Workload,
        client: &Client,
        meanwhile: impl FnOnce(&Receiver<Mark>),
    ) -> History {
        let mut history = History::default();
        thread::scope(|scope| {
            let (tell, told) = channel();
            let start = |writer| {
                let tell = tell.clone();
                scope.spawn(move || self.writer(workload, client, writer, &tell))
            };
            let writers: Vec<_> = (0..self.writers).map(start).collect();
            drop(tell);
            meanwhile(&told);
            for writer in writers {
                history.join(writer.join().unwrap());
            }
        });
        history
    }

    /// One client, one write after the other. Who gets no answer stops.
    fn writer(self, workload: &dyn Workload, client: &Client, writer: u32, tell: &Sender<Mark>) -> History {
        let mut history = History::default();
        for number in 0..self.each_max {
            let mark = Mark { round: self.round, writer, number };
            let outcome = workload.write(client, mark);
            history.record(mark, &outcome);
            match outcome {
                Outcome::Acknowledged(_) => drop(tell.send(mark)),
                Outcome::Lost => break,
                Outcome::Refused | Outcome::Failed => {}
            }
        }
        history
    }
}
