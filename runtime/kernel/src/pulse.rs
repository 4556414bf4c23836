//! The pulse: a thread that ticks every 5 ms.
//!
//! It keeps a coarse clock, so that no call reads a real one, and makes the executor look at deadlines. It must not be a
//! task: a task starves exactly when it is needed. It ends with its last handle.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How often it ticks; also how late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(5);

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
