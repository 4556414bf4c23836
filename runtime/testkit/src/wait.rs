//! Waiting for a state of affairs.

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine with two cores.
pub const WAIT_S_MAX: u64 = 20;

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none in time, with `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(WAIT_S_MAX);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {WAIT_S_MAX} s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
