//! The tar file: written as it is read, and read strictly.
//!
//! Reading takes what the manifest announces, in its order, with its sizes and digests, and nothing else; so no name in
//! an archive ever becomes a path that was not expected.

use super::{
    error::BackupError,
    manifest::{self, BYTES_MAX, Contents, FORMAT},
    snapshot::Snapshot,
};
use crate::lock::Lock;
use sha2::{Digest as _, Sha256};
use station_kernel::ports::Backup;
use station_model::Digest;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Cursor, Read, Write},
    path::{Path, PathBuf},
};

/// tar counts in blocks of so many bytes.
const BLOCK: u64 = 512;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// What comes next in an archive that is being written.
enum Piece {
    Bytes(Vec<u8>),
    File(PathBuf, u64),
    Zeros(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) | Self::Zeros(size) => *size,
        }
    }

    fn open(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::File(path, size) => Box::new(File::open(path)?.take(size)),
            Self::Zeros(size) => Box::new(io::repeat(0).take(size)),
        })
    }
}

/// An archive that is read from the front. Its files are opened one after the other.
struct Written {
    now: Box<dyn Read + Send>,
    next: VecDeque<Piece>,
    _files: Snapshot,
    _lock: Option<Lock>,
}

impl Read for Written {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.now.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(next) = self.next.pop_front() else { return Ok(0) };
            self.now = next.open()?;
        }
    }
}

/// The archive of a snapshot.
pub(super) fn write(files: Snapshot, lock: Option<Lock>) -> Backup {
    let contents = &files.contents;
    // Numbers and digests only, which always serialise.
    let text = serde_json::to_vec_pretty(contents).unwrap_or_default();
    let mut next = VecDeque::new();
    let size = text.len() as u64;
    entry(&mut next, manifest::NAME, contents.made_ms, Piece::Bytes(text), size);
    let paths = std::iter::once(&files.database).chain(&files.artifacts);
    for ((name, part), path) in contents.files().zip(paths) {
        entry(&mut next, &name, contents.made_ms, Piece::File(path.0.clone(), part.size), part.size);
    }
    next.push_back(Piece::Zeros(2 * BLOCK));
    let bytes = next.iter().map(Piece::len).sum();
    Backup { bytes, archive: Box::new(Written { now: Box::new(io::empty()), next, _files: files, _lock: lock }) }
}

/// A head, the bytes, and what fills the last block.
fn entry(pieces: &mut VecDeque<Piece>, name: &str, made_ms: u64, piece: Piece, size: u64) {
    let fill = size.next_multiple_of(BLOCK) - size;
    pieces.extend([Piece::Bytes(head(name, made_ms, size)), piece, Piece::Zeros(fill)]);
}

fn head(name: &str, made_ms: u64, size: u64) -> Vec<u8> {
    let mut head = tar::Header::new_gnu();
    // Our names are far below the hundred bytes that a head has for them.
    let _fits = head.set_path(name);
    head.set_size(size);
    head.set_mode(0o600);
    head.set_mtime(made_ms / 1_000);
    head.set_entry_type(tar::EntryType::Regular);
    head.set_cksum();
    head.as_bytes().to_vec()
}

/// Reads an archive to its end and checks every size and digest. `place` says where a file of it goes; nowhere, if it
/// is only to be checked.
pub(super) fn read(
    path: &Path,
    mut place: impl FnMut(&str) -> io::Result<Option<File>>,
) -> Result<Contents, BackupError> {
    let file = File::open(path).map_err(BackupError::io("reading", path))?;
    let mut archive = tar::Archive::new(file);
    let foreign = |error: io::Error| not_a_backup(path, &error.to_string());
    let mut entries = archive.entries().map_err(foreign)?;
    let contents = contents(path, entries.next())?;
    for (name, part) in contents.files() {
        let mut entry = expected(path, entries.next(), &name, part.size)?;
        let to = place(&name).map_err(BackupError::io("making", &name))?;
        let found = unpack(&mut entry, to)
            .map_err(|error| BackupError::Damaged { path: path.to_owned(), why: format!("{name}: {error}") })?;
        if found != (part.digest, part.size) {
            return Err(damaged(path, format!("{name} should be {} and is {}", part.digest, found.0)));
        }
    }
    match entries.next() {
        None => Ok(contents),
        Some(_) => Err(damaged(path, "there is something behind its last part")),
    }
}

type Found<'a> = Option<io::Result<tar::Entry<'a, File>>>;

/// The manifest.
fn contents(path: &Path, first: Found<'_>) -> Result<Contents, BackupError> {
    let unreadable = |error: &dyn std::fmt::Display| not_a_backup(path, &error.to_string());
    let entry = match first {
        Some(Ok(entry)) if is(&entry, manifest::NAME) && entry.size() <= BYTES_MAX => entry,
        Some(Err(error)) => return Err(unreadable(&error)),
        _ => return Err(unreadable(&format!("its first part is not {}", manifest::NAME))),
    };
    let mut text = Vec::new();
    entry.take(BYTES_MAX).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
    let form: Form = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
    match form.format {
        FORMAT => serde_json::from_slice(&text).map_err(|error| unreadable(&error)),
        other => Err(unreadable(&format!("it has form {other}, and this station knows {FORMAT}"))),
    }
}

/// What every manifest has, whatever its form.
#[derive(serde::Deserialize)]
struct Form {
    format: u32,
}

fn expected<'a>(path: &Path, next: Found<'a>, name: &str, size: u64) -> Result<tar::Entry<'a, File>, BackupError> {
    match next {
        Some(Ok(entry)) if is(&entry, name) && entry.size() == size => Ok(entry),
        Some(Ok(_)) => Err(damaged(path, format!("another part is where {name} should be"))),
        Some(Err(error)) => Err(damaged(path, format!("{name}: {error}"))),
        None => Err(damaged(path, format!("it ends before {name}"))),
    }
}

fn is(entry: &tar::Entry<'_, File>, name: &str) -> bool {
    entry.header().entry_type().is_file() && *entry.path_bytes() == *name.as_bytes()
}

/// Writes a part where it goes and flushes it there.
fn unpack(from: &mut impl Read, to: Option<File>) -> io::Result<(Digest, u64)> {
    match to {
        None => hash(from, &mut io::sink()),
        Some(mut to) => {
            let found = hash(from, &mut to)?;
            to.sync_all()?;
            Ok(found)
        }
    }
}

/// Copies, and answers digest and size.
pub(super) fn hash(from: &mut impl Read, to: &mut impl Write) -> io::Result<(Digest, u64)> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        to.write_all(bytes)?;
        size += read as u64;
    }
    Ok((Digest::from_bytes(hash.finalize().into()), size))
}

fn not_a_backup(path: &Path, why: &str) -> BackupError {
    BackupError::NotABackup { path: path.to_owned(), why: why.to_owned() }
}

fn damaged(path: &Path, why: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), why: why.into() }
}
