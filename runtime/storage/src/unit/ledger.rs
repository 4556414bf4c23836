//! What is committed, and up to where it is on the disk.
//!
//! Every commit of the station, the registry's included, has a number. Three of them matter:
//!
//! - `begun`, the newest commit that somebody *may* see: counted before `COMMIT` is run;
//! - `done`, the newest commit whose `COMMIT` has returned: counted after it;
//! - `durable`, the newest commit that was flushed.
//!
//! A commit becomes visible somewhere inside `COMMIT`, so no single number could be right at that moment. A reader
//! that pins its snapshot and *then* takes `begun` has every commit that it can see, and at most one that it cannot:
//! `begun` was raised before that commit could be seen. The flusher takes `done`, syncs, and *then* publishes it:
//! what it publishes was in the file before the sync began. Waiting for the one that is between the two is waiting
//! for a commit that ends by itself, because `done` follows also when `COMMIT` fails or its thread panics.
//!
//! `done = n` means that all commits up to `n` have returned, and not only that one, because commits are counted while
//! their thread holds the [`Gate`](super::gate::Gate), one at a time.
//!
//! A flush that fails poisons the ledger for good. The system reports a lost page once and then forgets it, so that
//! the next flush would succeed without the data being there; only a restart reads what the disk has.

use crate::Fault;
use station_kernel::ports::Stopped;
use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The numbers, and who waits for them.
#[derive(Debug)]
pub(crate) struct Ledger {
    marks: Mutex<Marks>,
    /// A commit has returned, or the storage is being closed.
    changed: Condvar,
    /// The storage is being closed. Apart, so that who naps is not woken at every commit.
    closed: Condvar,
    durable: watch::Sender<Durable>,
}

#[derive(Debug, Default)]
struct Marks {
    begun: u64,
    done: u64,
    closing: bool,
}

/// Up to where everything is on the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    mark: u64,
    stopped: Option<Stopped>,
}

/// A commit that was counted and whose `COMMIT` is running. Dropped, it has ended, well or not.
#[derive(Debug)]
pub(crate) struct Promise<'a> {
    ledger: &'a Ledger,
    /// The number of the commit.
    pub(crate) mark: u64,
}

/// Why a thread that waited goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Commits up to this one have returned.
    Done(u64),
    /// Nothing was committed for as long as it waited.
    Nothing,
    /// The storage is being closed, and there is nothing left to do.
    Closing,
}

impl Ledger {
    /// A ledger without commits.
    pub(crate) fn new() -> Self {
        let durable = watch::Sender::new(Durable::default());
        Self { marks: Mutex::default(), changed: Condvar::new(), closed: Condvar::new(), durable }
    }

    /// The newest commit that a snapshot can show which was pinned before this is called.
    pub(crate) fn begun(&self) -> u64 {
        self.marks().begun
    }

    /// Counts a commit. Only while holding the gate, and right before `COMMIT`.
    pub(crate) fn promise(&self) -> Promise<'_> {
        let mut marks = self.marks();
        marks.begun += 1;
        Promise { ledger: self, mark: marks.begun }
    }

    /// Waits until a commit after `seen` has returned, or for `wait_max`.
    pub(crate) fn news(&self, seen: u64, wait_max: Option<Duration>) -> News {
        let until = wait_max.map(|wait| Instant::now() + wait);
        let mut marks = self.marks();
        loop {
            match &*marks {
                Marks { done, .. } if *done > seen => return News::Done(*done),
                Marks { closing: true, .. } => return News::Closing,
                _ => {}
            }
            let Some(left) = until.map_or(Some(Duration::MAX), |until| until.checked_duration_since(Instant::now()))
            else {
                return News::Nothing;
            };
            marks = self.wait(marks, left);
        }
    }

    /// Sleeps, and wakes early when the storage is being closed: then true.
    pub(crate) fn nap(&self, length: Duration) -> bool {
        let waited = self.closed.wait_timeout_while(self.marks(), length, |marks| !marks.closing);
        waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    fn wait<'a>(&self, marks: MutexGuard<'a, Marks>, at_most: Duration) -> MutexGuard<'a, Marks> {
        self.changed.wait_timeout(marks, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Tells everybody that commits up to `mark` are on the disk. Not after a failure.
    pub(crate) fn publish(&self, mark: u64) {
        self.durable.send_if_modified(|durable| {
            let news = durable.stopped.is_none() && mark > durable.mark;
            durable.mark = if news { mark } else { durable.mark };
            news
        });
    }

    /// Tells everybody that the disk refused. For good, and the log once: all that is refused later is refused for
    /// this.
    pub(crate) fn poison(&self, error: &io::Error) {
        self.durable.send_if_modified(|durable| {
            let first = durable.stopped.is_none();
            if first {
                tracing::error!(%error, "the disk refused to flush; nothing is written until the station is started again");
                durable.stopped = Some(Stopped(format!(
                    "the disk refused to flush the database ({error}); start the station again to see what it has kept"
                )));
            }
            first
        });
    }

    /// Poisons the ledger if `fault` says that one of SQLite's own flushes failed.
    pub(crate) fn beware(&self, fault: &Fault) {
        const UNFLUSHED: [i32; 2] = [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC];
        let Fault::Sqlite(error) = fault else { return };
        if error.sqlite_error().is_some_and(|error| UNFLUSHED.contains(&error.extended_code)) {
            self.poison(&io::Error::other(error.to_string()));
        }
    }

    /// Refuses when a flush has failed.
    pub(crate) fn healthy(&self) -> Result<(), Fault> {
        self.durable.borrow().healthy()
    }

    /// For who waits until a mark is durable.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    /// Ends the threads that wait for [`news`](Self::news).
    pub(crate) fn close(&self) {
        self.marks().closing = true;
        self.changed.notify_all();
        self.closed.notify_all();
    }

    /// Nothing can leave the numbers half changed, so a panic elsewhere is no reason to stop.
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durable {
    /// True when there is an answer about `mark`.
    pub(crate) fn settles(&self, mark: u64) -> bool {
        self.stopped.is_some() || self.mark >= mark
    }

    /// Refuses when a flush has failed.
    pub(crate) fn healthy(&self) -> Result<(), Fault> {
        self.stopped.clone().map_or(Ok(()), |stopped| Err(stopped.into()))
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        let mut marks = self.ledger.marks();
        marks.done = marks.done.max(self.mark);
        drop(marks);
        self.ledger.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn a_commit_is_begun_before_it_is_done() {
        let ledger = Ledger::new();
        let promise = ledger.promise();
        assert_eq!((promise.mark, ledger.begun()), (1, 1));
        assert_eq!(ledger.news(0, NOW), News::Nothing);
        drop(promise);
        assert_eq!(ledger.news(0, NOW), News::Done(1));
        assert_eq!(ledger.news(1, NOW), News::Nothing);
    }

    #[test]
    fn closing_comes_after_the_last_news() {
        let ledger = Ledger::new();
        drop(ledger.promise());
        ledger.close();
        assert_eq!(ledger.news(0, None), News::Done(1));
        assert_eq!(ledger.news(1, None), News::Closing);
        assert!(ledger.nap(Duration::from_secs(60)));
    }

    #[test]
    fn nothing_is_durable_after_a_failure() {
        let ledger = Ledger::new();
        ledger.publish(1);
        assert!(ledger.subscribe().borrow().settles(1));
        ledger.poison(&io::Error::other("worn out"));
        ledger.publish(2);
        let durable = ledger.subscribe().borrow().clone();
        assert_eq!(durable.mark, 1);
        assert!(durable.settles(7) && durable.healthy().is_err() && ledger.healthy().is_err());
    }
}
