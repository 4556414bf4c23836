//! How much of the database is a module's.
//!
//! Counted in whole pages, where a statement of the module changes how many are in use: the difference is the
//! module's, because nobody else writes in that time. Rows that fit into a page the module already has cost nothing,
//! and what is deleted comes back when a page is empty. The number is a column of the same transaction, so it is
//! undone with what it counts.
//!
//! What a statement takes is known only after it. One that takes too much is undone then; what it wrote on the way is
//! bounded by the time and fuel of its call.

use crate::{Fault, sql::Desk};
use rusqlite::{Connection, params};
use station_kernel::work::SqlError;

/// What modules may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    /// Bytes of a page.
    pub(crate) page_bytes: u64,
    /// Bytes of all pages of one module.
    pub(crate) data_bytes_max: u64,
    /// Rows of all tables of one module.
    pub(crate) data_rows_max: u64,
}

/// Pages in use, as the open transaction sees it.
pub(crate) fn pages(desk: &mut Desk) -> Result<i64, Fault> {
    Ok(desk.station(|db| Ok(number(db, "PRAGMA page_count")? - number(db, "PRAGMA freelist_count")?))?)
}

fn number(db: &Connection, sql: &str) -> rusqlite::Result<i64> {
    db.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

impl Quota {
    /// True if nobody may have so many rows.
    pub(crate) fn exceeded(&self, rows: i64) -> bool {
        rows.unsigned_abs() > self.data_rows_max
    }

    /// Counts pages that a statement of `module` took or gave back. The inner error is for the module: it has too
    /// many now.
    pub(crate) fn count(&self, desk: &mut Desk, module: i64, pages: i64) -> Result<Result<(), SqlError>, Fault> {
        let bytes = pages.saturating_mul(self.page_bytes.cast_signed());
        let used = desk.station(|db| add(db, module, bytes))?;
        let max = self.data_bytes_max;
        Ok(match bytes > 0 && used.unsigned_abs() > max {
            true => Err(SqlError::Limit { name: "data_bytes", max }),
            false => Ok(()),
        })
    }
}

/// Counts `bytes` more, or less, and says how many there are now.
fn add(db: &Connection, module: i64, bytes: i64) -> rusqlite::Result<i64> {
    let sql = "UPDATE modules SET sql_bytes = max(sql_bytes + ?2, 0) WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![module, bytes])?;
    db.prepare_cached("SELECT sql_bytes FROM modules WHERE id = ?1")?.query_row([module], |row| row.get(0))
}
