//! The wall around a module's SQL on a connection that it shares with the station and with other modules.
//!
//! A [`Desk`] owns one connection. The station's own statements run in [`Desk::station`]; a module's run in
//! [`Desk::run`] and see nothing but the tables, indexes, views and triggers `m<id>__<name>` of that module, which
//! the module calls `<name>`. `module` is always `modules.id`.
//!
//! Three things happen to a module's statement. The *rewriter* ([`rewrite`]) parses it, puts the physical names where
//! the module's names are, and refuses with a sentence what cannot be meant well; it is convenience, and a statement
//! that gets past it is merely run as it is. The *wall* ([`wall`]) is SQLite's authorizer: it judges every table,
//! column and function that SQLite found in the statement, knows who asks from a cell ([`cell`]), and denies what it
//! does not know. It is asked when a statement is prepared, and again while it runs whenever the schema has changed.
//! The *limits* bound what one statement can cost: its text, its values, its plan, its answer, and by the
//! [`Watch`](station_kernel::work::Watch), its time.
//!
//! What callers can rely on:
//! - A statement that fails with anything but [`SqlError::Lost`](station_kernel::work::SqlError::Lost) or
//!   `Interrupted` has changed nothing, and the transaction goes on.
//! - Modules cannot begin or end transactions or savepoints; who owns the desk does, in [`Desk::station`].
//! - Errors and column names speak of tables as the module does, and never name another module's.
//! - A trigger that a module made is judged as that module, also when it is the station that fires it.
//! - A module's statement and its preparation need about 1 MiB of stack, and get it on the heap if there is less.

mod cell;
mod desk;
mod error;
mod functions;
mod growth;
mod linear;
mod mode;
mod names;
mod pattern;
mod reply;
mod rewrite;
mod texts;
mod wall;

#[cfg(test)]
mod tests;

pub(crate) use desk::{Desk, Failed};

/// Puts the functions that modules' SQL has in the place of SQLite's, so that what is kept in an index of theirs reads
/// as it was written.
pub(crate) fn install_functions(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    linear::install(connection)
}

/// Which module a table belongs to, and its name there; none for the station's own.
pub(crate) fn owned(physical: &str) -> Option<(i64, &str)> {
    let module = names::owner(physical)?;
    let rest = physical.split_once("__").map(|(_, name)| name)?;
    Some((module, rest))
}
