//! Instances that have served their call tree and wait to be thrown away.
//!
//! Unmapping what an instance had takes longer than a small call, and nobody who asked needs to wait for it: by default the
//! thread that has answered does it afterwards, before it makes a spare. What the host held for the instance is gone at
//! once, and its place and its memory count as free from the end of its tree on, so that whoever asks next finds them;
//! that they still lie there is noticed by none but the engine's own pool. Where that is full, a new instance waits for these.

use crate::live::Live;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a new instance waits until others have thrown away what they took. That takes microseconds.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Instances that nobody will use again.
#[derive(Default)]
pub(crate) struct Used {
    heap: Mutex<Heap>,
    thrown: Condvar,
}

#[derive(Default)]
struct Heap {
    #[expect(clippy::vec_box, reason = "they come in boxes, and to unpack one is to move it")]
    waiting: Vec<Box<Live>>,
    /// Threads that throw some away now.
    throwing: usize,
}

/// A thread that throws some away, until this is dropped.
struct Throwing<'a>(&'a Used);

impl Drop for Throwing<'_> {
    fn drop(&mut self) {
        self.0.lock().throwing -= 1;
        self.0.thrown.notify_all();
    }
}

impl Used {
    /// Adds an instance that has been unbound from its tree.
    pub(crate) fn add(&self, mut live: Box<Live>) {
        live.retire();
        self.lock().waiting.push(live);
    }

    /// Throws all away that wait.
    pub(crate) fn throw_away(&self) {
        let mut heap = self.lock();
        if heap.waiting.is_empty() {
            return;
        }
        heap.throwing += 1;
        let taken = std::mem::take(&mut heap.waiting);
        drop(heap);
        let _throwing = Throwing(self);
        drop(taken);
    }

    /// Throws all away, and waits for what others throw away. False when there was nothing.
    pub(crate) fn make_room(&self) -> bool {
        let heap = self.lock();
        let any = !heap.waiting.is_empty() || heap.throwing > 0;
        drop(heap);
        self.throw_away();
        let waited = self.thrown.wait_timeout_while(self.lock(), WAIT_MAX, |heap| heap.throwing > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        any
    }

    fn lock(&self) -> MutexGuard<'_, Heap> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
