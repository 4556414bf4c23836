//! The file that a backup is written to.
//!
//! It is written beside its name, as `<name>.part`, flushed, and read back from its beginning to its end; then it gets
//! its name. So a file with the name is whole. One that was there before stays unless somebody said otherwise, and then
//! until the new one is whole.

use super::{
    BackupError,
    check::{beside, check},
    manifest::Contents,
};
use crate::folder;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A backup that is being written. Dropped before [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    part: PathBuf,
    file: File,
    replace: bool,
}

impl Target {
    /// Begins to write `path`, which is not there, or is to be replaced.
    ///
    /// # Errors
    /// When it is there and not to be replaced, or somebody else writes it, or the folder cannot be written.
    pub fn create(path: &Path, replace: bool) -> Result<Self, BackupError> {
        free(path, replace)?;
        let part = beside(path, ".part");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&part).map_err(BackupError::io("making", &part))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Writing { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(BackupError::io("locking", part)(source)),
        }
        // What an interrupted backup has left.
        file.set_len(0).map_err(BackupError::io("making", &part))?;
        Ok(Self { path: path.to_owned(), part, file, replace })
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.file.write_all(bytes).map_err(BackupError::io("writing", &self.part))
    }

    /// Checks what was written and gives it its name.
    ///
    /// # Errors
    /// When it is not whole, or the disk refuses.
    pub fn finish(self) -> Result<Contents, BackupError> {
        self.file.sync_all().map_err(BackupError::io("flushing", &self.part))?;
        let contents = check(&self.part)?;
        free(&self.path, self.replace)?;
        fs::rename(&self.part, &self.path).map_err(BackupError::io("naming", &self.path))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder::sync(folder)?;
        Ok(contents)
    }
}

fn free(path: &Path, replace: bool) -> Result<(), BackupError> {
    match !replace && path.symlink_metadata().is_ok() {
        true => Err(BackupError::Exists { path: path.to_owned() }),
        false => Ok(()),
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After `finish` there is no file of this name.
        let _gone = fs::remove_file(&self.part);
    }
}
