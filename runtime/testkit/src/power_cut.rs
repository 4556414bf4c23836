//! A power cut: what may be on the disk when it comes, made from a [`Trace`].
//!
//! What was synced is there. Of everything else (parts of writes, lengths, names) any subset may be there, because a
//! disk and a file system write in the order that suits them. Each image takes one such subset by its seed; with
//! [`Loss::ALL`] it is the empty one.
//!
//! What a failed sync left behind never becomes safe, although running programs go on seeing it: the system marks such
//! pages clean, so that a later sync succeeds without writing them. Only writing them anew helps.
//!
//! A name is safe once its folder was synced, not with the file: some file systems promise more and POSIX does not.
//! SQLite's `-shm` is left out: it is never synced and made anew from the log.

use crate::{Event, Seed, Trace, What};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How much of what was not synced is lost.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// Bytes that are kept or lost together, at multiples of this in a file.
    pub unit: usize,
    /// How many units of a hundred are lost.
    pub percent: u64,
}

impl Loss {
    /// Nothing is there but what was synced.
    pub const ALL: Self = Self { unit: 4096, percent: 100 };

    /// One of the ways to lose something.
    pub fn any(seed: &mut Seed) -> Self {
        let unit = [512, 4096][seed.below(2) as usize];
        Self { unit, percent: [0, 10, 50, 90, 100][seed.below(5) as usize] }
    }
}

/// Files by their path below the data folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Everything below a folder.
pub fn read_files(folder: &Path) -> Files {
    let mut found = Files::new();
    read_into(&mut found, folder, "");
    found
}

fn read_into(found: &mut Files, folder: &Path, prefix: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        let name = format!("{prefix}{name}");
        match path.is_dir() {
            true => read_into(found, &path, &format!("{name}/")),
            false => drop(found.insert(name, std::fs::read(path).unwrap())),
        }
    }
}

/// Lets a folder hold these files and nothing else, for the owner alone. The station makes the folders that it misses.
pub fn write_files(files: &Files, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.unwrap();
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
}

/// What is on the disk when the power goes right before the event with this index. `before` are the files from before
/// the trace, all of them safe.
pub fn after_power_cut(before: &Files, trace: &Trace, cut: usize, loss: Loss, seed: &mut Seed) -> Files {
    let mut platter = Platter::of(before);
    trace.events[..cut].iter().for_each(|event| platter.see(event, trace));
    platter.left(loss, seed)
}

/// A file system in memory that remembers what is not safe yet.
#[derive(Debug, Default)]
struct Platter<'t> {
    contents: Vec<Content<'t>>,
    /// What a running program sees.
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    unsafe_names: Vec<(u64, NameChange)>,
}

#[derive(Debug, Default)]
struct Content<'t> {
    safe: Vec<u8>,
    changes: Vec<(u64, Change<'t>)>,
}

#[derive(Debug, Clone, Copy)]
enum Change<'t> {
    Write(usize, &'t [u8]),
    Truncate(usize),
}

#[derive(Debug, Clone)]
struct NameChange {
    path: String,
    content: Option<usize>,
}

impl<'t> Platter<'t> {
    fn of(files: &Files) -> Self {
        let contents = files.values().map(|bytes| Content { safe: bytes.clone(), changes: Vec::new() }).collect();
        let names: BTreeMap<_, _> = files.keys().cloned().zip(0..).collect();
        Self { contents, safe_names: names.clone(), names, unsafe_names: Vec::new() }
    }

    fn see(&mut self, event: &Event, trace: &'t Trace) {
        let number = event.number;
        match &event.what {
            What::Write { path, at } => self.change(number, path, Change::Write(*at as usize, trace.bytes(event))),
            What::Truncate { path, length } => self.change(number, path, Change::Truncate(*length as usize)),
            What::Create { path } => {
                self.contents.push(Content::default());
                self.rename(number, path, Some(self.contents.len() - 1));
            }
            What::Unlink { path } => self.rename(number, path, None),
            What::Rename { from, to } => {
                let content = self.names.get(from).copied();
                self.rename(number, to, content);
                self.rename(number, from, None);
            }
            What::Synced { path, begun } => self.sync(path, *begun),
            What::Harmed { operation, path } if operation == "sync" => self.forget(path),
            What::Sync { .. } | What::Folder { .. } | What::Answer | What::Harmed { .. } => {}
        }
    }

    /// A file that has no name any more is nobody's loss.
    fn change(&mut self, number: u64, path: &str, change: Change<'t>) {
        if let Some(&content) = self.names.get(path) {
            self.contents[content].changes.push((number, change));
        }
    }

    fn rename(&mut self, number: u64, path: &str, content: Option<usize>) {
        set_name(&mut self.names, path, content);
        self.unsafe_names.push((number, NameChange { path: path.to_owned(), content }));
    }

    /// Everything from before the sync began is safe.
    fn sync(&mut self, path: &str, begun: u64) {
        if let Some(&content) = self.names.get(path) {
            let content = &mut self.contents[content];
            let (safe, rest) =
                std::mem::take(&mut content.changes).into_iter().partition(|(number, _)| *number < begun);
            content.changes = rest;
            let safe: Vec<_> = safe;
            safe.into_iter().for_each(|(_, change)| change.apply(&mut content.safe));
        }
        let all = std::mem::take(&mut self.unsafe_names);
        let (safe, rest) = all.into_iter().partition(|(number, it)| *number < begun && folder_of(&it.path) == path);
        self.unsafe_names = rest;
        let safe: Vec<_> = safe;
        safe.iter().for_each(|(_, it)| set_name(&mut self.safe_names, &it.path, it.content));
    }

    /// A sync failed.
    fn forget(&mut self, path: &str) {
        if let Some(&content) = self.names.get(path) {
            self.contents[content].changes.clear();
        }
    }

    /// Draws what else has made it.
    fn left(mut self, loss: Loss, seed: &mut Seed) -> Files {
        for (_, change) in &self.unsafe_names {
            if !seed.percent(loss.percent) {
                set_name(&mut self.safe_names, &change.path, change.content);
            }
        }
        let names = std::mem::take(&mut self.safe_names);
        let kept = names.into_iter().filter(|(name, _)| !name.ends_with("-shm"));
        kept.map(|(name, content)| (name, self.contents[content].left(loss, seed))).collect()
    }
}

impl Content<'_> {
    fn left(&self, loss: Loss, seed: &mut Seed) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        for (_, change) in &self.changes {
            for part in change.parts(loss.unit) {
                if !seed.percent(loss.percent) {
                    part.apply(&mut bytes);
                }
            }
        }
        bytes
    }
}

impl<'t> Change<'t> {
    fn apply(self, file: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => file.resize(length, 0),
            Self::Write(at, bytes) => {
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// What can be lost by itself.
    fn parts(self, unit: usize) -> Vec<Self> {
        let Self::Write(mut at, mut bytes) = self else { return vec![self] };
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(unit - at % unit));
            parts.push(Self::Write(at, part));
            at += part.len();
            bytes = rest;
        }
        parts
    }
}

fn set_name(names: &mut BTreeMap<String, usize>, path: &str, content: Option<usize>) {
    match content {
        Some(content) => drop(names.insert(path.to_owned(), content)),
        None => drop(names.remove(path)),
    }
}

/// As the trace calls it.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}
