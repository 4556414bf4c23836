//! What is sent, and who sends it.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Does something so many times, and says how long that took.
pub(crate) type Timed = Box<dyn FnMut(u64) -> Duration>;

/// One thing to measure.
pub(crate) struct Case {
    pub(crate) payload: Payload,
    pub(crate) contender: Contender,
    pub(crate) timed: Timed,
}

/// What a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Two scalars there and one back.
    Add,
    /// So many bytes there, and their number back.
    OneWay(u32),
    /// So many bytes there and back.
    BothWays(u32),
}

/// Who makes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Brokered,
    Composed,
    HostToGuest,
    BothCrossings,
    Memcpy,
}

impl Payload {
    pub(crate) const ALL: [Self; 9] = [
        Self::Add,
        Self::OneWay(64),
        Self::BothWays(64),
        Self::OneWay(KIB),
        Self::BothWays(KIB),
        Self::OneWay(64 * KIB),
        Self::BothWays(64 * KIB),
        Self::OneWay(MIB),
        Self::BothWays(MIB),
    ];

    /// Bytes of a list in one direction; none for scalars.
    pub(crate) fn bytes(self) -> Option<u32> {
        match self {
            Self::Add => None,
            Self::OneWay(bytes) | Self::BothWays(bytes) => Some(bytes),
        }
    }

    /// The function of `payload-source` that sends it again and again.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Add => "loop-add",
            Self::OneWay(_) => "send",
            Self::BothWays(_) => "round",
        }
    }

    /// The arguments of that function.
    pub(crate) fn arguments(self, times: u64) -> Vec<Value> {
        match self {
            Self::Add => vec![json!(times)],
            Self::OneWay(bytes) | Self::BothWays(bytes) => vec![json!(bytes), json!(times)],
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: &u32| match *bytes {
            bytes if bytes < KIB => format!("{bytes} B"),
            bytes if bytes < MIB => format!("{} KiB", bytes / KIB),
            bytes => format!("{} MiB", bytes / MIB),
        };
        match self {
            Self::Add => f.write_str("add(u32, u32)"),
            Self::OneWay(bytes) => write!(f, "{} one way", size(bytes)),
            Self::BothWays(bytes) => write!(f, "{} both ways", size(bytes)),
        }
    }
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brokered => "brokered",
            Self::Composed => "composed",
            Self::HostToGuest => "host to guest",
            Self::BothCrossings => "both crossings",
            Self::Memcpy => "memcpy",
        }
    }
}

/// Times a loop of `work`.
pub(crate) fn time<T>(times: u64, mut work: impl FnMut() -> T) -> Duration {
    let start = processor_time();
    for _ in 0..times {
        black_box(work());
    }
    processor_time().saturating_sub(start)
}

/// Processor time of this process, all threads together: a call tree runs on one of its own. Nothing here waits, so on
/// an idle machine it is wall time; on a busy one, wall time would mostly tell who else was served.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(now.tv_sec.unsigned_abs()) + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}
