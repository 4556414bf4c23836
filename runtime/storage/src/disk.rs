//! The disk below a data folder: how fast it flushes, and whether it tells the truth about that.
//!
//! What a station acknowledges is as safe as a flush is. A disk whose cache forgets what it said it had written, and a file
//! system that does not pass a flush on, look like a very fast disk until the power fails. [`measure`] writes and
//! flushes a small file for about a second, as the WAL is, compares that with writing alone and with flushing much more,
//! and [`Disk::findings`] judges.
//!
//! No medium keeps four kilobytes in less than [`FLUSH_NS_MIN`], nor a mebibyte in less than [`BIG_FLUSH_NS_MIN`]. The
//! other way round proves nothing: a slow flush may be a lie, too, and only a power cut shows it.

use rustix::fs::statvfs;
use station_model::{Code, Failure};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The fastest flush of a page that there is: a drive with a cache that outlives the power takes some 30 µs with the
/// way there and back, all others ten to a thousand times as long.
pub const FLUSH_NS_MIN: u64 = 20_000;

/// A mebibyte in this time is 20 GB/s, more than any medium takes.
pub const BIG_FLUSH_NS_MIN: u64 = 50_000;

/// From here on a station that writes with every call is slow, and it is the disk.
const FLUSH_NS_SLOW: u64 = 20_000_000;

/// Less free room is no room: a backup of the smallest station, a WAL of an hour, a component.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// A page of the database.
const PAGE: usize = 4 << 10;

/// What is flushed at once for comparison.
const BIG: usize = 1 << 20;

/// The file that is written over and over.
const FILE_BYTES: usize = 4 << 20;

/// What is measured of each kind at most.
const COUNT_MAX: usize = 5_000;

/// How long small flushes are measured; the others get a quarter.
const TIME: Duration = Duration::from_secs(1);

/// File systems that keep nothing when the power fails.
const VOLATILE: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];

/// File systems behind a network: SQLite's WAL needs memory that all its users share.
const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "fuse.sshfs"];

/// What a disk did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kind of file system, as the system calls it; empty if it does not say.
    pub file_system: String,
    /// Bytes that the station may still take.
    pub free_bytes: u64,
    /// Bytes that there are.
    pub total_bytes: u64,
    /// True when a station runs in the folder, whose own writes are measured along.
    pub in_use: bool,
    /// Writing a page without a flush.
    pub write: Times,
    /// Writing a page and flushing it.
    pub flush: Times,
    /// Writing a mebibyte and flushing it.
    pub big_flush: Times,
}

/// How long something took, again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// How often it was done.
    pub count: usize,
    /// Nanoseconds that half of them took at most.
    pub p50_ns: u64,
    /// Nanoseconds that all but one in a hundred took at most.
    pub p99_ns: u64,
}

impl Times {
    fn of(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        let at = |part: usize| all.get((all.len() * part / 100).min(all.len().saturating_sub(1))).copied();
        Self { count: all.len(), p50_ns: at(50).unwrap_or(0), p99_ns: at(99).unwrap_or(0) }
    }
}

/// Something that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// True when the station should not be trusted with anything on this disk.
    pub serious: bool,
    /// What it is, and what it means.
    pub text: String,
}

impl Disk {
    /// What is wrong with it, the worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let all = [self.forgets(), self.lies(), self.is_full(), self.is_remote(), self.is_slow()];
        all.into_iter().flatten().collect()
    }

    fn lies(&self) -> Option<Finding> {
        let small = (self.flush.p50_ns < FLUSH_NS_MIN).then(|| format!("a flush of {} KiB", PAGE >> 10));
        let big = (self.big_flush.p50_ns < BIG_FLUSH_NS_MIN).then(|| format!("a flush of {} KiB", BIG >> 10));
        let what = [small, big].into_iter().flatten().next()?;
        Some(serious(format!(
            "the disk lies: {what} returns faster than any medium can keep it. What a station acknowledges here may be gone \
             after a power cut or a crash of the system, and the database may be damaged; a crash of the station \
             alone takes nothing. Look for a file system or a virtual disk that ignores flushes (\"unsafe\", \
             \"nobarrier\", eatmydata)."
        )))
    }

    fn forgets(&self) -> Option<Finding> {
        VOLATILE.contains(&self.file_system.as_str()).then(|| {
            serious(format!(
                "{} is memory: everything is gone after a power cut or a restart of the machine",
                self.file_system
            ))
        })
    }

    fn is_full(&self) -> Option<Finding> {
        let free = self.free_bytes;
        (free < FREE_BYTES_MIN)
            .then(|| serious(format!("there are {} MiB free; the station will soon refuse to write", free >> 20)))
    }

    fn is_remote(&self) -> Option<Finding> {
        REMOTE.contains(&self.file_system.as_str()).then(|| {
            note(format!(
                "{} is a network file system, on which SQLite's WAL is not safe; use a local disk",
                self.file_system
            ))
        })
    }

    fn is_slow(&self) -> Option<Finding> {
        let ms = self.flush.p50_ns / 1_000_000;
        (self.flush.p50_ns > FLUSH_NS_SLOW)
            .then(|| note(format!("a flush takes {ms} ms, and so does every call that writes")))
    }
}

fn serious(text: String) -> Finding {
    Finding { serious: true, text }
}

fn note(text: String) -> Finding {
    Finding { serious: false, text }
}

/// Measures the disk below the folder `data`, for about two seconds. Leaves nothing there.
///
/// # Errors
/// `station.read_only` when the disk refuses a write or a flush, or the folder is not there.
pub fn measure(data: &Path) -> Result<Disk, Failure> {
    let failed = |source: io::Error| Failure::new(Code::StationReadOnly, format!("{}: {source}", data.display()));
    let data = data.canonicalize().map_err(failed)?;
    let room = statvfs(&data).map_err(|errno| failed(errno.into()))?;
    let in_use = in_use(&data).map_err(failed)?;
    let scratch = Scratch::make(&data).map_err(failed)?;
    let (write, flush, big_flush) = times(&scratch.file).map_err(failed)?;
    Ok(Disk {
        file_system: file_system(&data),
        free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
        in_use,
        write,
        flush,
        big_flush,
    })
}

fn times(file: &File) -> io::Result<(Times, Times, Times)> {
    let flush = repeat(file, PAGE, true, TIME)?;
    let write = repeat(file, PAGE, false, TIME / 4)?;
    file.sync_data()?;
    Ok((write, flush, repeat(file, BIG, true, TIME / 4)?))
}

/// Writes so many bytes again and again, over what is there already, as a WAL is written once it has its length.
fn repeat(file: &File, bytes: usize, flushing: bool, time: Duration) -> io::Result<Times> {
    let (began, mut all, mut content) = (Instant::now(), Vec::new(), vec![0_u8; bytes]);
    while all.len() < COUNT_MAX && began.elapsed() < time {
        // Never twice the same, so that nobody can leave it alone because it is there already.
        content.iter_mut().step_by(512).for_each(|byte| *byte = byte.wrapping_add(1));
        let offset = all.len() * bytes % FILE_BYTES;
        let start = Instant::now();
        file.write_all_at(&content, offset as u64)?;
        if flushing {
            file.sync_data()?;
        }
        all.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(Times::of(all))
}

/// The file that is measured with, removed in the end.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn make(data: &Path) -> io::Result<Self> {
        let path = data.join(format!("doctor-{}.tmp", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let this = Self { path, file };
        this.file.write_all_at(&vec![0x5a; FILE_BYTES], 0)?;
        this.file.sync_all()?;
        Ok(this)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

/// True when a station has the lock of the folder. Makes no lock where there is none.
fn in_use(data: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).open(data.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(lock) => match lock.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
    }
}

/// The kind of the file system, from the system's list of mounts.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    kind(&mounts, path).unwrap_or_default()
}

/// The kind of the mount that `path` is below; the last of several at one place hides the others.
fn kind(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        let kind = after.split(' ').next()?.to_owned();
        path.starts_with(&point).then_some((Path::new(&point).components().count(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: Times = Times { count: 100, p50_ns: 800_000, p99_ns: 3_000_000 };

    fn disk() -> Disk {
        let write = Times { count: 100, p50_ns: 900, p99_ns: 4_000 };
        let file_system = "ext4".to_owned();
        let (free_bytes, total_bytes) = (1 << 40, 1 << 41);
        Disk { file_system, free_bytes, total_bytes, in_use: false, write, flush: REAL, big_flush: REAL }
    }

    fn told(disk: &Disk) -> Vec<(bool, String)> {
        disk.findings().into_iter().map(|f| (f.serious, f.text.chars().take(14).collect())).collect()
    }

    #[test]
    fn a_disk_is_judged_by_what_it_cannot_do() {
        let fast = Times { p50_ns: 2_000, ..REAL };
        let drive = Times { p50_ns: 25_000, ..REAL };
        assert_eq!(told(&disk()), []);
        assert_eq!(told(&Disk { flush: drive, ..disk() }), [], "a drive with its own battery");
        for lying in [Disk { flush: fast, ..disk() }, Disk { big_flush: drive, ..disk() }] {
            assert_eq!(told(&lying), [(true, "the disk lies:".to_owned())]);
        }
        let tmpfs = Disk { file_system: "tmpfs".into(), ..disk() };
        assert_eq!(told(&tmpfs), [(true, "tmpfs is memor".to_owned())]);
        assert!(disk().findings().is_empty() && Disk { free_bytes: 1 << 20, ..disk() }.findings()[0].serious);
        assert!(!Disk { flush: Times { p50_ns: 30_000_000, ..REAL }, ..disk() }.findings()[0].serious);
        assert!(!Disk { file_system: "nfs4".into(), ..disk() }.findings()[0].serious);
    }

    #[test]
    fn the_nearest_mount_counts_and_the_last_of_several() {
        let mounts = "22 1 0:1 / / rw - overlay overlay rw\n\
                      23 22 0:2 / /var rw shared:1 - ext4 /dev/sda rw\n\
                      24 22 0:3 / /var/with\\040space rw - xfs /dev/sdb rw\n\
                      25 22 0:4 / /var rw - btrfs /dev/sdc rw\n";
        let kind = |path: &str| kind(mounts, Path::new(path)).unwrap();
        assert_eq!(
            [kind("/tmp"), kind("/var/lib"), kind("/variable"), kind("/var/with space/x")],
            ["overlay", "btrfs", "overlay", "xfs"]
        );
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        assert_eq!(Times::of((0..=100).rev().collect()), Times { count: 101, p50_ns: 50, p99_ns: 99 });
        assert_eq!(Times::of(vec![7]), Times { count: 1, p50_ns: 7, p99_ns: 7 });
        assert_eq!(Times::of(vec![]), Times::default());
    }

    #[test]
    fn measuring_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let measured = measure(folder.path()).unwrap();
        assert!(measured.flush.count > 0 && measured.flush.p50_ns <= measured.flush.p99_ns);
        assert!(measured.total_bytes >= measured.free_bytes && !measured.in_use);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let _lock = crate::lock::Lock::take(folder.path()).unwrap();
        assert!(in_use(folder.path()).unwrap());
        assert!(measure(&folder.path().join("nothing")).is_err());
    }
}
