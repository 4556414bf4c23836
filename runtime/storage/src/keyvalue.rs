//! The keys and values of modules, as statements. Units of work run them.
//!
//! The module is part of every statement, by its number, which comes of a name that the kernel knows and never of a
//! guest, so a module cannot name the data of another. Data ends with its module: removing it removes every key in
//! the same transaction. Sizes and quotas are checked by who asks; here [`used`] only counts.

use crate::{
    Fault,
    load::{rows, text},
};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The value of a key.
pub(crate) fn value(db: &Connection, id: i64, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Fault> {
    let sql = "SELECT value FROM kv WHERE module = ?1 AND bucket = ?2 AND key = ?3";
    Ok(db.prepare_cached(sql)?.query_row(params![id, bucket, key], |row| row.get(0)).optional()?)
}

/// Sets a key, or removes it.
pub(crate) fn put(tx: &Connection, id: i64, bucket: &str, key: &str, value: Option<&[u8]>) -> Result<(), Fault> {
    let changed = match value {
        Some(value) => tx
            .prepare_cached(
                "INSERT INTO kv (module, bucket, key, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (module, bucket, key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![id, bucket, key, value]),
        None => tx
            .prepare_cached("DELETE FROM kv WHERE module = ?1 AND bucket = ?2 AND key = ?3")?
            .execute(params![id, bucket, key]),
    };
    changed.map(drop).map_err(Fault::from)
}

/// Ordered by the bytes of the key, as Rust orders text. Two statements, because one with `OR` would not use the index.
pub(crate) fn keys(
    db: &Connection,
    id: i64,
    bucket: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, Fault> {
    let sql = match after {
        Some(_) => "SELECT key FROM kv WHERE module = ?1 AND bucket = ?2 AND key > ?3 ORDER BY key LIMIT ?4",
        None => "SELECT key FROM kv WHERE module = ?1 AND bucket = ?2 AND key >= ?3 ORDER BY key LIMIT ?4",
    };
    rows(db, sql, params![id, bucket, after.unwrap_or(""), limit], text)
}

/// Bytes of a module's keys and values.
pub(crate) fn used(db: &Connection, id: i64) -> Result<u64, Fault> {
    let sql = "SELECT max(kv_bytes, 0) FROM modules WHERE id = ?1";
    let bytes: i64 = db.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    Ok(bytes.unsigned_abs())
}
