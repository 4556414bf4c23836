//! How errors of the station's own statements in a unit look from outside.
//!
//! What modules' statements answer is the wall's to say; here are only those of savepoints, commits, key-value data
//! and what is counted.

use crate::{Fault, error::Doing as _};
use rusqlite::{ErrorCode, ffi};
use station_kernel::work::{Constraint, SqlError};

/// The error of one of the station's own statements.
pub(crate) fn sql_error(doing: &str, fault: Fault) -> SqlError {
    let Fault::Sqlite(error) = fault else { return storage(doing, fault) };
    match (error.sqlite_error_code(), error.sqlite_error().map(|error| error.extended_code)) {
        (_, Some(ffi::SQLITE_BUSY_SNAPSHOT)) => SqlError::Conflict,
        (Some(ErrorCode::DatabaseBusy), _) => SqlError::Busy,
        (Some(ErrorCode::OperationInterrupted), _) => SqlError::Interrupted,
        (Some(ErrorCode::ConstraintViolation), _) => deferred(&error),
        _ => storage(doing, error.into()),
    }
}

/// Only a commit can break a constraint here: a module's foreign key that was deferred.
fn deferred(error: &rusqlite::Error) -> SqlError {
    SqlError::Constraint { kind: Constraint::ForeignKey, message: error.to_string() }
}

fn storage(doing: &str, fault: Fault) -> SqlError {
    let failed: Result<(), _> = Err(fault).doing(|| doing.to_owned());
    failed.map_or_else(SqlError::Storage, |()| lost())
}

/// The answer of a unit whose transaction is gone.
pub(crate) fn lost() -> SqlError {
    SqlError::Lost("its transaction has ended".to_owned())
}
