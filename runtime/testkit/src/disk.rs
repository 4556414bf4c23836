//! A disk that fails, dies, is slow, or tells what was done to it: for the data folder of one station.
//!
//! It is a library in C (`shim/disk.c`) that is preloaded into the real binary, compiled once per version of its text.
//! It stands before libc's functions on files, so it needs a binary that is linked dynamically, as ours is, and code that
//! goes through libc: SQLite and std do, rustix does not. See [`Trace`](crate::Trace) for what it tells.

use crate::Trace;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = include_str!("../shim/disk.c");

/// How the disk behaves from the next start on. The default behaves well and is silent.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    harm: Option<Harm>,
    trace: Option<PathBuf>,
    sync_delay: Duration,
    sync_gate: Option<PathBuf>,
    syncs_not: bool,
}

/// What happens to which operation. Writes, syncs, truncations, opening for writing, removing, renaming and making
/// folders count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Harm {
    /// The number of the operation, from 1, since the start.
    pub at: u64,
    /// Which operations are numbered.
    pub of: Of,
    /// What happens.
    pub how: How,
    /// Whether it happens to all later operations, too.
    pub on: bool,
}

/// Operations that are numbered and harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Everything that can change the disk.
    All,
    /// `fsync` and `fdatasync`.
    Syncs,
}

/// A way to harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The operation fails with `EIO`.
    Io,
    /// The operation fails with `ENOSPC`.
    Full,
    /// Half of a write is written; anything else fails with `EIO`.
    Short,
    /// The process is killed right before the operation.
    Kill,
}

impl Disk {
    /// A disk that does harm.
    #[must_use]
    pub fn harming(mut self, harm: Harm) -> Self {
        self.harm = Some(harm);
        self
    }

    /// A disk that tells everything to this file and to one beside it, both new at each start.
    #[must_use]
    pub fn traced(mut self, file: &Path) -> Self {
        self.trace = Some(file.to_owned());
        self
    }

    /// A disk whose every sync takes this much longer. Where the machine's own disk answers from a cache, this is what
    /// makes figures mean something.
    #[must_use]
    pub fn with_slow_syncs(mut self, by: Duration) -> Self {
        self.sync_delay = by;
        self
    }

    /// A disk whose syncs do not end as long as this file is there.
    #[must_use]
    pub fn held_by(mut self, gate: &Path) -> Self {
        self.sync_gate = Some(gate.to_owned());
        self
    }

    /// A disk whose syncs do nothing but count, fail and be told of. What a killed process has written stays in the
    /// system's memory, and a power cut is made from what was told, so a test of either needs no sync of the machine's
    /// own disk, which takes 3 ms when nobody else writes and as long as it likes otherwise.
    #[must_use]
    pub fn without_syncing(mut self) -> Self {
        self.syncs_not = true;
        self
    }

    /// What a station of this binary, or a command of it, must be started with to have this disk below `folder`.
    #[must_use]
    pub fn environment(&self, bin: &Path, folder: &Path) -> Vec<(&'static str, OsString)> {
        let parent = folder.parent().and_then(|parent| parent.canonicalize().ok()).expect("the folder of the test");
        let folder = parent.join(folder.file_name().expect("a data folder"));
        let mut variables: Vec<(&str, OsString)> =
            vec![("LD_PRELOAD", library(bin).into()), ("STATION_SHIM_DIR", folder.into())];
        if let Some(harm) = self.harm {
            variables.push(("STATION_SHIM_FAIL_AT", harm.at.to_string().into()));
            variables.push(("STATION_SHIM_FAIL_HOW", harm.how.name().into()));
            variables.extend((harm.of == Of::Syncs).then(|| ("STATION_SHIM_FAIL_ONLY", "sync".into())));
            variables.extend(harm.on.then(|| ("STATION_SHIM_FAIL_ON", "1".into())));
        }
        if let Some(file) = &self.trace {
            [file.clone(), Trace::data_file(file)].iter().for_each(|old| drop(std::fs::remove_file(old)));
            variables.push(("STATION_SHIM_TRACE", file.into()));
        }
        variables.extend(self.sync_gate.as_ref().map(|gate| ("STATION_SHIM_SYNC_GATE", gate.into())));
        variables.extend(self.syncs_not.then(|| ("STATION_SHIM_SYNC_NOT", "1".into())));
        variables.push(("STATION_SHIM_SYNC_DELAY_US", self.sync_delay.as_micros().to_string().into()));
        variables
    }
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Io => "eio",
            Self::Full => "enospc",
            Self::Short => "short",
            Self::Kill => "kill",
        }
    }
}

/// The compiled library, beside the other temporary things of the build. Several tests may be the first at once, so it
/// gets its name when it is whole.
fn library(bin: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let folder = bin.ancestors().nth(2).unwrap().join("tmp");
    let path = folder.join(format!("disk-{:016x}.so", hasher.finish()));
    if !path.is_file() {
        std::fs::create_dir_all(&folder).unwrap();
        let whole = compile(&folder);
        std::fs::rename(whole, &path).unwrap();
    }
    path
}

fn compile(folder: &Path) -> PathBuf {
    let made = folder.join(format!("disk-{}.part", std::process::id()));
    let source = made.with_extension("c");
    std::fs::write(&source, SOURCE).unwrap();
    // Ubuntu's compiler fortifies by default, which redefines what is defined here.
    let flags = ["-shared", "-fPIC", "-O2", "-Wall", "-U_FORTIFY_SOURCE", "-pthread"];
    let compiled = Command::new("cc").args(flags).arg("-o").arg(&made).arg(&source).arg("-ldl").output();
    let compiled = compiled.expect("a C compiler called `cc`, which building the station needs as well");
    assert!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
    let _ = std::fs::remove_file(source);
    made
}
