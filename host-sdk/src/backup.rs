//! Backups of a station that does not run, and restoring; of one that runs, the admin API makes them.

use crate::clock::Wall;
use station_kernel::Clock as _;
pub use station_kernel::ports::Backup;
use std::path::Path;

pub use station_storage::backup::{BackupError, Contents, Target, check, restore};

/// Makes a backup of a station that does not run. The folder is locked until the archive is dropped.
///
/// # Errors
/// When there is no station in `data`, when one runs there, and when it cannot be read.
pub fn of_folder(data: &Path) -> Result<Backup, BackupError> {
    station_storage::backup::of_folder(data, Wall.now_ms())
}
