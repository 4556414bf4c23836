//! A file in memory that nobody can change any more, this process included.
//!
//! What must be checked before it is trusted is copied here first, sealed, and then both checked and used: between the two
//! nothing can happen to it, whoever may write to the file that it came from. It ends with its last mapping.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// How much is read at once: enough for a hash to work on many blocks in parallel, and little enough for the cache of a core.
const CHUNK_BYTES: usize = 128 << 10;

/// The file.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: File,
    /// How long it is, and stays.
    pub(crate) bytes: u64,
}

impl Sealed {
    /// A copy of what is left of `file`, at most `bytes_max` of it.
    ///
    /// # Errors
    /// Where files in memory cannot be had, or `file` cannot be read.
    pub(crate) fn copy(file: File, bytes_max: u64) -> io::Result<Self> {
        let mut copy = File::from(memfd_create("station-code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        let bytes = io::copy(&mut file.take(bytes_max), &mut copy)?;
        fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        let sealed = Self { file: copy, bytes };
        // Where there is no /proc it could be checked and not used.
        std::fs::metadata(sealed.path())?;
        Ok(sealed)
    }

    /// Shows all of it, piece by piece.
    ///
    /// # Errors
    /// When the system fails.
    pub(crate) fn show(&self, mut to: impl FnMut(&[u8])) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut chunk)?;
            match chunk.get(..read) {
                None | Some([]) => return Ok(()),
                Some(piece) => to(piece),
            }
        }
    }

    /// Where it can be opened while this lives.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn sealed(bytes: &[u8]) -> Sealed {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(2)).unwrap();
        Sealed::copy(file, 1 << 20).unwrap()
    }

    #[test]
    fn it_has_what_was_left_of_the_file_as_often_as_one_looks() {
        let long: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        let sealed = sealed(&long);
        for _ in 0..2 {
            let mut seen = Vec::new();
            sealed.show(|piece| seen.extend_from_slice(piece)).unwrap();
            assert_eq!((seen.as_slice(), sealed.bytes), (&long[2..], 299_998));
        }
        assert_eq!(std::fs::read(sealed.path()).unwrap(), &long[2..]);
    }

    #[test]
    fn nobody_can_change_it() {
        let sealed = sealed(b"unchanged");
        let open = |append: bool| std::fs::OpenOptions::new().write(true).append(append).open(sealed.path());
        // Opening to write may be refused at once; if not, writing is.
        for append in [false, true] {
            assert!(open(append).and_then(|mut file| file.write_all(b"x")).is_err());
            assert!(open(append).and_then(|file| file.set_len(1)).is_err());
        }
        assert_eq!(std::fs::read(sealed.path()).unwrap(), b"changed");
    }
}
