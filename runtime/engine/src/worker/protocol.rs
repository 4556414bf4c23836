//! What the station and its compile children say to each other: a line of JSON, then machine code.

use serde::{Deserialize, Serialize};
use station_kernel::state::Metadata;
use station_model::{Failure, Location, World};

/// What a child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time in milliseconds.
    pub wall_ms_max: u64,
    /// Processor time in seconds.
    pub cpu_s_max: u64,
    /// Address space in bytes.
    pub memory_bytes: u64,
}

impl Default for Limits {
    /// JavaScript and Python components take 17 to 22 s of one core and 0.6 GB.
    fn default() -> Self {
        Self { wall_ms_max: 300_000, cpu_s_max: 180, memory_bytes: 2 << 30 }
    }
}

/// What a child that reads debug information is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Symbolize {
    pub(crate) limits: Limits,
    pub(crate) at: Vec<Location>,
}

/// The first line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Header {
    /// The component is good; its machine code follows.
    Compiled { world: World, metadata: Metadata },
    /// It is not.
    Refused(Failure),
    /// Where each of the offsets is in the source.
    Symbolized(Vec<Vec<Location>>),
}

/// An answer as it is written.
pub(crate) struct Answer<'a> {
    pub(crate) header: Header,
    pub(crate) code: &'a [u8],
}

/// Longest first line: a world of the largest size that is accepted, as JSON.
const HEADER_BYTES_MAX: usize = 64 << 20;

/// The two parts of an answer.
pub(crate) fn read(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let end = bytes.iter().take(HEADER_BYTES_MAX).position(|&b| b == b'\n')?;
    let (line, code) = bytes.split_at_checked(end)?;
    Some((serde_json::from_slice(line).ok()?, code.get(1..)?))
}
