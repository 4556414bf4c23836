//! What can go wrong, in three kinds: a station cannot open its storage ([`Error`]), one read or write fails
//! ([`Fault`]), or the registry holds something that is not what it should be ([`Unreadable`]).
//!
//! `Error` goes to the operator at the start and says what to do. The other two travel as the source of a
//! [`StorageError`], whose `doing` says what was attempted.

use crate::MigrationFailed;
use station_kernel::{StorageError, ports::Stopped};
use station_model::{Digest, ModuleName};
use std::{io, path::PathBuf};

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file in it cannot be made, flushed or cleaned.
    #[error("preparing {path}")]
    Folder {
        /// What was prepared.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("the data folder {data} is used by another station; stop that one, or choose another folder")]
    InUse {
        /// The folder.
        data: PathBuf,
    },
    /// The SQLite in this program has a known way to lose data.
    #[error("this program has SQLite {found}, older than 3.51.3, which can corrupt a WAL database; build it again")]
    OldLibrary {
        /// The version, as SQLite counts it: 3051003 for 3.51.3.
        found: i32,
    },
    /// There is a database, but no station made it.
    #[error("{path} is not a station's database; move it away, or choose another folder")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A later station has written here.
    #[error("{path} has schema {found}; this station knows none after {known}, so run the later station")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The last schema that this program knows.
        known: i64,
    },
    /// The file system cannot hold a database that several connections use, as some network drives.
    #[error("{path} is on a file system without what SQLite's WAL needs; choose a folder on a local disk")]
    NoWal {
        /// The file.
        path: PathBuf,
    },
    /// A migration failed; the database is as it was before it.
    #[error("migration {name} of {path}")]
    Migration {
        /// The file.
        path: PathBuf,
        /// The migration.
        name: &'static str,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A thread that flushes or checkpoints cannot be started.
    #[error("starting a thread of the storage")]
    Thread(#[source] io::Error),
    /// The database cannot be opened or set up.
    #[error("opening the database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

/// Why one read or write failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// SQLite said so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A value has no form that could be read again, such as a type that nests too deep.
    #[error("{what} cannot be kept, because it could not be read back")]
    Unkeepable {
        /// What it is.
        what: &'static str,
        /// What reading it back said.
        #[source]
        source: serde_json::Error,
    },
    /// A number is beyond what a column holds, which is 63 bits.
    #[error("{what} is {value}, more than the database can hold")]
    TooBig {
        /// What it counts.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// The module was never there, or was removed in the meantime.
    #[error("there is no module {0}")]
    NoModule(ModuleName),
    /// Only a revision that was uploaded for the module can be active.
    #[error("module {module} has no revision {digest}")]
    NoRevision {
        /// The module.
        module: ModuleName,
        /// The revision.
        digest: Digest,
    },
    /// Every connection was in use for longer than anything healthy takes.
    #[error("waited {seconds} s for a connection to the database; the disk may be stuck")]
    Busy {
        /// How long.
        seconds: u64,
    },
    /// Another writer was at work for longer than anything healthy takes.
    #[error("waited {seconds} s for another writer of the database; the disk may be stuck")]
    Queue {
        /// How long.
        seconds: u64,
    },
    /// A flush failed. Nobody knows what is on the disk until the station is started again.
    #[error("the storage has stopped")]
    Stopped(#[from] Stopped),
    /// A migration of a module cannot be applied.
    #[error(transparent)]
    Migration(#[from] Box<MigrationFailed>),
    /// The storage was closed in the meantime.
    #[error("the storage is closed")]
    Closed,
    /// The registry holds something that is not what it should be.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// Something in the registry that is not what it should be: a damaged disk, or a hand that edited the database.
#[derive(Debug, thiserror::Error)]
#[error("the {part} of {owner} cannot be read; {remedy}")]
pub struct Unreadable {
    /// Which column or table.
    pub part: &'static str,
    /// Whose: a module, a token, or an audit entry.
    pub owner: String,
    /// What the operator can do.
    pub remedy: String,
    /// What is wrong with it.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// The error as the kernel's port wants it. `what` is only asked for in that case.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StorageError>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StorageError> {
        self.map_err(|source| StorageError { doing: what(), source: source.into() })
    }
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
