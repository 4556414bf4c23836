//! The time of day, from the machine.

use station_kernel::Clock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's clock.
pub(crate) struct Wall;

impl Clock for Wall {
    fn now_ms(&self) -> u64 {
        // A machine whose clock is before 1970 has other worries; its times all read as 0.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
