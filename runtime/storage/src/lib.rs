//! What survives a restart: one SQLite database, and the uploaded components beside it.
//!
//! [`Storage::open`] takes a data folder for itself: `station.db` (the registry, the audit log, modules' key-value
//! data and tables), `artifacts/<hex>.wasm`, `uploads/` for what is still arriving, and `lock`. It implements the
//! kernel's ports [`Registry`](station_kernel::Registry) and [`Units`](station_kernel::work::Units); clones share one
//! database. Every method blocks, so call it from a blocking thread.
//!
//! The folder is free again when the last clone and the last unit of work are dropped, or when the process dies,
//! however it dies. What a method of `Registry` acknowledged is on the disk by then: the database runs in WAL mode with
//! a flush at each of its commits. Units of work share flushes and say when theirs is done.
//!
//! There is one writer at a time; readers see the last commit and never wait for it.
#![warn(missing_docs)]

mod artifacts;
pub mod backup;
mod change;
mod connection;
pub mod disk;
mod error;
mod events;
mod folder;
pub mod inspect;
mod keyvalue;
mod load;
mod lock;
mod migrate;
mod registry;
mod schema;
mod settings;
mod sql;
#[cfg(test)]
mod tests;
mod unit;

pub use error::{Error, Fault, Unreadable};
pub use migrate::{MigrationFailed, Refusal};
pub use settings::Settings;

use artifacts::Artifacts;
use connection::Pool;
use lock::Lock;
use rusqlite::Connection;
use sql::Desk;
use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};
use unit::{Service, quota::Quota};

/// Connections that read beside the writer. Four, because reads are short and the machine we plan for has few cores.
const READERS: usize = 4;

/// The storage of one station. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

/// In the order in which they must close: SQLite tidies the WAL away when the writer closes as the last connection,
/// and the folder is given up only after that.
struct Inner {
    units: Service,
    readers: Pool<Connection>,
    writer: Pool<Desk>,
    settings: Settings,
    file: PathBuf,
    artifacts: Artifacts,
    _lock: Lock,
}

impl Storage {
    /// Takes the folder `data` for this process, makes what is missing and brings an older database up to date.
    ///
    /// # Errors
    /// When another station has the folder, when the database is not ours or newer than this program, and when
    /// the disk refuses.
    pub fn open(data: &Path) -> Result<Self, Error> {
        Self::open_with(data, Settings::default())
    }

    /// As [`open`](Self::open), with settings of its own.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(data: &Path, settings: Settings) -> Result<Self, Error> {
        Self::open_syncing(data, settings, Box::new(File::sync_data))
    }

    /// As [`open_with`](Self::open_with), with another way to flush the WAL for units.
    fn open_syncing(data: &Path, settings: Settings, sync: unit::Sync) -> Result<Self, Error> {
        connection::check_library(rusqlite::version_number())?;
        let data = folder::make_private(data)?;
        let lock = Lock::take(&data)?;
        let artifacts = Artifacts::open(&data)?;
        let file = data.join("station.db");
        let writer = open_writer(&file)?;
        let readers = Pool::new(connection::open_readers(&file, READERS)?);
        folder::sync(&data)?;
        let units = Service::start(&file, &settings, sync)?;
        Ok(Self { inner: Arc::new(Inner { units, readers, writer, settings, file, artifacts, _lock: lock }) })
    }

    /// What modules may take.
    fn quota(&self) -> Quota {
        let Settings { data_bytes_max, data_rows_max, .. } = self.inner.settings;
        Quota { page_bytes: self.inner.units.page_bytes, data_bytes_max, data_rows_max }
    }

    /// Runs `f` on one snapshot of what was committed last.
    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.inner.readers.with(|connection| {
            let snapshot = connection.transaction()?;
            f(&snapshot)
        })
    }

    /// As [`transact`](Self::transact), for tests that damage or look at what the registry wrote.
    #[cfg(test)]
    fn write<T>(&self, f: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.transact(|desk| unit::station(desk, f))
    }

    /// Runs `f` in a transaction of its own: durable when this returns, gone when `f` or the commit fails.
    ///
    /// Immediate, so that it takes the write lock before it reads: what `f` read is still true when it writes.
    fn transact<T>(&self, f: impl FnOnce(&mut Desk) -> Result<T, Fault>) -> Result<T, Fault> {
        let Service { ledger, gate, .. } = &self.inner.units;
        ledger.healthy()?;
        self.inner.writer.with(|desk| {
            let too_long = || Fault::Queue { seconds: connection::WAIT_MAX.as_secs() };
            let _held = gate.enter(connection::WAIT_MAX, || false).ok_or_else(too_long)?;
            let mut transaction = Transaction::begin(desk)?;
            let answer = f(transaction.desk)?;
            let _promise = ledger.promise();
            transaction.commit().inspect_err(|fault| ledger.beware(fault))?;
            Ok(answer)
        })
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

/// A transaction of the writer, rolled back when dropped.
struct Transaction<'a> {
    desk: &'a mut Desk,
}

impl<'a> Transaction<'a> {
    fn begin(desk: &'a mut Desk) -> Result<Self, Fault> {
        unit::execute(desk, "BEGIN IMMEDIATE")?;
        Ok(Self { desk })
    }

    fn commit(&mut self) -> Result<(), Fault> {
        unit::execute(self.desk, "COMMIT")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.desk.in_transaction()
            && let Err(error) = unit::execute(self.desk, "ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back a transaction of the registry");
        }
    }
}

/// The connection that writes the registry, behind the wall because it also runs migrations of modules.
fn open_writer(file: &Path) -> Result<Pool<Desk>, Error> {
    let desk = Desk::new(schema::open(file)?).map_err(|source| Error::Open { path: file.to_owned(), source })?;
    Ok(Pool::new(vec![desk]))
}
