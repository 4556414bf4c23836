//! What survives a restart: one SQLite database, and the uploaded components beside it.
//!
//! [`Storage::open`] takes a data folder for itself: `station.db` (the registry, the audit log, modules' key-value
//! data), `artifacts/<hex>.wasm`, `uploads/` for what is still arriving, and `lock`. It implements the kernel's
//! ports [`Registry`](station_kernel::Registry) and [`KeyValue`](station_kernel::KeyValue); clones share one
//! database. Every method blocks, so call it from a blocking thread.
//!
//! The folder is free again when the last clone is dropped, or when the process dies, however it dies. What a
//! method acknowledged is on the disk by then: the database runs in WAL mode with a flush at every commit.
//!
//! There is one writer at a time; readers see the last commit and never wait for it. A station that must serve
//! more writes than one disk can flush needs another storage, not more connections.
#![warn(missing_docs)]

mod artifacts;
mod change;
mod connection;
mod error;
mod folder;
mod keyvalue;
mod load;
mod lock;
mod registry;
mod schema;
#[cfg(test)]
mod tests;

pub use error::{Error, Fault, Unreadable};

use artifacts::Artifacts;
use connection::Pool;
use lock::Lock;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{path::Path, sync::Arc};

/// Connections that read beside the writer. Four, because reads are short and the machine we plan for has few cores.
const READERS: usize = 4;

/// The storage of one station. Clones are cheap and share everything.
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

/// In the order in which they must close: SQLite tidies the WAL away when the writer closes as the last connection,
/// and the folder is given up only after that.
#[derive(Debug)]
struct Inner {
    readers: Pool,
    writer: Pool,
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
        connection::check_library(rusqlite::version_number())?;
        let data = folder::make_private(data)?;
        let lock = Lock::take(&data)?;
        let artifacts = Artifacts::open(&data)?;
        let file = data.join("station.db");
        let writer = schema::open(&file)?;
        let readers = connection::open_readers(&file, READERS)?;
        folder::sync(&data)?;
        let inner = Inner { readers: Pool::new(readers), writer: Pool::new(vec![writer]), artifacts, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `f` on one snapshot of what was committed last.
    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        self.inner.readers.with(|connection| {
            let snapshot = connection.transaction()?;
            f(&snapshot)
        })
    }

    /// Runs `f` in a transaction of its own: durable when this returns, gone when `f` or the commit fails.
    ///
    /// Immediate, so that it takes the write lock before it reads: what `f` read is still true when it writes.
    fn write<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.inner.writer.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = f(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
    }
}
