//! Uploaded components as files: `artifacts/<hex>.wasm` for what is kept, `uploads/` for what is still arriving.
//!
//! An upload becomes an artifact by one rename after a flush, so an artifact is whole or not there. It ends when the
//! kernel drops it with its last revision; [`Artifacts::sweep`] finds those that a crash left without one.
//!
//! Uploads belong to one run of the station: what lies there at the start was cut off, and [`Artifacts::open`]
//! removes it, so that numbers can begin anew.

use crate::{Error, folder};
use station_model::Digest;
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::{self, DirEntry, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The two folders.
#[derive(Debug)]
pub(crate) struct Artifacts {
    kept: PathBuf,
    uploads: PathBuf,
    uploads_begun: AtomicU64,
}

impl Artifacts {
    /// Makes the folders in `data`, whose lock the caller has.
    pub(crate) fn open(data: &Path) -> Result<Self, Error> {
        let kept = folder::make_private(&data.join("artifacts"))?;
        let uploads = folder::make_private(&data.join("uploads"))?;
        remove_except(&uploads, |_| false).map_err(|source| folder::failed(&uploads, source))?;
        Ok(Self { kept, uploads, uploads_begun: AtomicU64::new(0) })
    }

    /// Where the artifact with this digest is.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.kept.join(file_name(digest))
    }

    /// A path that no other upload has.
    pub(crate) fn upload_path(&self) -> PathBuf {
        let number = self.uploads_begun.fetch_add(1, Ordering::Relaxed);
        self.uploads.join(format!("{number}.part"))
    }

    /// Moves an upload to where it stays. When this returns, it is on the disk under its name.
    ///
    /// An artifact that is already there is replaced by the same bytes rather than left: so uploading again repairs
    /// a file that was damaged on the disk.
    pub(crate) fn keep(&self, digest: &Digest, uploaded: &Path) -> io::Result<()> {
        let path = self.path(digest);
        match flush_and_move(uploaded, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_file() => {}
            moved => moved?,
        }
        folder::flush(&self.kept)
    }

    /// Removes the artifact with this digest, if it is there. Not flushed: what a power cut brings back, the sweep
    /// of the next start removes.
    pub(crate) fn forget(&self, digest: &Digest) -> io::Result<()> {
        remove(&self.path(digest)).map(drop)
    }

    /// Removes every artifact that is not `wanted`, and every upload. Only while nothing is being uploaded.
    pub(crate) fn sweep(&self, wanted: impl Iterator<Item = Digest>) -> io::Result<()> {
        let names: BTreeSet<OsString> = wanted.map(|digest| file_name(&digest).into()).collect();
        let orphans = remove_except(&self.kept, |name| names.contains(name))?;
        let uploads = remove_except(&self.uploads, |_| false)?;
        if orphans + uploads > 0 {
            tracing::info!(orphans, uploads, "removed files that nothing needs");
        }
        Ok(())
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{}.wasm", digest.hex())
}

fn flush_and_move(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)
}

/// Removes a file; false when it is already gone.
fn remove(file: &Path) -> io::Result<bool> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Removes the files of a folder whose names are not `wanted`, and counts them. Folders are not ours to remove.
fn remove_except(folder: &Path, wanted: impl Fn(&OsStr) -> bool) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        removed += usize::from(remove_unless(&entry?, &wanted)?);
    }
    Ok(removed)
}

fn remove_unless(entry: &DirEntry, wanted: impl Fn(&OsStr) -> bool) -> io::Result<bool> {
    match entry.file_type()?.is_dir() || wanted(&entry.file_name()) {
        true => Ok(false),
        false => remove(&entry.path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        (folder, artifacts)
    }

    fn upload(artifacts: &Artifacts, bytes: &[u8]) -> (Digest, PathBuf) {
        let path = artifacts.upload_path();
        fs::write(&path, bytes).unwrap();
        (Digest::of(bytes), path)
    }

    fn keep(artifacts: &Artifacts, bytes: &[u8]) -> Digest {
        let (digest, path) = upload(artifacts, bytes);
        artifacts.keep(&digest, &path).unwrap();
        digest
    }

    fn sweep(artifacts: &Artifacts, wanted: &[Digest]) {
        artifacts.sweep(wanted.iter().copied()).unwrap();
    }

    #[test]
    fn an_upload_becomes_an_artifact() {
        let (_folder, artifacts) = opened();
        let (digest, uploaded) = upload(&artifacts, b"one");
        artifacts.keep(&digest, &uploaded).unwrap();
        assert_eq!(fs::read(artifacts.path(&digest)).unwrap(), b"one");
        assert!(!uploaded.exists());
    }

    #[test]
    fn keeping_twice_is_keeping_once() {
        let (_folder, artifacts) = opened();
        let (digest, uploaded) = upload(&artifacts, b"one");
        artifacts.keep(&digest, &uploaded).unwrap();
        artifacts.keep(&digest, &uploaded).unwrap();
        keep(&artifacts, b"one");
        assert_eq!(fs::read(artifacts.path(&digest)).unwrap(), b"one");
        assert_eq!(fs::read_dir(&artifacts.kept).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&artifacts.uploads).unwrap().count(), 0);
    }

    #[test]
    fn uploading_again_repairs_a_damaged_artifact() {
        let (_folder, artifacts) = opened();
        let digest = keep(&artifacts, b"one");
        fs::write(artifacts.path(&digest), b"damaged").unwrap();
        keep(&artifacts, b"one");
        assert_eq!(fs::read(artifacts.path(&digest)).unwrap(), b"one");
    }

    #[test]
    fn keeping_what_is_not_there_is_an_error() {
        let (_folder, artifacts) = opened();
        let missing = artifacts.upload_path();
        let error = artifacts.keep(&Digest::of(b"one"), &missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn upload_paths_differ() {
        let (_folder, artifacts) = opened();
        assert_ne!(artifacts.upload_path(), artifacts.upload_path());
    }

    #[test]
    fn a_sweep_removes_orphans_only() {
        let (_folder, artifacts) = opened();
        let (wanted, orphan) = (keep(&artifacts, b"wanted"), keep(&artifacts, b"orphan"));
        fs::write(artifacts.kept.join("stray"), b"").unwrap();
        fs::create_dir(artifacts.kept.join("folder")).unwrap();
        sweep(&artifacts, &[wanted]);
        assert!(artifacts.path(&wanted).exists());
        assert!(!artifacts.path(&orphan).exists());
        assert!(!artifacts.kept.join("stray").exists());
        assert!(artifacts.kept.join("folder").exists());
    }

    #[test]
    fn a_sweep_removes_interrupted_uploads() {
        let (_folder, artifacts) = opened();
        let (_, interrupted) = upload(&artifacts, b"half");
        sweep(&artifacts, &[]);
        assert!(!interrupted.exists());
    }

    #[test]
    fn a_forgotten_artifact_is_gone_and_no_other() {
        let (_folder, artifacts) = opened();
        let (one, two) = (keep(&artifacts, b"one"), keep(&artifacts, b"two"));
        artifacts.forget(&one).unwrap();
        artifacts.forget(&one).unwrap();
        assert!(!artifacts.path(&one).exists() && artifacts.path(&two).exists());
    }

    #[test]
    fn opening_again_removes_interrupted_uploads_and_no_artifacts() {
        let (folder, artifacts) = opened();
        let digest = keep(&artifacts, b"kept");
        let (_, interrupted) = upload(&artifacts, b"half");
        let artifacts = Artifacts::open(folder.path()).unwrap();
        assert!(artifacts.path(&digest).exists() && !interrupted.exists());
    }
}
