//! A data folder from a backup.
//!
//! The database gets its name last, after everything was flushed and read again. So a folder that has one is whole, and
//! one in which that was interrupted has none. What was made is removed when something fails.

use super::{
    archive, check,
    error::BackupError,
    manifest::{Contents, DATABASE},
    snapshot::part,
};
use crate::{folder, lock::Lock};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The database until everything was checked.
const UNFINISHED: &str = "station.db.part";

/// Makes the folder `data` out of a backup. It must be missing or empty.
///
/// # Errors
/// When it is not, when the backup is damaged, and when the disk refuses; then nothing is left.
pub fn restore(archive: &Path, data: &Path) -> Result<Contents, BackupError> {
    empty(data)?;
    check::check(archive)?;
    let was_there = data.exists();
    let data = folder::make_private(data)?;
    let lock = Lock::take(&data)?;
    let done = fill(archive, &data);
    if done.is_err() {
        clear(&data, was_there);
    }
    drop(lock);
    done
}

fn empty(data: &Path) -> Result<(), BackupError> {
    match fs::read_dir(data).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BackupError::Occupied { data: data.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::io("reading", data)(source)),
    }
}

fn fill(archive: &Path, data: &Path) -> Result<Contents, BackupError> {
    let artifacts = folder::make_private(&data.join("artifacts"))?;
    let contents = archive::read(archive, |name| create(&place(data, name)).map(Some))?;
    let database = data.join(UNFINISHED);
    look_again(archive, data, &contents)?;
    check::whole(&database, archive, &contents)?;
    folder::sync(&artifacts)?;
    fs::rename(&database, data.join(DATABASE)).map_err(BackupError::io("naming", &database))?;
    folder::sync(data)?;
    Ok(contents)
}

fn place(data: &Path, name: &str) -> PathBuf {
    data.join(if name == DATABASE { UNFINISHED } else { name })
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads everything back from the folder.
fn look_again(archive: &Path, data: &Path, contents: &Contents) -> Result<(), BackupError> {
    for (name, expected) in contents.files() {
        if part(&place(data, &name))? != *expected {
            let why = format!("{name} is not in {} what it is in the backup; does the disk work?", data.display());
            return Err(BackupError::Damaged { path: archive.to_owned(), why });
        }
    }
    Ok(())
}

/// Removes what was made, as far as that is possible; the error that led here says more.
fn clear(data: &Path, was_there: bool) {
    let _gone = fs::remove_dir_all(data.join("artifacts"));
    let _gone = fs::remove_file(data.join(UNFINISHED));
    let _gone = fs::remove_file(data.join("lock"));
    if !was_there {
        let _gone = fs::remove_dir(data);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::manifest::artifact, *};
    use station_model::Digest;

    #[test]
    fn the_database_has_its_name_last() {
        let data = Path::new("d");
        assert_eq!(place(data, DATABASE), data.join(UNFINISHED));
        let name = artifact(&Digest::of(b"x"));
        assert_eq!(place(data, &name), data.join(name));
    }
}
