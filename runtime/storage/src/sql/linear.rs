//! Four of SQLite's functions again, because SQLite's take time with the product of what they are given.
//!
//! `instr` with two texts of a few megabytes runs for a minute, inside one step of SQLite's machine, where no watch
//! is asked. These answer the same and read each text once. They are registered on every connection of a desk, so
//! what a module keeps in an index or a check is computed the same way everywhere.

use rusqlite::{
    Connection, Error,
    functions::{Context, FunctionFlags},
    types::{Type, Value, ValueRef},
};
use std::collections::HashSet;

type Answer = rusqlite::Result<Value>;

/// Puts them in the place of SQLite's.
pub(super) fn install(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("instr", 2, flags, |context| or_null(context, instr))?;
    conn.create_scalar_function("replace", 3, flags, replace)?;
    conn.create_scalar_function("trim", 2, flags, |context| or_null(context, |c| trim(c, true, true)))?;
    conn.create_scalar_function("ltrim", 2, flags, |context| or_null(context, |c| trim(c, true, false)))?;
    conn.create_scalar_function("rtrim", 2, flags, |context| or_null(context, |c| trim(c, false, true)))?;
    conn.create_scalar_function("unhex", 2, flags, |_| -> Answer {
        Err(Error::UserFunctionError("unhex takes one argument here; remove other characters before".into()))
    })
}

/// As with SQLite's, nothing comes of nothing.
fn or_null(context: &Context<'_>, f: impl FnOnce(&Context<'_>) -> Answer) -> Answer {
    match (0..context.len()).any(|index| context.get_raw(index).data_type() == Type::Null) {
        true => Ok(Value::Null),
        false => f(context),
    }
}

/// A value as text. Numbers go through SQLite's own cast only as far as they are whole; a fraction is written as Rust
/// writes it, which differs from SQLite's `1.0e+20` beyond fifteen digits.
fn text(context: &Context<'_>, index: usize) -> String {
    match context.get_raw(index) {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Where the second stands in the first, counted from 1: in bytes if both are blobs, otherwise in characters.
fn instr(context: &Context<'_>) -> Answer {
    let found = match (context.get_raw(0), context.get_raw(1)) {
        (ValueRef::Blob(all), ValueRef::Blob(part)) => {
            // A character per byte, because the standard library searches only texts in linear time.
            let (all, part): (String, String) = (wide(all), wide(part));
            position(&all, &part)
        }
        _ => position(&text(context, 0), &text(context, 1)),
    };
    Ok(Value::Integer(found))
}

fn wide(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn position(all: &str, part: &str) -> i64 {
    let before = all.find(part).and_then(|at| all.get(..at));
    before.and_then(|before| i64::try_from(before.chars().count() + 1).ok()).unwrap_or(0)
}

/// Nothing to look for leaves the first as it is, whatever the third.
fn replace(context: &Context<'_>) -> Answer {
    let nothing = |index| context.get_raw(index).data_type() == Type::Null;
    let (all, old, new) = (text(context, 0), text(context, 1), text(context, 2));
    match () {
        () if nothing(0) || nothing(1) => return Ok(Value::Null),
        () if old.is_empty() => return Ok(Value::Text(all)),
        () if nothing(2) => return Ok(Value::Null),
        () => {}
    }
    let count = all.matches(old.as_str()).count();
    let length = all.len() - count * old.len() + count * new.len();
    match length > super::desk::VALUE_BYTES_MAX as usize {
        true => Err(Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_TOOBIG), None)),
        false => Ok(Value::Text(all.replace(old.as_str(), &new))),
    }
}

fn trim(context: &Context<'_>, left: bool, right: bool) -> Answer {
    let (all, set) = (text(context, 0), text(context, 1).chars().collect::<HashSet<_>>());
    let rest = if left { all.trim_start_matches(|found| set.contains(&found)) } else { &all };
    let rest = if right { rest.trim_end_matches(|found| set.contains(&found)) } else { rest };
    Ok(Value::Text(rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Every pair of these through SQLite's own and through ours.
    #[test]
    fn they_answer_what_sqlites_do() {
        let (plain, ours) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        install(&ours).unwrap();
        let values = [
            "NULL",
            "''",
            "'a'",
            "'aba'",
            "'éaé'",
            "'é'",
            "x''",
            "x'61'",
            "x'c3a961'",
            "1",
            "-12",
            "1.5",
            "'xyx'",
            "' a '",
        ];
        for a in values {
            for b in values {
                for call in [
                    "instr(A, B)",
                    "replace(A, B, 'é')",
                    "replace('aéa1', A, B)",
                    "trim(A, B)",
                    "ltrim(A, B)",
                    "rtrim(A, B)",
                ] {
                    let sql = format!("SELECT {}", call.replace('A', a).replace('B', b));
                    let of = |conn: &Connection| conn.query_row(&sql, [], |row| row.get::<_, Value>(0)).unwrap();
                    assert_eq!(of(&ours), of(&plain), "{sql}");
                }
            }
        }
    }

    #[test]
    fn they_take_no_longer_than_reading() {
        let conn = Connection::open_in_memory().unwrap();
        install(&conn).unwrap();
        let started = Instant::now();
        for call in [
            "instr(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1')",
            "instr(zeroblob(2000000), CAST(zeroblob(1000000) || 'x' AS BLOB))",
            "replace(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1', 'x')",
            "trim(hex(zeroblob(1000000)), hex(randomblob(1000000)) || '0')",
        ] {
            conn.query_row(&format!("SELECT typeof({call})"), [], |_| Ok(())).unwrap();
        }
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
