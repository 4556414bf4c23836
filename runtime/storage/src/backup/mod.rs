//! Backups: one archive file from which a whole station comes back.
//!
//! An archive is a tar file with a manifest (`station-backup.json`), the database as of one moment (`station.db`) and
//! the components that it names (`artifacts/<hex>.wasm`), in this order. It is made while the station runs
//! ([`Registry::backup`](station_kernel::Registry::backup)) or of the folder of a stopped one ([`of_folder`]). What is
//! in it was committed before what is not: the database is copied on one snapshot.
//!
//! Left out, because a restored station makes them anew: `admin.token` and `cache.key`, which are secrets of one
//! folder, compiled code, and uploads that were still arriving. Tokens of the registry are in it as hashes.
//!
//! A [`Target`] is the file that an archive is written to. It has its name only after it was read back and everything
//! in it was checked; [`restore`] checks again, before it makes anything and after.

mod archive;
mod check;
mod error;
mod manifest;
mod restore;
mod snapshot;
mod target;
#[cfg(test)]
mod tests;

pub use check::check;
pub use error::BackupError;
pub use manifest::Contents;
pub use restore::restore;
pub use target::Target;

use crate::{artifacts::Artifacts, lock::Lock};
use snapshot::Snapshot;
use station_kernel::ports::Backup;
use std::path::Path;

/// Makes a backup of a station that does not run.
///
/// The folder is locked until the archive is dropped, so that none is started meanwhile.
///
/// # Errors
/// When there is no station in `data`, when one runs there, and when it cannot be read.
pub fn of_folder(data: &Path, at_ms: u64) -> Result<Backup, BackupError> {
    let file = data.join("station.db");
    if !file.is_file() {
        return Err(BackupError::NoStation { data: data.to_owned() });
    }
    let data = crate::folder::make_private(data)?;
    let lock = Lock::take(&data)?;
    let artifacts = Artifacts::open(&data)?;
    Ok(Snapshot::take(&data.join("station.db"), &artifacts, at_ms)?.archive(Some(lock)))
}

/// Makes a backup of the storage that has `file` open.
pub(crate) fn of_open(file: &Path, artifacts: &Artifacts, at_ms: u64) -> Result<Backup, BackupError> {
    Ok(Snapshot::take(file, artifacts, at_ms)?.archive(None))
}
