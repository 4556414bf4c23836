//! How much a module may publish.

/// Checked limits of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of all events of one module that the station keeps: topics, keys, payloads, and 128 for each event. 256 MiB
    /// are a million events of the usual size.
    pub quota_bytes: u64,
    /// Bytes of one payload.
    pub payload_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quota_bytes: 256 << 20, payload_bytes_max: 1 << 20 }
    }
}
