//! Connections to the database: how each is set up, and who uses which.
//!
//! Every connection is hardened the same way before it runs anything, although only our own SQL runs here: a
//! database file can be edited by others, and these settings keep an edited schema from doing more than fail.
//!
//! A [`Pool`] lends its connections to one user each. Who finds none free waits, at most [`WAIT_MAX`].
//!
//! No connection checkpoints by itself: one thread does it for all, or Litestream.

use crate::{Error, Fault};
use rusqlite::{Connection, OpenFlags, config::DbConfig, limits::Limit};
use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// SQLite 3.51.3, the first without the WAL reset bug, in which two connections can corrupt a database.
const LIBRARY_MIN: i32 = 3_051_003;

/// How long to wait for a connection. A commit takes milliseconds; ten seconds mean that the disk is stuck, and then
/// an error is better than a growing queue.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long SQLite waits for a lock of another process. No other station can hold one, but a backup tool can.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The same for a unit of work, behind which all others wait that want to write.
pub(crate) const UNIT_BUSY_MAX: Duration = Duration::from_millis(500);

/// The largest row in bytes: a value of 4 MiB with its key has ample room, a world of 16 MiB is not honest.
const ROW_BYTES_MAX: i32 = 16 << 20;

/// The station's own statements in units, all of which stay prepared.
const UNIT_STATEMENTS: usize = 32;

/// Refuses an SQLite that is known to lose data. `found` is as SQLite counts, 3051003 for 3.51.3.
pub(crate) fn check_library(found: i32) -> Result<(), Error> {
    match found >= LIBRARY_MIN {
        true => Ok(()),
        false => Err(Error::OldLibrary { found }),
    }
}

/// Opens the database for writing; makes it if it is missing, readable by the station's own user only.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, Error> {
    make_private(file)?;
    open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Opens `count` connections that cannot write.
pub(crate) fn open_readers(file: &Path, count: usize) -> Result<Vec<Connection>, Error> {
    (0..count).map(|_| open_reader(file)).collect()
}

/// Opens a connection that cannot write.
pub(crate) fn open_reader(file: &Path) -> Result<Connection, Error> {
    open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens a connection for units of work.
///
/// Its commits are flushed by the flusher, many at once. The cache is small because there are many connections: the
/// pages that matter are in the system's cache, of which there is one.
pub(crate) fn open_unit(file: &Path) -> rusqlite::Result<Connection> {
    let connection = hardened(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(UNIT_BUSY_MAX)?;
    connection.set_prepared_statement_cache_capacity(UNIT_STATEMENTS);
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;")?;
    Ok(connection)
}

/// Opens a connection for checkpoints.
pub(crate) fn open_checkpointer(file: &Path) -> Result<Connection, Error> {
    open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// SQLite gives the WAL the permissions of the database, so making the file first is enough. Only before the first
/// connection: closing a descriptor of the file later would end SQLite's own locks on it.
fn make_private(file: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(file).map(drop).map_err(|source| crate::folder::failed(file, source))
}

fn open(file: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    hardened(file, flags).map_err(|source| Error::Open { path: file.to_owned(), source })
}

fn hardened(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    harden(&connection)?;
    Ok(connection)
}

fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_MAX)?;
    set(connection, SWITCHES, LIMITS)?;
    connection.execute_batch(PRAGMAS)
}

/// Sets switches and limits.
pub(crate) fn set(
    connection: &Connection,
    switches: &[(DbConfig, bool)],
    limits: &[(Limit, i32)],
) -> rusqlite::Result<()> {
    for (setting, on) in switches {
        connection.set_db_config(*setting, *on)?;
    }
    limits.iter().try_for_each(|(limit, value)| connection.set_limit(*limit, *value).map(drop))
}

const SWITCHES: &[(DbConfig, bool)] = &[
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
];

const LIMITS: &[(Limit, i32)] = &[
    (Limit::SQLITE_LIMIT_LENGTH, ROW_BYTES_MAX),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 5),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// `synchronous = FULL` flushes the WAL at every commit, which is what makes an answer mean something.
/// Without memory mapping a read error of the disk is an error and not a signal that ends the process.
const PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA mmap_size = 0;
    PRAGMA wal_autocheckpoint = 0;
";

/// Connections that wait for work.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    returned: Condvar,
}

/// A connection in use, or none if the wait was too long. Goes back when dropped, also when its user panics; what
/// transaction it was in has been rolled back by then.
struct Lent<'a, T> {
    pool: &'a Pool<T>,
    connection: Option<T>,
}

impl<T> Pool<T> {
    /// A pool that lends these connections, and never makes more.
    pub(crate) fn new(connections: Vec<T>) -> Self {
        Self { idle: Mutex::new(connections), returned: Condvar::new() }
    }

    /// Runs `f` with a connection of its own.
    pub(crate) fn with<A>(&self, f: impl FnOnce(&mut T) -> Result<A, Fault>) -> Result<A, Fault> {
        let mut lent = Lent { pool: self, connection: self.take(WAIT_MAX) };
        match &mut lent.connection {
            Some(connection) => f(connection),
            None => Err(Fault::Busy { seconds: WAIT_MAX.as_secs() }),
        }
    }

    fn take(&self, wait_max: Duration) -> Option<T> {
        let waited = self.returned.wait_timeout_while(self.idle(), wait_max, |idle| idle.is_empty());
        let (mut idle, _) = waited.unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    /// Nothing can leave the list half changed, so a panic elsewhere is no reason to stop.
    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.idle().push(connection);
            self.pool.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{panic::AssertUnwindSafe, sync::mpsc, thread};

    fn opened(folder: &Path) -> Connection {
        let connection = open_writer(&folder.join("x.db")).unwrap();
        connection.execute_batch("CREATE TABLE t (x INTEGER) STRICT").unwrap();
        connection
    }

    #[test]
    fn a_library_that_loses_data_is_refused() {
        assert!(check_library(3_051_003).is_ok());
        assert!(check_library(3_054_001).is_ok());
        let refused = check_library(3_051_002).unwrap_err();
        assert!(refused.to_string().contains("older than 3.51.3"), "{refused}");
    }

    #[test]
    fn every_connection_is_hardened() {
        let folder = tempfile::tempdir().unwrap();
        drop(opened(folder.path()));
        for connection in open_readers(&folder.path().join("x.db"), 2).unwrap() {
            for (pragma, expected) in [
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("trusted_schema", 0),
                ("cell_size_check", 1),
                ("mmap_size", 0),
                ("wal_autocheckpoint", 0),
            ] {
                let found: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
                assert_eq!(found, expected, "{pragma}");
            }
            assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
            assert_eq!(connection.limit(Limit::SQLITE_LIMIT_ATTACHED).unwrap(), 0);
            connection.execute_batch("INSERT INTO t VALUES (1)").unwrap_err();
            connection.execute_batch("ATTACH ':memory:' AS other").unwrap_err();
        }
    }

    #[test]
    fn a_waiting_user_gets_the_connection_that_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(vec![opened(folder.path())]);
        let (taken, is_taken) = mpsc::channel();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                pool.with(|_| {
                    taken.send(()).unwrap();
                    thread::sleep(Duration::from_millis(20));
                    Ok(())
                })
            });
            is_taken.recv().unwrap();
            pool.with(|_| Ok(())).unwrap();
            first.join().unwrap().unwrap();
        });
    }

    #[test]
    fn waiting_ends() {
        let pool = Pool::<Connection>::new(vec![]);
        assert!(pool.take(Duration::from_millis(1)).is_none());
    }

    #[test]
    fn a_panic_gives_the_connection_back_and_leaves_no_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(vec![opened(folder.path())]);
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            pool.with(|connection| -> Result<(), Fault> {
                let transaction = connection.transaction()?;
                transaction.execute("INSERT INTO t VALUES (1)", [])?;
                panic!("on purpose");
            })
        }));
        assert!(panicked.is_err());
        let rows: i64 = pool.with(|c| Ok(c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)).unwrap();
        assert_eq!(rows, 0);
    }
}
