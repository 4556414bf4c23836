//! What is sent, and who sends it.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::fmt;
use std::hint::black_box;
use std::iter::Sum;
use std::ops::Add;
use std::time::{Duration, Instant};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
/// Bytes in the strings of the record.
const RECORD: u32 = 6 * 27;
/// Calls of [`Payload::Deep`].
pub(crate) const DEEP: u64 = 5;

/// Does something so many times, and says how long that took.
pub(crate) type Timed = Box<dyn FnMut(u64) -> Took>;

/// How long something took. Ours and its references of this run are compared by processor time, which on an idle
/// machine is the same; those who wait for another process by the clock on the wall, and so they need ours by it, too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) processor: Duration,
    pub(crate) wall: Duration,
}

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
    /// The same through five brokered calls, one within the other.
    Deep,
    /// A string of so many bytes there and back.
    Text(u32),
    /// A record of a string and a list of five there and back, about 25 bytes each.
    Record,
    /// So many bytes there, and their number back.
    OneWay(u32),
    /// So many bytes there and back.
    BothWays(u32),
}

/// Who makes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Brokered,
    Dynamic,
    Composed,
    HostToGuest,
    BothCrossings,
    OneInsideTheOther,
    OneCall,
    Memcpy,
}

impl Payload {
    pub(crate) const ALL: [Self; 12] = [
        Self::Add,
        Self::Deep,
        Self::Text(64),
        Self::Record,
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
            Self::Add | Self::Deep => None,
            Self::Record => Some(RECORD),
            Self::Text(bytes) | Self::OneWay(bytes) | Self::BothWays(bytes) => Some(bytes),
        }
    }

    /// Calls from module to module that one turn makes.
    pub(crate) fn calls(self) -> u64 {
        if self == Self::Deep { DEEP } else { 1 }
    }

    /// The function of `payload-source` that sends it again and again.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Add | Self::Deep => "loop-add",
            Self::Text(_) => "texts",
            Self::Record => "entries",
            Self::OneWay(_) => "send",
            Self::BothWays(_) => "round",
        }
    }

    /// The arguments of that function.
    pub(crate) fn arguments(self, times: u64) -> Vec<Value> {
        match self {
            Self::Add | Self::Deep | Self::Record => vec![json!(times)],
            Self::Text(bytes) | Self::OneWay(bytes) | Self::BothWays(bytes) => vec![json!(bytes), json!(times)],
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
            Self::Deep => f.write_str("add, five deep"),
            Self::Text(bytes) => write!(f, "string {}", size(bytes)),
            Self::Record => f.write_str("record, 6 strings"),
            Self::OneWay(bytes) => write!(f, "{} one way", size(bytes)),
            Self::BothWays(bytes) => write!(f, "{} both ways", size(bytes)),
        }
    }
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brokered => "brokered",
            Self::Dynamic => "dynamic lane",
            Self::Composed => "composed",
            Self::HostToGuest => "host to guest",
            Self::BothCrossings => "both crossings",
            Self::OneInsideTheOther => "one in the other",
            Self::OneCall => "one brokered call",
            Self::Memcpy => "memcpy",
        }
    }
}

/// Times a loop of `work`.
pub(crate) fn time<T>(times: u64, mut work: impl FnMut() -> T) -> Took {
    let (start, wall) = (processor_time(), Instant::now());
    for _ in 0..times {
        black_box(work());
    }
    Took { processor: processor_time().saturating_sub(start), wall: wall.elapsed() }
}

impl Took {
    /// What is left without `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        let wall = self.wall.saturating_sub(other.wall);
        Self { processor: self.processor.saturating_sub(other.processor), wall }
    }
}

impl Add for Took {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { processor: self.processor + other.processor, wall: self.wall + other.wall }
    }
}

impl Sum for Took {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Processor time of this process, all threads together: a call tree runs on one of its own. Nothing here waits, so on
/// an idle machine it is wall time; on a busy one, wall time would mostly tell who else was served.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(now.tv_sec.unsigned_abs()) + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}
