//! What SQLite says, as the port's errors, in the module's names.

use super::{desk::VALUE_BYTES_MAX, names::Names, pattern, rewrite::Edits};
use rusqlite::{Error, ffi};
use station_kernel::{
    StorageError,
    work::{Constraint, SqlError},
};

/// Explains errors of one statement.
pub(super) struct Explain<'a> {
    pub(super) names: &'a Names,
    pub(super) edits: &'a Edits,
    /// Why the wall denied something, if it did.
    pub(super) denied: Option<String>,
    /// While it is prepared every mistake is one of the text.
    pub(super) preparing: bool,
}

impl Explain<'_> {
    pub(super) fn error(&self, error: Error) -> SqlError {
        // SQLite has a code for denials and does not use it for functions.
        if let Some(why) = &self.denied {
            return SqlError::Denied(why.clone());
        }
        match error {
            Error::SqlInputError { error, msg, offset, .. } if error.extended_code == ffi::SQLITE_ERROR => {
                let offset = usize::try_from(offset).ok().map(|at| self.edits.old_offset(at));
                self.input(&msg, offset.and_then(|at| u32::try_from(at).ok()))
            }
            Error::SqlInputError { error, msg, .. } => self.failure(error, &msg),
            Error::SqliteFailure(error, message) => {
                let message = message.unwrap_or_else(|| ffi::code_to_str(error.extended_code).to_owned());
                self.failure(error, &message)
            }
            other => SqlError::Other(self.names.message(&other.to_string())),
        }
    }

    /// SQLite has one code for a mistake in a text, a limit of its parser and a name that is not there.
    fn input(&self, message: &str, offset: Option<u32>) -> SqlError {
        match LIMITS.iter().find(|(words, ..)| message.contains(words)) {
            Some((_, name, max)) => SqlError::Limit { name, max: *max },
            None => SqlError::Syntax { message: self.names.message(message), offset },
        }
    }

    fn failure(&self, error: ffi::Error, message: &str) -> SqlError {
        match error.extended_code & 0xff {
            ffi::SQLITE_ERROR => self.while_running(message),
            ffi::SQLITE_AUTH => SqlError::Denied(self.names.message(message)),
            ffi::SQLITE_CONSTRAINT => {
                SqlError::Constraint { kind: kind(error.extended_code), message: self.names.message(message) }
            }
            ffi::SQLITE_BUSY if error.extended_code == ffi::SQLITE_BUSY_SNAPSHOT => SqlError::Conflict,
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => SqlError::Busy,
            ffi::SQLITE_TOOBIG => SqlError::Limit { name: "value_bytes", max: u64::from(VALUE_BYTES_MAX) },
            // A program of too many steps, for which SQLite has no code of its own. If the memory was really used up,
            // the next statement says so.
            ffi::SQLITE_NOMEM if self.preparing => SqlError::Limit { name: "program_steps", max: 50_000 },
            ffi::SQLITE_INTERRUPT => SqlError::Interrupted,
            code if BROKEN.contains(&code) => SqlError::Storage(StorageError {
                doing: "running a module's statement".to_owned(),
                source: Error::SqliteFailure(error, Some(message.to_owned())).into(),
            }),
            _ => SqlError::Other(self.names.message(message)),
        }
    }

    /// The same code for what a statement does with values, such as an overflow, and for a table that was dropped
    /// since the statement was prepared.
    fn while_running(&self, message: &str) -> SqlError {
        let is_input = self.preparing
            || message.starts_with("no such ")
            || LIMITS.iter().any(|(words, ..)| message.contains(words));
        match is_input {
            true => self.input(message, None),
            false => SqlError::Other(self.names.message(message)),
        }
    }
}

/// What SQLite says of its limits, and what they are; set in `desk.rs`.
const LIMITS: &[(&str, &str, u64)] = &[
    ("Expression tree is too large", "expression_depth", 100),
    ("parser stack overflow", "nesting", 100),
    ("Recursion limit", "nesting", 100),
    ("too many terms in compound SELECT", "compound_selects", 50),
    ("too many arguments on function", "function_arguments", 32),
    ("too many SQL variables", "parameters", 999),
    ("variable number must be between", "parameters", 999),
    ("pattern too complex", pattern::LIMIT, pattern::LONG_BYTES_MAX as u64),
    ("too many levels of trigger recursion", "trigger_depth", 5),
];

/// The database, the disk or the memory.
const BROKEN: &[i32] = &[
    ffi::SQLITE_PERM,
    ffi::SQLITE_NOMEM,
    ffi::SQLITE_READONLY,
    ffi::SQLITE_IOERR,
    ffi::SQLITE_CORRUPT,
    ffi::SQLITE_FULL,
    ffi::SQLITE_CANTOPEN,
    ffi::SQLITE_PROTOCOL,
    ffi::SQLITE_NOTADB,
];

fn kind(extended_code: i32) -> Constraint {
    match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE => Constraint::Unique,
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => Constraint::PrimaryKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => Constraint::NotNull,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Constraint::ForeignKey,
        ffi::SQLITE_CONSTRAINT_CHECK => Constraint::Check,
        ffi::SQLITE_CONSTRAINT_DATATYPE => Constraint::DataType,
        _ => Constraint::Other,
    }
}
