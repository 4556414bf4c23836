//! The schema of the database, as a list of migrations that never change once released.
//!
//! `user_version` counts the migrations that a database has seen; [`open`] applies the rest in order, each in one
//! transaction together with its number, so that a crash leaves a database at one version or the next.
//! `application_id` tells a station's database from any other, and a database of a later station is refused rather
//! than misread. There is no way back: to go to an earlier station, restore a backup.

use crate::{Error, connection};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;

/// `STAT` in ASCII, in the header of every station's database.
const APPLICATION_ID: i64 = 0x5354_4154;

/// Name and text of each migration, in order.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_registry", include_str!("../migrations/0001_registry.sql")),
    ("0002_keyvalue", include_str!("../migrations/0002_keyvalue.sql")),
    ("0003_units", include_str!("../migrations/0003_units.sql")),
    ("0004_rows", include_str!("../migrations/0004_rows.sql")),
    ("0005_events", include_str!("../migrations/0005_events.sql")),
];

/// Opens the database for writing, made and brought up to date.
///
/// The file is checked before anything is written to it, because also choosing the journal mode changes the file.
pub(crate) fn open(file: &Path) -> Result<Connection, Error> {
    let mut connection = connection::open_writer(file)?;
    let seen = seen(&connection, file)?;
    if use_wal(&connection).map_err(|source| failed(file, source))? != "wal" {
        return Err(Error::NoWal { path: file.to_owned() });
    }
    migrate(&mut connection, file, seen)?;
    Ok(connection)
}

/// The version of a database that this program can read.
pub(crate) fn seen(connection: &Connection, file: &Path) -> Result<i64, Error> {
    known(version(connection).map_err(|source| failed(file, source))?, file)
}

fn failed(file: &Path, source: rusqlite::Error) -> Error {
    Error::Open { path: file.to_owned(), source }
}

/// The version, if this program can go on from it.
fn known(seen: Option<i64>, file: &Path) -> Result<i64, Error> {
    let (path, known) = (file.to_owned(), MIGRATIONS.len() as i64);
    match seen {
        None => Err(Error::NotOurs { path }),
        Some(found) if found > known => Err(Error::Newer { path, found, known }),
        Some(found) => Ok(found),
    }
}

/// How many migrations the database has seen; none if it is somebody else's.
fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version) {
        (APPLICATION_ID, version) if version >= 0 => Some(version),
        (0, 0) if empty => Some(0),
        _ => None,
    })
}

/// Answers the journal mode that SQLite could give. The size limit keeps a WAL that one busy hour made large from
/// staying so.
fn use_wal(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

fn migrate(connection: &mut Connection, file: &Path, seen: i64) -> Result<(), Error> {
    for (number, (name, sql)) in (1..).zip(MIGRATIONS).skip_while(|(number, _)| *number <= seen) {
        apply(connection, number, sql).map_err(|source| Error::Migration { path: file.to_owned(), name, source })?;
        tracing::info!(migration = name, "brought the database up to date");
    }
    Ok(())
}

fn apply(connection: &mut Connection, number: i64, sql: &str) -> rusqlite::Result<()> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_database(prepare: &str) -> Result<Connection, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("station.db");
        Connection::open(&file).unwrap().execute_batch(prepare).unwrap();
        open(&file)
    }

    fn number(connection: &Connection, pragma: &str) -> i64 {
        connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_migration_is_listed_under_its_number() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let listed: Vec<_> = MIGRATIONS.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(files, listed);
        for (number, (name, _)) in (1..).zip(MIGRATIONS) {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
    }

    #[test]
    fn a_new_database_gets_every_migration() {
        let connection = with_database("").unwrap();
        assert_eq!(number(&connection, "application_id"), APPLICATION_ID);
        assert_eq!(number(&connection, "user_version"), MIGRATIONS.len() as i64);
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn an_older_database_keeps_its_rows_and_gets_the_rest() {
        let first = MIGRATIONS[0].1;
        let connection = with_database(&format!(
            "{first} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;
             INSERT INTO modules (name) VALUES ('old');"
        ))
        .unwrap();
        let found: (String, i64) =
            connection.query_row("SELECT name, kv_bytes FROM modules", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(found, ("old".to_owned(), 0));
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("station.db");
        let prepare = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99;");
        Connection::open(&file).unwrap().execute_batch(&prepare).unwrap();
        let before = std::fs::read(&file).unwrap();
        let refused = open(&file).unwrap_err();
        assert!(matches!(refused, Error::Newer { found: 99, known, .. } if known == MIGRATIONS.len() as i64));
        assert!(refused.to_string().contains("schema 99"), "{refused}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        for prepare in ["CREATE TABLE t (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 3"] {
            assert!(matches!(with_database(prepare), Err(Error::NotOurs { .. })), "{prepare}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("station.db");
        std::fs::write(&file, "not a database ".repeat(100)).unwrap();
        assert!(matches!(open(&file), Err(Error::Open { .. })));
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let mut connection = with_database("").unwrap();
        apply(&mut connection, 3, "CREATE TABLE half (x); SELECT nothing;").unwrap_err();
        assert_eq!(number(&connection, "user_version"), MIGRATIONS.len() as i64);
        connection.execute_batch("SELECT * FROM half").unwrap_err();
    }
}
