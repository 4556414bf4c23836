//! What can be chosen about a storage.

use std::time::Duration;

/// How a storage works. The defaults suit a station on a machine of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Units of work that can be open at once, each with a connection. As many as there are call threads; more would
    /// only be idle. Forty connections take some 30 MB when all are in use.
    pub units_max: usize,
    /// Bytes that the tables and indices of one module may take. 256 MiB, so that on a small disk some modules may be
    /// full before the disk is.
    pub data_bytes_max: u64,
    /// Rows that the tables of one module may have together. Ten million, which at 26 bytes each are the bytes above;
    /// more is some mistake in a loop.
    pub data_rows_max: u64,
    /// How long the migrations of one module may take. Nobody else writes in that time, and units that want to wait
    /// ten seconds at most; so a longer one is for a quiet hour.
    pub migration_max: Duration,
    /// Whether the station brings the WAL back into the database. Not when Litestream does.
    pub checkpoints: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            units_max: 40,
            data_bytes_max: 256 << 20,
            data_rows_max: 10_000_000,
            migration_max: Duration::from_secs(30),
            checkpoints: true,
        }
    }
}
