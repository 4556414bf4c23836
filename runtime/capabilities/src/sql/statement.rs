//! One statement: what it costs, and what it does to the counters that guests ask for.
//!
//! The engine charges what the database computes. Here is charged what goes in and out: every byte of it is copied
//! between the guest and the host.

use super::rows::{Session, Size, value_bytes};
use crate::host::Host;
use station_kernel::work::{Caps, Rows, SqlError, Value};
use station_model::ModuleName;
use wasmtime::Result;

/// Fuel of a statement, apart from what it does: finding it prepared, and crossing over.
const STATEMENT_FUEL: u64 = 3_000;
/// Fuel of a row that the host makes, apart from its bytes.
const ROW_FUEL: u64 = 100;

/// What a statement does, as far as SQLite's counters are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sets the last row id, and the number of changes.
    Insert,
    /// Sets the number of changes.
    Change,
    /// Sets neither.
    Other,
}

impl Host<'_> {
    /// Runs a statement in the call's unit of work.
    pub(super) fn statement(
        &mut self,
        sql: &str,
        params: &[Value],
        caps: Caps,
    ) -> Result<std::result::Result<Rows, SqlError>> {
        let given: usize = params.iter().map(|value| size_of::<Value>() + value_bytes(value)).sum();
        self.0.charge(STATEMENT_FUEL + (sql.len() + given) as u64);
        let done = self.0.sql(sql, params, caps)?;
        if let Ok(rows) = &done {
            self.charge_rows(Size::of(&rows.rows));
            self.remember(sql, rows)?;
        }
        Ok(done)
    }

    /// Charges rows that are made, or handed over.
    pub(super) fn charge_rows(&mut self, size: Size) {
        self.0.charge((size.rows as u64).saturating_mul(ROW_FUEL).saturating_add(size.bytes as u64));
    }

    fn remember(&mut self, sql: &str, rows: &Rows) -> Result<()> {
        if let Some(row_id) = Kind::of(sql).inserted(rows) {
            let call = self.0.call_id();
            self.0.state::<Session>()?.inserted(call, row_id);
        }
        Ok(())
    }
}

/// What a guest learns of an error that normally ends its call. Why is for the operator.
pub(super) fn failed(module: &ModuleName, error: &SqlError) -> String {
    let cause = std::error::Error::source(error);
    tracing::error!(%module, %error, cause, "a statement failed in the storage");
    "the storage failed".to_owned()
}

impl Kind {
    /// Looks at the statement's verb. The connection is one for all modules of a tree and so is its last row id, which
    /// must be asked for after this module's own inserts only.
    pub(super) fn of(sql: &str) -> Self {
        let mut words = Words { rest: sql };
        match words.next() {
            Some(word) if word.eq_ignore_ascii_case("with") => words.find_map(verb).unwrap_or(Self::Other),
            Some(word) => verb(word).unwrap_or(Self::Other),
            None => Self::Other,
        }
    }

    /// The row id to remember; none when no row was inserted, as by an `UPSERT` that updates.
    pub(super) fn inserted(self, rows: &Rows) -> Option<i64> {
        (self == Self::Insert && rows.changed > 0 && rows.last_row_id != 0).then_some(rows.last_row_id)
    }
}

fn verb(word: &str) -> Option<Kind> {
    const VERBS: [(&str, Kind); 6] = [
        ("insert", Kind::Insert),
        ("replace", Kind::Insert),
        ("update", Kind::Change),
        ("delete", Kind::Change),
        ("select", Kind::Other),
        ("values", Kind::Other),
    ];
    VERBS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

/// The words of a statement outside parentheses, quotes and comments.
struct Words<'s> {
    rest: &'s str,
}

impl<'s> Iterator for Words<'s> {
    type Item = &'s str;

    fn next(&mut self) -> Option<&'s str> {
        let mut depth = 0_usize;
        loop {
            let first = self.rest.chars().next()?;
            let word = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            let (word, after) = self.rest.split_at_checked(word)?;
            match first {
                _ if !word.is_empty() => {
                    self.rest = after;
                    if depth == 0 {
                        return Some(word);
                    }
                }
                '(' => (depth, self.rest) = (depth + 1, skip(self.rest, 1)),
                ')' => (depth, self.rest) = (depth.saturating_sub(1), skip(self.rest, 1)),
                '\'' | '"' | '`' => self.rest = past(skip(self.rest, 1), first),
                '[' => self.rest = past(self.rest, ']'),
                '-' if self.rest.starts_with("--") => self.rest = past(self.rest, '\n'),
                '/' if self.rest.starts_with("/*") => {
                    self.rest = skip(self.rest, 2).split_once("*/").map_or("", |(_, rest)| rest);
                }
                _ => self.rest = skip(self.rest, first.len_utf8()),
            }
        }
    }
}

fn skip(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

/// What comes after the next `end`. A doubled quote looks like the end of one string and the beginning of another,
/// which comes to the same.
fn past(text: &str, end: char) -> &str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}
