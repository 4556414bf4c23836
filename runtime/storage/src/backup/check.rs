//! Looks at a copy of the database: is it a station's, is it whole, and which components does it name.

use super::{
    archive,
    error::BackupError,
    manifest::{Contents, DATABASE},
    snapshot::Temporary,
};
use crate::{connection, schema, sql};
use rusqlite::Connection;
use station_model::Digest;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Complaints of SQLite that are told; the first says enough.
const COMPLAINTS_MAX: usize = 3;

/// What a database says about itself.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) schema: i64,
    pub(super) digests: Vec<Digest>,
}

/// Reads an archive to its end and checks everything in it: sizes, digests, and that the database is whole.
///
/// The database is unpacked beside the archive for the time of the check.
///
/// # Errors
/// When it is damaged or no backup.
pub fn check(path: &Path) -> Result<Contents, BackupError> {
    let database = Temporary(beside(path, ".check"));
    let contents = archive::read(path, |name| match name {
        DATABASE => make(&database.0).map(Some),
        _ => Ok(None),
    })?;
    whole(&database.0, path, &contents)?;
    Ok(contents)
}

/// A name beside a file.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Refuses a database that is not whole, or names a component that is not in the backup.
pub(super) fn whole(database: &Path, archive: &Path, contents: &Contents) -> Result<(), BackupError> {
    let damaged = |why: String| BackupError::Damaged { path: archive.to_owned(), why };
    let connection = connection::open_reader(database)?;
    let complaints = complaints(&connection).map_err(BackupError::database("checking", database))?;
    if complaints != ["ok"] {
        return Err(damaged(complaints.join("; ")));
    }
    let there: BTreeSet<_> = contents.artifacts.iter().map(|part| part.digest).collect();
    match look(database)?.digests.iter().find(|digest| !there.contains(digest)) {
        None => Ok(()),
        Some(digest) => Err(damaged(format!("the component {digest} of a module is not in it"))),
    }
}

/// What SQLite says of the whole file; a single `ok` if nothing is wrong.
fn complaints(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    sql::install_functions(connection)?;
    // What a module checks its rows with may be true today and false tomorrow; it says nothing about the file.
    connection.pragma_update(None, "ignore_check_constraints", true)?;
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({COMPLAINTS_MAX})"))?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Schema and components of a database that must be a station's, and not a later one's.
pub(super) fn look(database: &Path) -> Result<Known, BackupError> {
    let connection = connection::open_reader(database)?;
    let schema = schema::seen(&connection, database)?;
    let digests = digests(&connection).map_err(BackupError::database("reading", database))?;
    let digests: Result<_, station_model::Invalid> = digests.iter().map(|text| text.parse()).collect();
    let unreadable = |invalid: station_model::Invalid| BackupError::NotABackup {
        path: database.to_owned(),
        why: format!("a revision cannot be read: {invalid}"),
    };
    Ok(Known { schema, digests: digests.map_err(unreadable)? })
}

fn digests(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT DISTINCT digest FROM revisions ORDER BY digest")?;
    statement.query_map([], |row| row.get(0))?.collect()
}
