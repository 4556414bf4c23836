//! Folders that only the station's own user can enter, and whose entries survive a power cut.
//!
//! A folder that is already there keeps its permissions: they are the operator's choice. A new name in a folder
//! is durable only once the folder itself was flushed, which [`sync`] does.

use crate::Error;
use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Makes the folder with mode 0700 if it is missing. The answer is absolute, so that it means the same to a child
/// process and after a change of the working folder.
pub(crate) fn make_private(path: &Path) -> Result<PathBuf, Error> {
    let missing = !path.exists();
    let make = || DirBuilder::new().recursive(true).mode(0o700).create(path).and_then(|()| path.canonicalize());
    let made = make().map_err(|source| failed(path, source))?;
    if missing {
        made.parent().map_or(Ok(()), sync)?;
    }
    Ok(made)
}

/// Flushes the names in a folder to the disk.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    flush(path).map_err(|source| failed(path, source))
}

/// As [`sync`], for callers with errors of their own.
pub(crate) fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// An [`Error::Folder`] about `path`.
pub(crate) fn failed(path: &Path, source: io::Error) -> Error {
    Error::Folder { path: path.to_owned(), source }
}
