//! One station per data folder.
//!
//! [`Lock::take`] holds an advisory lock on `<data>/lock` until it is dropped. The system gives the lock up when
//! the process ends, kill -9 included, so a file that was left behind never keeps a station from starting; that is
//! why it is not the file's existence that counts, and why the file is never removed.
//!
//! SQLite alone would let two processes share the database, but each station believes that the state it loaded at
//! the start is the only one.

use crate::{Error, folder};
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The right to use a data folder.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Closing it ends the lock.
    _file: File,
}

impl Lock {
    /// Takes the lock of the folder `data`, at once or not at all.
    pub(crate) fn take(data: &Path) -> Result<Self, Error> {
        let path = data.join("lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|source| folder::failed(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { data: data.to_owned() }),
            Err(TryLockError::Error(source)) => Err(folder::failed(&path, source)),
        }
    }
}
