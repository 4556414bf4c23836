//! When a call must end, and waiting until then.
//!
//! Two clocks run: the deadline of the running call (its own or that of a caller, the earlier), and, from the unit's
//! first write on, the time for which a unit may hold everybody else up.

use super::Tree;
use super::book::Book;
use crate::ports::Executor;
use crate::threads;
use station_model::{Code, Failure};
use std::sync::atomic::Ordering;

impl<E: Executor> Tree<E> {
    /// Notes time in which the tree waited for something outside and used no processor.
    pub fn note_wait(&self, us: u64) {
        self.waited_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Fails when the running call must end: cancelled, past its deadline, or writing for too long.
    ///
    /// # Errors
    /// `call.deadline`, `call.cancelled`, `station.draining`, `unit.too_long`.
    pub fn check_time(&self) -> Result<(), Failure> {
        self.cancel.check()?;
        match self.pulse.coarse_us() < self.due_us() {
            true => Ok(()),
            false => Err(self.overdue()),
        }
    }

    /// When the running call must have ended, on the pulse's clock, whatever the reason.
    pub fn due_us(&self) -> u64 {
        self.due().0.min(self.work.due_us())
    }

    fn due(&self) -> (u64, u64) {
        self.book(|book| self.due_in(book)).unwrap_or((self.deadline_us, self.deadline_ms))
    }

    pub(super) fn due_in(&self, book: &Book) -> (u64, u64) {
        book.open.last().map_or((self.deadline_us, self.deadline_ms), |open| (open.deadline_us, open.deadline_ms))
    }

    /// The failure of a call that did not end in time.
    pub fn overdue(&self) -> Failure {
        let due = self.due();
        match self.work.due_us() < due.0 {
            true => self.work.too_long(self.pulse.exact_us()),
            false => self.past(due),
        }
    }

    pub(super) fn past(&self, (due_us, due_ms): (u64, u64)) -> Failure {
        let used = due_ms.saturating_add(self.pulse.exact_us().saturating_sub(due_us) / 1_000);
        let message = format!("the call did not end within {due_ms} ms");
        Failure::new(Code::CallDeadline, message).with_limit("deadline_ms", due_ms, used)
    }

    /// Waits for `future` on this thread until the call must end, or until the tree is cancelled.
    ///
    /// # Errors
    /// As [`check_time`](Self::check_time).
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        self.check_time()?;
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Failure::new(Code::StationInternal, "a call waits on a thread that is not a call thread"))?;
        let began_us = self.pulse.exact_us();
        let deadline = self.pulse.instant(self.due_us()).into();
        let bounded = async {
            tokio::select! {
                biased;
                done = future => Ok(done),
                failure = self.cancel.cancelled() => Err(failure),
                () = tokio::time::sleep_until(deadline) => Err(self.overdue()),
            }
        };
        let outcome = threads::waiting(|| runtime.block_on(bounded));
        self.note_wait(self.pulse.exact_us().saturating_sub(began_us));
        outcome
    }
}
