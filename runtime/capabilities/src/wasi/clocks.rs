//! `wasi:clocks`: the time of day and a monotonic clock.
//!
//! A sleep is a pollable; waiting for it happens in `wasi:io/poll` and so ends with the call. The monotonic clock
//! counts from the first use in this process: how long the machine has been up is nobody's business.

use crate::host::{Host, fail};
use station_model::Code;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// Fuel of reading a clock; a read takes 30 to 90 ns.
const READ_FUEL: u64 = 100;
/// Fuel of making a timer.
const TIMER_FUEL: u64 = 500;
/// What both clocks say of their resolution: one nanosecond, as on every Linux that Station runs on.
const RESOLUTION_NS: u32 = 1;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl wall_clock::Host for Host<'_> {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        self.0.charge(READ_FUEL);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| fail(Code::StationInternal, "the clock of this machine is before 1970"))?;
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        self.0.charge(READ_FUEL);
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NS })
    }
}

impl monotonic_clock::Host for Host<'_> {
    fn now(&mut self) -> Result<monotonic_clock::Instant> {
        self.0.charge(READ_FUEL);
        Ok(now_ns())
    }

    fn resolution(&mut self) -> Result<monotonic_clock::Duration> {
        self.0.charge(READ_FUEL);
        Ok(u64::from(RESOLUTION_NS))
    }

    fn subscribe_instant(&mut self, when: monotonic_clock::Instant) -> Result<Resource<DynPollable>> {
        self.timer(Duration::from_nanos(when.saturating_sub(now_ns())))
    }

    fn subscribe_duration(&mut self, length: monotonic_clock::Duration) -> Result<Resource<DynPollable>> {
        self.timer(Duration::from_nanos(length))
    }
}

impl Host<'_> {
    fn timer(&mut self, length: Duration) -> Result<Resource<DynPollable>> {
        self.0.charge(TIMER_FUEL);
        let ends = if length.is_zero() { None } else { Some(tokio::time::Instant::now().checked_add(length)) };
        let timer = match ends {
            None => Timer::Past,
            Some(Some(at)) => Timer::At(at),
            Some(None) => Timer::Never,
        };
        let timer = self.0.table.push(timer)?;
        subscribe(&mut self.0.table, timer)
    }
}

fn now_ns() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// When a sleep ends.
enum Timer {
    Past,
    At(tokio::time::Instant),
    /// So far away that the clock cannot say it; the call ends first.
    Never,
}

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        match self {
            Self::Past => {}
            Self::At(at) => tokio::time::sleep_until(*at).await,
            Self::Never => std::future::pending().await,
        }
    }
}
