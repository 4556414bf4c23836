//! Medians, percentiles, and two clocks.

use rustix::time::{ClockId, clock_gettime};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// How long something took: on the wall, and in processor time of this process, all threads together. On a machine that
/// does other things as well only the second says what a hop costs; the first is what somebody waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    pub wall: Duration,
    pub processor: Duration,
}

/// A moment on both clocks.
pub struct Moment {
    wall: Instant,
    processor: Duration,
}

impl Moment {
    pub fn now() -> Self {
        Self { wall: Instant::now(), processor: processor_time() }
    }

    pub fn elapsed(&self) -> Took {
        Took { wall: self.wall.elapsed(), processor: processor_time().saturating_sub(self.processor) }
    }
}

impl Took {
    /// What is left without `other`.
    pub fn without(self, other: Self) -> Self {
        let wall = self.wall.saturating_sub(other.wall);
        Self { wall, processor: self.processor.saturating_sub(other.processor) }
    }
}

impl AddAssign for Took {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.processor += other.processor;
    }
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(now.tv_sec.unsigned_abs()) + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}

/// The value in the middle.
pub fn median(values: Vec<f64>) -> f64 {
    percentile(values, 0.5)
}

/// The value that so many are not above.
pub fn percentile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// How long one of `times` took, in nanoseconds.
pub fn each_ns(took: Duration, times: u64) -> f64 {
    took.as_nanos() as f64 / times as f64
}
