//! How much a module may keep.

/// Checked limits of key-value data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of all keys and values of one module. 256 MiB is what a small application needs for years, and keeps
    /// forty modules within ten gigabytes.
    pub quota_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quota_bytes: 256 << 20 }
    }
}
