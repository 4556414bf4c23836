//! What all units share, and the threads beside them.

use super::{
    checkpoint::Checkpointer,
    desks::Desks,
    flusher::{Flusher, Sync},
    gate::Gate,
    ledger::Ledger,
    rows::Known,
};
use crate::{Error, Settings, connection, folder};
use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

/// What all units share. Dropped, it ends its threads and waits for that; what was committed is on the disk then.
pub(crate) struct Service {
    /// Their connections.
    pub(crate) desks: Arc<Desks>,
    /// Who may write.
    pub(crate) gate: Arc<Gate>,
    /// What is committed and durable.
    pub(crate) ledger: Arc<Ledger>,
    /// How many rows modules have.
    pub(crate) rows: Known,
    /// Bytes of a page of the database.
    pub(crate) page_bytes: u64,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Begins to serve units of `file`, which a connection has open and keeps so.
    pub(crate) fn start(file: &Path, settings: &Settings, mut sync: Sync) -> Result<Self, Error> {
        let connection = connection::open_checkpointer(file)?;
        let failed = |source| Error::Open { path: file.to_owned(), source };
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        if settings.checkpoints {
            begin_anew(&connection).map_err(failed)?;
        }
        let wal = flushed(&beside(file, "-wal"), &mut sync)?;
        let desks = Arc::new(Desks::new(file.to_owned(), settings.units_max));
        let (gate, ledger) = (Arc::default(), Arc::new(Ledger::new()));
        let (rows, page_bytes) = (Known::default(), page_bytes.unsigned_abs());
        let mut service = Self { desks, gate, ledger, rows, page_bytes, threads: vec![] };
        service.flush(wal, sync)?;
        if settings.checkpoints {
            service.checkpoint(connection)?;
        }
        Ok(service)
    }

    fn flush(&mut self, wal: File, sync: Sync) -> Result<(), Error> {
        let flusher = Flusher::new(self.ledger.clone(), wal, sync);
        self.spawn("station-flush", move || flusher.run())
    }

    fn checkpoint(&mut self, connection: rusqlite::Connection) -> Result<(), Error> {
        let (ledger, gate, desks) = (self.ledger.clone(), self.gate.clone(), self.desks.clone());
        let checkpointer = Checkpointer::new(connection, self.page_bytes, ledger, gate, desks);
        self.spawn("station-wal", move || checkpointer.run())
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Thread)?);
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.ledger.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the storage has panicked");
            }
        }
    }
}

/// Brings what an earlier run has left in the WAL into the database.
///
/// If that run ended because a flush failed, the system may hold pages of the WAL for written that are not. Here they
/// are written again, to the database, and flushed there.
fn begin_anew(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The WAL, flushed: an earlier run that was killed may have committed what it had not flushed, and all that this
/// run finds counts as durable.
fn flushed(path: &Path, sync: &mut Sync) -> Result<File, Error> {
    let opened = File::open(path).and_then(|wal| sync(&wal).map(|()| wal));
    opened.map_err(|source| folder::failed(path, source))
}

/// The file that SQLite keeps beside the database.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}
