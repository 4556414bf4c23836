//! Puts physical names where a module's names are.
//!
//! The module's text is kept as it is, to the byte, except for the names of tables, indexes, views and triggers.
//! `cases` becomes `"m7__cases"`; where it is a source of rows without an alias, `"m7__cases" AS "cases"`, so that
//! `cases.id` goes on meaning what it did. The names of common table expressions are names of tables like any other
//! and get the prefix as well: SQLite's own rules then say which one shadows which, and the authorizer, to which
//! `WITH x … SELECT count(*) FROM x` looks like a read of the table `x`, sees a name of the module.
//!
//! Nothing here is a wall: what the parser understands otherwise than SQLite does, the authorizer judges.

mod dialect;
mod edits;
mod parse;
mod refuse;
mod scope;
mod shown;
mod split;
mod visit;

pub(super) use edits::Edits;
pub(super) use split::split;

use super::{mode::Mode, names::Names};
use parse::Parsed;
use station_kernel::work::SqlError;

/// The most that a statement's text may be, in bytes: SQLite would take a gigabyte.
pub(super) const SQL_BYTES_MAX: usize = 64 << 10;

/// A statement as SQLite gets it.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) sql: String,
    pub(super) mode: Mode,
    pub(super) edits: Edits,
}

/// Rewrites one statement.
pub(super) fn rewrite(names: &Names, sql: &str) -> Result<Rewritten, SqlError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(SqlError::Limit { name: "sql_bytes", max: SQL_BYTES_MAX as u64 });
    }
    refuse::by_first_words(sql)?;
    let parsed = Parsed::of(sql)?;
    let before = names.mark();
    let edits = visit::edits(names, &parsed)?.behind(&before);
    refuse::references_without_edit(&parsed, &edits)?;
    let text = edits.apply(&before, parsed.text);
    // Of the text that SQLite gets, read as SQLite reads it, whatever the parser took it for.
    let mode = Mode::of(&text).unwrap_or(Mode::Foreign);
    Ok(Rewritten { sql: text, mode, edits })
}

fn syntax(message: impl Into<String>, offset: Option<usize>) -> SqlError {
    SqlError::Syntax { message: message.into(), offset: offset.and_then(|at| u32::try_from(at).ok()) }
}
