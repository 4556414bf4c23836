//! Call threads and the pulse.
//!
//! A call tree owns one plain thread from its first to its last instruction: never a worker of the async runtime,
//! so that nested calls are ordinary calls and a wait in one tree delays nobody else. The pool grows to
//! `threads_max`, keeps its threads, and queues at most `queue_max` calls; beyond that the station is busy.
//!
//! The pulse is one more thread that ticks every 5 ms. It keeps a coarse clock, so that no call reads a real one,
//! and makes the executor look at deadlines. It must not be a task: a task starves exactly when it is needed.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Native stack of a call thread: depth 12, each with 256 KiB of wasm stack and the host frames between.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How often the pulse ticks; also how late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(5);

type Job = Box<dyn FnOnce() + Send>;

/// A bounded pool of call threads.
pub struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Mutex<Pool>,
    work: Condvar,
    threads_max: usize,
    queue_max: usize,
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct Pool {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// There is neither a thread nor a place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all call threads are taken and the queue is full")]
pub struct Busy;

impl Threads {
    /// A pool that starts threads as they are needed. `runtime` is entered on each of them.
    pub fn new(threads_max: usize, queue_max: usize, runtime: tokio::runtime::Handle) -> Self {
        let shared = Shared { pool: Mutex::default(), work: Condvar::new(), threads_max, queue_max, runtime };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `job` on a call thread, now or when one is free.
    ///
    /// # Errors
    /// [`Busy`], and then the job was dropped without running.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let mut pool = self.shared.lock();
        if pool.idle <= pool.queue.len() && pool.threads < self.shared.threads_max {
            self.start_thread(&mut pool)?;
        } else if pool.queue.len() >= pool.idle + self.shared.queue_max {
            return Err(Busy);
        }
        pool.queue.push_back(Box::new(job));
        drop(pool);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Calls that wait for a thread.
    pub fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }

    fn start_thread(&self, pool: &mut Pool) -> Result<(), Busy> {
        let shared = Arc::clone(&self.shared);
        let name = format!("call-{}", pool.threads);
        let started = thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || serve(&shared));
        match started {
            Ok(_) => pool.threads += 1,
            // Without any thread nobody would ever take the job; with some it may wait for one of them.
            Err(_) if pool.threads == 0 => return Err(Busy),
            Err(error) => tracing::warn!(%error, "could not start another call thread"),
        }
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let mut pool = self.lock();
        loop {
            if let Some(job) = pool.queue.pop_front() {
                return Some(job);
            }
            if pool.closed {
                return None;
            }
            pool.idle += 1;
            pool = self.work.wait(pool).unwrap_or_else(PoisonError::into_inner);
            pool.idle -= 1;
        }
    }
}

fn serve(shared: &Shared) {
    let _entered = shared.runtime.enter();
    mark_stack_base();
    while let Some(job) = shared.next() {
        job();
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

/// A coarse clock and what ticks it.
pub struct Pulse {
    now_us: AtomicU64,
    start: Instant,
    stopped: AtomicBool,
}

impl Pulse {
    /// Starts the pulse; `tick` runs at every beat. It ends when the last handle is dropped or [`stop`](Self::stop)
    /// is called.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Arc<Self>> {
        #[expect(clippy::disallowed_methods, reason = "the coarse clock is made from the real one")]
        let start = Instant::now();
        let pulse = Arc::new(Self { now_us: AtomicU64::new(0), start, stopped: AtomicBool::new(false) });
        let weak = Arc::downgrade(&pulse);
        thread::Builder::new().name("pulse".into()).spawn(move || {
            while let Some(pulse) = weak.upgrade().filter(|pulse| !pulse.stopped.load(Ordering::Relaxed)) {
                pulse.beat();
                drop(pulse);
                tick();
                thread::sleep(TICK);
            }
        })?;
        Ok(pulse)
    }

    fn beat(&self) {
        self.now_us.store(self.exact_us(), Ordering::Relaxed);
    }

    /// Microseconds since the start, up to one tick old. Costs one load.
    pub fn coarse_us(&self) -> u64 {
        self.now_us.load(Ordering::Relaxed)
    }

    /// Microseconds since the start. Reads the clock.
    pub fn exact_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The moment that lies `us` after the start, for a timer.
    pub fn instant(&self, us: u64) -> Instant {
        self.start.checked_add(Duration::from_micros(us)).unwrap_or(self.start)
    }

    /// Ends the pulse.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
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

    #[test]
    fn the_pulse_moves_and_stops_with_its_last_handle() {
        let (send, receive) = mpsc::channel();
        let pulse = Pulse::start(move || send.send(()).unwrap_or(())).unwrap();
        for _ in 0..3 {
            receive.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        assert!(pulse.coarse_us() > 0 && pulse.coarse_us() <= pulse.exact_us());
        drop(pulse);
        while receive.recv_timeout(Duration::from_secs(10)).is_ok() {}
    }
}
