//! The station as of one moment, in files of its own.
//!
//! The database is copied page by page inside one read transaction, so that commits go on meanwhile and none of them is
//! half in the copy. The components get second names beside uploads, so that removing a module cannot take them away.
//! All of it is removed when the snapshot is dropped; what a crash leaves is removed at the next start, as uploads are.

use super::{
    archive, check,
    error::BackupError,
    manifest::{Contents, FORMAT, Part},
};
use crate::{artifacts::Artifacts, connection, lock::Lock};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use station_kernel::ports;
use station_model::Digest;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How often to begin anew when a component vanished meanwhile.
const TRIES: usize = 5;

/// Pages that are copied in one step: 4 MiB.
const STEP_PAGES: i32 = 1_000;

/// How long to wait when a tool beside the station keeps SQLite from reading.
const BUSY: Duration = Duration::from_millis(20);

/// Files of one moment, and what they are.
pub(super) struct Snapshot {
    pub(super) contents: Contents,
    pub(super) database: Temporary,
    pub(super) artifacts: Vec<Temporary>,
}

/// A file that ends with this.
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.0.display(), "a file of a backup could not be removed");
            }
            _ => {}
        }
    }
}

impl Snapshot {
    /// Takes one of the database `file` and of the components that it names.
    pub(super) fn take(file: &Path, artifacts: &Artifacts, at_ms: u64) -> Result<Self, BackupError> {
        for _ in 0..TRIES {
            if let Some(taken) = Self::attempt(file, artifacts, at_ms)? {
                return Ok(taken);
            }
        }
        Err(BackupError::Restless)
    }

    /// None when a component is gone: its module was removed since the database was copied.
    fn attempt(file: &Path, artifacts: &Artifacts, at_ms: u64) -> Result<Option<Self>, BackupError> {
        let database = Temporary(artifacts.upload_path());
        copy(file, &database.0)?;
        let known = check::look(&database.0)?;
        let Some(kept) = keep(artifacts, &known.digests)? else { return Ok(None) };
        let (parts, files) = kept.into_iter().unzip();
        let contents = Contents {
            format: FORMAT,
            made_ms: at_ms,
            schema: known.schema,
            database: part(&database.0)?,
            artifacts: parts,
        };
        Ok(Some(Self { contents, database, artifacts: files }))
    }

    /// The archive of it, which keeps the files and the lock until it is dropped.
    pub(super) fn archive(self, lock: Option<Lock>) -> ports::Backup {
        archive::write(self, lock)
    }
}

/// Copies the database with all that was committed, also what is only in its WAL.
fn copy(file: &Path, to: &Path) -> Result<(), BackupError> {
    let from = connection::open_reader(file)?;
    make_private(to).map_err(BackupError::io("making", to))?;
    let mut to_connection = Connection::open(to).map_err(BackupError::database("making", to))?;
    pages(&from, &mut to_connection).map_err(BackupError::database("copying", file))
}

fn pages(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    // The copy is worth nothing unless it is whole, so neither journal nor flush is needed while it is made.
    to.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")?;
    // In one transaction; without it a commit of somebody else would begin the copy anew.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let backup = Backup::new(&snapshot, to)?;
    loop {
        match backup.step(STEP_PAGES)? {
            StepResult::Done => break,
            StepResult::Busy | StepResult::Locked => thread::sleep(BUSY),
            _ => {}
        }
    }
    drop(backup);
    // One file that needs no WAL beside it.
    to.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
}

fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// A second name for every component; none when one is gone.
fn keep(artifacts: &Artifacts, digests: &[Digest]) -> Result<Option<Vec<(Part, Temporary)>>, BackupError> {
    let mut kept = Vec::new();
    for digest in digests {
        let (from, to) = (artifacts.path(digest), Temporary(artifacts.upload_path()));
        match link(&from, &to.0) {
            Ok(size) => kept.push((Part { digest: *digest, size }, to)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BackupError::io("keeping", from)(source)),
        }
    }
    Ok(Some(kept))
}

/// Not every file system has two names for a file; there it is copied.
fn link(from: &Path, to: &Path) -> io::Result<u64> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => fs::copy(from, to),
        linked => linked.and_then(|()| Ok(fs::metadata(to)?.len())),
    }
}

/// Size and digest of a file.
pub(super) fn part(path: &Path) -> Result<Part, BackupError> {
    let hashed = File::open(path).and_then(|mut file| archive::hash(&mut file, &mut io::sink()));
    let (digest, size) = hashed.map_err(BackupError::io("reading", path))?;
    Ok(Part { digest, size })
}
