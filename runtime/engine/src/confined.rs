//! A value that one thread works with, without a lock.
//!
//! A call tree runs on one call thread from its beginning to its end, but it is shared with the threads that cancel it
//! and with those that drop it last. What only the call thread touches pays no lock for that: the first thread that
//! asks owns the value, and every other one is told so.

use station_kernel::ports::Confine;
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The number of nobody.
const NOBODY: u64 = 0;

static NUMBERS: AtomicU64 = AtomicU64::new(NOBODY + 1);

thread_local! {
    /// The number of this thread, given out when it is first asked for and never to another thread.
    static NUMBER: Cell<u64> = const { Cell::new(NOBODY) };
}

/// A value that belongs to the first thread that asks for it.
pub struct Confined<T> {
    owner: AtomicU64,
    /// True while somebody works with the value. Touched by the owner only.
    busy: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: of a shared `Confined` a thread other than the owner reads `owner` only, which is atomic: `with` looks at it
// before it touches anything else, it never changes once set, and numbers of threads are never given out twice. So
// `busy` and `value` are reached by one thread, which may have got the value from the one that made it: hence `T: Send`.
// That thread's view is up to date, since whatever handed it the reference synchronised with the maker. Whoever drops the
// value has it for itself.
#[expect(unsafe_code, reason = "what is shared is owned by one thread; see the proof")]
unsafe impl<T: Send> Sync for Confined<T> {}

impl<T: Send> Confine<T> for Confined<T> {
    fn new(value: T) -> Self {
        Self { owner: AtomicU64::new(NOBODY), busy: Cell::new(false), value: UnsafeCell::new(value) }
    }

    #[expect(unsafe_code, reason = "a reference that is the only one; see the proof inside")]
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.is_ours() || self.busy.replace(true) {
            return None;
        }
        let _free = Free(&self.busy);
        // SAFETY: this thread owns the value, so no other thread reaches it, and `busy` was false, so no `work` further
        // down this thread's stack holds a reference. `_free` outlives the reference made here, also when `work` panics.
        Some(work(unsafe { &mut *self.value.get() }))
    }
}

impl<T> Confined<T> {
    fn is_ours(&self) -> bool {
        let number = number();
        match self.owner.load(Relaxed) {
            NOBODY => self.owner.compare_exchange(NOBODY, number, Relaxed, Relaxed).is_ok(),
            owner => owner == number,
        }
    }
}

/// Marks the value as free again, however the work with it ended.
struct Free<'a>(&'a Cell<bool>);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn number() -> u64 {
    match NUMBER.get() {
        NOBODY => {
            NUMBER.set(NUMBERS.fetch_add(1, Relaxed));
            NUMBER.get()
        }
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Barrier};
    use std::thread;

    #[test]
    fn the_first_thread_that_asks_owns_the_value() {
        let value = Arc::new(Confined::new(vec![1]));
        let elsewhere = |value: &Arc<Confined<Vec<i32>>>| {
            let value = Arc::clone(value);
            thread::spawn(move || value.with(|value| value.push(9))).join().unwrap()
        };
        assert_eq!(value.with(|value| value.push(2)), Some(()));
        assert_eq!(elsewhere(&value), None);
        assert_eq!(value.with(|value| value.clone()), Some(vec![1, 2]));

        let other = Arc::new(Confined::new(vec![1]));
        assert_eq!(elsewhere(&other), Some(()));
        assert_eq!(other.with(|value| value.push(2)), None, "a thread that has ended still owns it");
    }

    #[test]
    fn of_many_threads_that_ask_at_once_one_gets_it() {
        let value = Arc::new(Confined::new(0));
        let start = Arc::new(Barrier::new(8));
        let ask = |_| {
            let (value, start) = (Arc::clone(&value), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                (0..1_000).filter_map(|_| value.with(|value| *value += 1)).count()
            })
        };
        let threads: Vec<_> = (0..8).map(ask).collect();
        let mut counts: Vec<usize> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 1_000]);
        assert_eq!(Arc::into_inner(value).unwrap().value.into_inner(), 1_000);
    }

    #[test]
    fn nobody_reaches_it_twice_at_a_time_and_a_panic_leaves_it_free() {
        let value = Confined::new(1);
        assert_eq!(value.with(|_| value.with(|value| *value)), Some(None));
        let panicked = catch_unwind(AssertUnwindSafe(|| value.with(|_| panic!("on the way"))));
        assert!(panicked.is_err());
        assert_eq!(value.with(|value| *value), Some(1));
    }
}
