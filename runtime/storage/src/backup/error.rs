//! What can go wrong with a backup.

use crate::Error;
use station_model::{Code, Failure};
use std::{io, path::PathBuf};

/// Why a backup was not made, or nothing was restored from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] Error),
    /// There is no database in the folder.
    #[error("there is no station in {data}; `--data` is the folder with its station.db")]
    NoStation {
        /// The folder.
        data: PathBuf,
    },
    /// Something is in the folder where the station would be restored.
    #[error("{data} is not empty; a station is restored into an empty or missing folder only")]
    Occupied {
        /// The folder.
        data: PathBuf,
    },
    /// There is a file of this name.
    #[error("{path} is there already; choose another name, or replace it with --force")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another backup is being written to the same file.
    #[error("another backup is being written to {path}")]
    Writing {
        /// The file.
        path: PathBuf,
    },
    /// Modules were removed faster than their components could be kept.
    #[error("modules are removed all the time, so that the components of one moment could not be kept; try again")]
    Restless,
    /// A file cannot be read or written.
    #[error("{doing} {path}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database cannot be copied or looked at.
    #[error("{doing} the database {path}")]
    Database {
        /// What was done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is no backup, or one that this program cannot read.
    #[error("{path} is not a backup that this station can read: {why}")]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The archive ends before its end, or a part of it is not what it was.
    #[error("the backup {path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl BackupError {
    /// Makes an [`Io`](Self::Io), for `map_err`.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// Makes a [`Database`](Self::Database), for `map_err`.
    pub(super) fn database(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.into();
        move |source| Self::Database { doing, path, source }
    }

    /// The failure as people and scripts see it, with its causes.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), crate::error::chain(self))
    }

    fn code(&self) -> Code {
        match self {
            Self::Folder(Error::InUse { .. })
            | Self::Occupied { .. }
            | Self::Exists { .. }
            | Self::Writing { .. }
            | Self::Restless => Code::AdminConflict,
            Self::NoStation { .. } => Code::AdminNotFound,
            Self::NotABackup { .. } => Code::AdminBadRequest,
            Self::Damaged { .. } => Code::UploadDigestMismatch,
            Self::Folder(_) | Self::Io { .. } | Self::Database { .. } => Code::UploadStorage,
        }
    }
}
