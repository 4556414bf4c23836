//! Medians and percentiles.

use std::time::Duration;

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
