//! How much a statement may answer with.

use station_kernel::work::Caps;

/// Checked limits of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Rows of one result. The host keeps them all before the guest reads the first, so that no statement stays open
    /// while guest code runs; a hundred thousand is more than anybody reads, and an export goes by key, page by page.
    pub rows_max: usize,
    /// Bytes of one result: 16 MiB, as a batch of `wasi:keyvalue`.
    pub bytes_max: usize,
    /// Rows of all results together that one instance has and has not read: two full ones, so that a module can
    /// compare one with another.
    pub live_rows_max: usize,
    /// Bytes of the same.
    pub live_bytes_max: usize,
    /// Bytes of the names of a result's columns. SQLite gives two thousand columns any name that fits the statement.
    pub column_bytes_max: usize,
    /// Rows of one page. A guest that asks for more gets this many, so that it needs no large buffer.
    pub page_rows_max: usize,
    /// Bytes of one page, unless its only row is bigger.
    pub page_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rows_max: 100_000,
            bytes_max: 16 << 20,
            live_rows_max: 200_000,
            live_bytes_max: 32 << 20,
            column_bytes_max: 1 << 20,
            page_rows_max: 1_000,
            page_bytes_max: 1 << 20,
        }
    }
}

impl Settings {
    /// What one statement may answer with.
    pub(super) fn caps(&self) -> Caps {
        Caps { rows_max: self.rows_max, bytes_max: self.bytes_max }
    }
}
