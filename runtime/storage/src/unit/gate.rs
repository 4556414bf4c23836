//! Who may write: one at a time, first come first served.
//!
//! SQLite has one write lock, and whoever finds it taken sleeps and tries again. Under a steady load of short units
//! somebody who sleeps never finds it free, so the station queues its writers here before they ask SQLite: units, the
//! registry, and a checkpoint that needs writers to stand still.
//!
//! The kernel has a lock of its own, which decides the order among units; by default just one unit waits here.
//! A place in the queue ends when its [`Held`] is dropped, or when who waits gives up.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often somebody who waits looks whether to give up. A deadline is missed by no more than this.
const GLANCE: Duration = Duration::from_millis(20);

/// The queue of writers.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    queue: Mutex<Queue>,
    moved: Condvar,
}

/// Who is first holds the gate; the others wait.
#[derive(Debug, Default)]
struct Queue {
    tickets: VecDeque<u64>,
    given: u64,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    gate: Arc<Gate>,
    ticket: u64,
}

impl Gate {
    /// Waits for the right to write, at most `wait_max` and only until `give_up` says so.
    pub(crate) fn enter(self: &Arc<Self>, wait_max: Duration, give_up: impl Fn() -> bool) -> Option<Held> {
        let held = Held { gate: self.clone(), ticket: self.draw() };
        let until = Instant::now() + wait_max;
        while !self.reached(held.ticket) {
            if Instant::now() >= until || give_up() {
                return None;
            }
        }
        Some(held)
    }

    fn draw(&self) -> u64 {
        let mut queue = self.queue();
        queue.given += 1;
        let ticket = queue.given;
        queue.tickets.push_back(ticket);
        ticket
    }

    /// True when it is this ticket's turn. Waits a little for that.
    fn reached(&self, ticket: u64) -> bool {
        let behind = |queue: &mut Queue| queue.tickets.front() != Some(&ticket);
        let waited = self.moved.wait_timeout_while(self.queue(), GLANCE, behind);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !behind(&mut queue)
    }

    /// Nothing can leave the queue half changed, so a panic elsewhere is no reason to stop.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.queue().tickets.retain(|ticket| *ticket != self.ticket);
        self.gate.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    const LONG: Duration = Duration::from_secs(10);

    fn waiting(gate: &Gate) -> usize {
        gate.queue().tickets.len()
    }

    #[test]
    fn writers_pass_in_the_order_in_which_they_came() {
        let gate = Arc::new(Gate::default());
        let first = gate.enter(LONG, || false).unwrap();
        let (passed, order) = mpsc::channel();
        thread::scope(|scope| {
            for number in 0..8 {
                let (gate, passed) = (&gate, passed.clone());
                scope.spawn(move || {
                    let held = gate.enter(LONG, || false).unwrap();
                    passed.send(number).unwrap();
                    drop(held);
                });
                while waiting(gate) < number + 2 {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(order.iter().take(8).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn who_gives_up_leaves_no_place_behind() {
        let gate = Arc::new(Gate::default());
        let held = gate.enter(LONG, || false).unwrap();
        assert!(gate.enter(Duration::ZERO, || false).is_none());
        assert!(gate.enter(LONG, || true).is_none());
        assert_eq!(waiting(&gate), 1);
        drop(held);
        assert!(gate.enter(Duration::ZERO, || true).is_some());
        assert_eq!(waiting(&gate), 0);
    }
}
