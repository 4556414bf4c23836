//! Call threads.
//!
//! A call tree owns one plain thread from its first to its last instruction: never a worker of the async runtime,
//! so that nested calls are ordinary calls and a wait in one tree delays nobody else. The pool grows to
//! `threads_max`, keeps its threads, and queues at most `queue_max` calls; beyond that the station is busy.
//!
//! Waking a thread costs more than a small call, so no more compute at one time than there are cores: a call that comes
//! meanwhile is taken by the first of them that has done its own. A thread that waits does not count, nor one that
//! has computed for a whole tick, so that a short call never waits for the end of a long one.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

/// Native stack of a call thread: depth 12, each with 256 KiB of wasm stack and the host frames between.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Threads that may compute at one time on a machine with fewer cores.
const COMPUTING_MIN: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// A bounded pool of call threads.
pub struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Mutex<Pool>,
    threads_max: usize,
    queue_max: usize,
    /// Threads that may compute at one time, those left out that have done so for a tick.
    computing_max: usize,
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct Pool {
    queue: VecDeque<Job>,
    /// Threads that sleep. The last to fall asleep is the first to be woken: its stack and its caches are warm.
    asleep: Vec<Arc<Sleeper>>,
    /// What each thread does.
    seats: Vec<Seat>,
    /// Threads that are awake and count: they compute, or are about to look for a job.
    computing: usize,
    /// Threads that have a job.
    running: usize,
    ticks: u64,
    closed: bool,
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// It has no job.
    Free,
    /// It computes since this tick.
    Computing(u64),
    /// It has computed for a tick, or is blocked and did not say so. It does not count any more.
    Long,
    /// It waits for something outside and leaves its core to others.
    Waiting,
}

/// A thread that can be woken.
struct Sleeper {
    number: usize,
    thread: thread::Thread,
    woken: AtomicBool,
}

/// There is neither a thread nor a place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all call threads are taken and the queue is full")]
pub struct Busy;

impl Threads {
    /// A pool that starts threads as they are needed. `runtime` is entered on each of them.
    pub fn new(threads_max: usize, queue_max: usize, runtime: tokio::runtime::Handle) -> Self {
        let cores = thread::available_parallelism().map_or(COMPUTING_MIN, std::num::NonZero::get);
        let computing_max = cores.max(COMPUTING_MIN);
        let shared = Shared { pool: Mutex::default(), threads_max, queue_max, computing_max, runtime };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `job` on a call thread, now or when one is free.
    ///
    /// # Errors
    /// [`Busy`], and then the job was dropped without running.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let mut pool = self.shared.lock();
        if pool.running + pool.queue.len() >= self.shared.threads_max + self.shared.queue_max {
            return Err(Busy);
        }
        pool.queue.push_back(Box::new(job));
        let woken = self.shared.find_worker(&mut pool);
        if pool.seats.is_empty() {
            // No thread could be started, so nobody would ever take the job.
            pool.queue.clear();
            return Err(Busy);
        }
        drop(pool);
        wake(woken);
        Ok(())
    }

    /// Calls that wait for a thread.
    pub fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// What ticks this pool; see [`Ticker::tick`].
    pub fn ticker(&self) -> Ticker {
        Ticker(Arc::downgrade(&self.shared))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut pool = self.shared.lock();
        pool.closed = true;
        let asleep = std::mem::take(&mut pool.asleep);
        pool.computing += asleep.len();
        drop(pool);
        wake(asleep);
    }
}

/// Ticks a pool for as long as there is one.
pub struct Ticker(Weak<Shared>);

impl Ticker {
    /// Counts no longer who has computed since the last tick, and has others take what is queued: a call that computes for
    /// long must not keep short ones waiting, nor one that blocks without saying so.
    pub fn tick(&self) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut pool = shared.lock();
        pool.tick();
        let queued = pool.queue.len();
        let woken: Vec<_> = (0..queued).filter_map(|_| shared.find_worker(&mut pool)).collect();
        drop(pool);
        wake(woken);
    }
}

impl Pool {
    fn tick(&mut self) {
        let (last, mut long) = (self.ticks, 0);
        for seat in &mut self.seats {
            if matches!(seat, Seat::Computing(since) if *since < last) {
                *seat = Seat::Long;
                long += 1;
            }
        }
        self.computing -= long;
        self.ticks += 1;
    }

    /// Notes what a thread does from now on, and counts it or not.
    fn seat(&mut self, number: usize, now: Seat) {
        let Some(seat) = self.seats.get_mut(number) else { return };
        let counts = |seat| matches!(seat, Seat::Free | Seat::Computing(_));
        let before = std::mem::replace(seat, now);
        self.computing += usize::from(counts(now));
        self.computing -= usize::from(counts(before));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sleeping thread to be woken for a job in the queue; one is started where none sleeps. None when as many compute
    /// as there are cores: the first of them that is done takes the job, and nobody pays for being woken.
    fn find_worker(self: &Arc<Self>, pool: &mut Pool) -> Option<Arc<Sleeper>> {
        if pool.queue.is_empty() || pool.computing >= self.computing_max {
            return None;
        }
        let woken = pool.asleep.pop();
        if woken.is_some() {
            pool.computing += 1;
        } else if pool.seats.len() < self.threads_max {
            self.start_thread(pool);
        }
        woken
    }

    fn start_thread(self: &Arc<Self>, pool: &mut Pool) {
        let (shared, number) = (Arc::clone(self), pool.seats.len());
        let named = thread::Builder::new().name(format!("call-{number}")).stack_size(STACK_BYTES);
        match named.spawn(move || serve(&shared, number)) {
            Ok(_) => {
                pool.seats.push(Seat::Free);
                pool.computing += 1;
            }
            // With some threads the job may wait for one of them.
            Err(error) => tracing::warn!(%error, "could not start another call thread"),
        }
    }

    /// The next job for a thread that has none.
    fn next<'a>(&'a self, me: &Arc<Sleeper>, mut pool: MutexGuard<'a, Pool>) -> Option<Job> {
        loop {
            if let Some(job) = pool.queue.pop_front() {
                let now = pool.ticks;
                pool.seat(me.number, Seat::Computing(now));
                pool.running += 1;
                return Some(job);
            }
            if pool.closed {
                return None;
            }
            pool = self.sleep(me, pool);
        }
    }

    /// Sleeps until somebody has work, and has counted this thread.
    fn sleep<'a>(&'a self, me: &Arc<Sleeper>, mut pool: MutexGuard<'a, Pool>) -> MutexGuard<'a, Pool> {
        pool.computing -= 1;
        pool.asleep.push(Arc::clone(me));
        drop(pool);
        while !me.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
        self.lock()
    }

    /// Ends a job. A thread that is one too many, as others came back from waiting, leaves the queue to them.
    fn ended<'a>(&'a self, me: &Arc<Sleeper>) -> MutexGuard<'a, Pool> {
        let mut pool = self.lock();
        pool.running -= 1;
        pool.seat(me.number, Seat::Free);
        if pool.computing > self.computing_max && !pool.closed {
            pool = self.sleep(me, pool);
        }
        pool
    }
}

fn wake(sleepers: impl IntoIterator<Item = Arc<Sleeper>>) {
    for sleeper in sleepers {
        sleeper.woken.store(true, Ordering::Release);
        sleeper.thread.unpark();
    }
}

fn serve(shared: &Arc<Shared>, number: usize) {
    let _entered = shared.runtime.enter();
    mark_stack_base();
    SEAT.set(Some((Arc::clone(shared), number)));
    let me = Arc::new(Sleeper { number, thread: thread::current(), woken: AtomicBool::new(false) });
    let mut pool = shared.lock();
    while let Some(job) = shared.next(&me, pool) {
        job();
        drop(BEFORE_WAIT.take());
        pool = shared.ended(&me);
    }
}

thread_local! {
    /// The pool that this thread belongs to, and its number there.
    static SEAT: RefCell<Option<(Arc<Shared>, usize)>> = const { RefCell::new(None) };
    /// What is to be done before the call on this thread waits.
    static BEFORE_WAIT: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Has `work` done when the call on this thread waits for the first time from now on, or has computed for a tick; not at
/// all when it ends before that. An earlier one that was not done is forgotten.
pub fn before_wait(work: impl FnOnce() + 'static) {
    BEFORE_WAIT.set(Some(Box::new(work)));
}

/// Does what [`before_wait`] asked for.
pub fn do_before_wait() {
    if let Some(work) = BEFORE_WAIT.take() {
        work();
    }
}

/// Waits, and lets another call compute meanwhile. Whatever waits on a call thread does so in here; what does not keeps
/// others back for a tick.
pub(crate) fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    do_before_wait();
    let seat = SEAT.with_borrow(Clone::clone);
    let _waits = seat.as_ref().map(|(shared, number)| Waits::begin(shared, *number));
    wait()
}

/// A thread that waits, until this is dropped.
struct Waits<'a> {
    shared: &'a Arc<Shared>,
    number: usize,
}

impl<'a> Waits<'a> {
    fn begin(shared: &'a Arc<Shared>, number: usize) -> Self {
        let mut pool = shared.lock();
        pool.seat(number, Seat::Waiting);
        let woken = shared.find_worker(&mut pool);
        drop(pool);
        wake(woken);
        Self { shared, number }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut pool = self.shared.lock();
        let now = pool.ticks;
        pool.seat(self.number, Seat::Computing(now));
    }
}

thread_local! {
    static STACK_BASE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn mark_stack_base() {
    STACK_BASE.set(stack_pointer());
}

/// About where this thread's stack ends now. The address of a local is close enough for a margin of 256 KiB.
#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// Bytes of native stack that a call on this thread may still use. Zero on a thread that is not a call thread,
/// whose stack nobody measured.
pub fn stack_left() -> usize {
    match STACK_BASE.get() {
        0 => 0,
        base => STACK_BYTES.saturating_sub(base.saturating_sub(stack_pointer())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn no_more_compute_than_there_are_cores_until_they_have_done_so_for_a_tick() {
        let runtime = runtime();
        let threads = Threads::new(99, 0, runtime.handle().clone());
        let max = threads.shared.computing_max;
        let (started, running) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for number in 0..=max {
            let (gate, started) = (Arc::clone(&gate), started.clone());
            let job = move || {
                started.send(number).unwrap();
                let _released = gate.lock().unwrap().recv();
            };
            threads.run(job).unwrap();
        }
        (0..max).for_each(|_| assert!(running.recv_timeout(Duration::from_secs(10)).unwrap() < max));
        let tick = || threads.ticker().tick();
        tick();
        assert_eq!((threads.queued(), threads.shared.lock().seats.len()), (1, max), "they may have begun just now");
        tick();
        assert_eq!(running.recv_timeout(Duration::from_secs(10)).unwrap(), max);
        drop(release);
    }

    #[test]
    fn who_waits_lets_another_compute_and_does_first_what_was_asked_for() {
        let runtime = runtime();
        let threads = Threads::new(99, 0, runtime.handle().clone());
        let max = threads.shared.computing_max;
        let (done, told) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for number in 0..=max {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            let job = move || {
                before_wait(move || done.send(number).unwrap());
                let _released = waiting(|| gate.lock().unwrap().recv());
            };
            threads.run(job).unwrap();
        }
        let mut all: Vec<_> = (0..=max).map(|_| told.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..=max).collect::<Vec<_>>());
        drop(release);
    }

    #[test]
    fn jobs_run_on_at_most_the_given_number_of_threads_and_the_rest_is_busy() {
        let runtime = runtime();
        let threads = Threads::new(2, 1, runtime.handle().clone());
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (started, running) = mpsc::channel();
        for _ in 0..2 {
            let (gate, started) = (Arc::clone(&gate), started.clone());
            let job = move || {
                started.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
            };
            threads.run(job).unwrap();
        }
        running.recv_timeout(Duration::from_secs(10)).unwrap();
        running.recv_timeout(Duration::from_secs(10)).unwrap();
        let (done, finished) = mpsc::channel();
        threads.run(move || done.send(()).unwrap()).unwrap();
        assert_eq!(threads.run(|| ()), Err(Busy));
        drop(release);
        finished.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_call_thread_knows_its_stack_and_another_thread_does_not() {
        let runtime = runtime();
        let threads = Threads::new(1, 0, runtime.handle().clone());
        let (send, receive) = mpsc::channel();
        threads.run(move || send.send(stack_left()).unwrap()).unwrap();
        let left = receive.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(left > STACK_BYTES - 256 * 1024 && left <= STACK_BYTES, "{left}");
        assert_eq!(stack_left(), 0);
    }
}
