//! What a station did to its data folder, and when it answered, in one order.
//!
//! The order errs on the safe side: a write and the end of a sync stand where they had ended, the beginning of a sync
//! and an answer where they had not begun yet. So if the lines say that a sync covers a write and ends before an answer,
//! it was so.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The events of one run of a station.
#[derive(Debug, Clone)]
pub struct Trace {
    /// In their order.
    pub events: Vec<Event>,
    data: Vec<u8>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number, from 1.
    pub number: u64,
    /// What it was.
    pub what: What,
    bytes: Range<usize>,
}

/// What can be seen of a station. Paths are those below the data folder, which itself is `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Bytes were written to a file.
    Write { path: String, at: u64 },
    /// A sync of a file or folder begins.
    Sync { path: String },
    /// The sync with the number `begun` ended well.
    Synced { path: String, begun: u64 },
    /// A file got this length.
    Truncate { path: String, length: u64 },
    /// A new file.
    Create { path: String },
    /// A file lost its name.
    Unlink { path: String },
    /// A file got another name.
    Rename { from: String, to: String },
    /// A new folder.
    Folder { path: String },
    /// Bytes are about to leave through a socket.
    Answer,
    /// An operation is about to be harmed.
    Harmed { operation: String, path: String },
}

impl Trace {
    /// Reads what a station has told to this file so far.
    ///
    /// # Panics
    /// When it is not there or no trace.
    #[track_caller]
    pub fn read(file: &Path) -> Self {
        let lines = std::fs::read_to_string(file).expect("a trace");
        // A station that was killed may have left half a line.
        let whole = lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let events = whole.map(|line| event(line).unwrap_or_else(|| panic!("not an event: {line:?}"))).collect();
        let data = std::fs::read(Self::data_file(file)).expect("the data of a trace");
        Self { events, data }
    }

    /// Where the bytes of writes and answers are.
    pub(crate) fn data_file(file: &Path) -> PathBuf {
        file.with_added_extension("data")
    }

    /// The bytes that were written or sent.
    pub fn bytes(&self, event: &Event) -> &[u8] {
        &self.data[event.bytes.clone()]
    }

    /// Whether an operation was harmed.
    pub fn harmed(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::Harmed { .. }))
    }

    /// Where each of these texts was first written or sent by an event that `of` admits: indexes into the events. One
    /// pass over the bytes; all texts have one length and begin alike.
    pub fn first_mentions<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
        of: impl Fn(&What) -> bool,
    ) -> HashMap<&'a str, usize> {
        let mut sought: HashSet<&str> = texts.into_iter().collect();
        let (mut found, length) = (HashMap::new(), sought.iter().next().map_or(0, |text| text.len()));
        let Some(first) = sought.iter().next().and_then(|text| text.bytes().next()) else { return found };
        for (index, event) in self.events.iter().enumerate().filter(|(_, event)| of(&event.what)) {
            let windows = self.bytes(event).windows(length).filter(|window| window[0] == first);
            for text in windows.filter_map(|window| std::str::from_utf8(window).ok()) {
                found.extend(sought.take(text).map(|text| (text, index)));
            }
        }
        found
    }

    /// Whether a sync of this file began after the first of these events and ended well before the second.
    pub fn synced_between(&self, path: &str, after: usize, before: usize) -> bool {
        let numbers = (self.events[after].number, self.events[before].number);
        self.events[after..before].iter().any(
            |event| matches!(&event.what, What::Synced { path: synced, begun } if synced == path && *begun > numbers.0),
        )
    }

    /// The commits in a write-ahead log of SQLite, in order: for each the event that completed it. A frame is a header
    /// of 24 bytes and a page, written one after the other; only the header of a commit's last frame has a size of the
    /// database in it.
    pub fn commits(&self, wal: &str) -> Vec<usize> {
        let mut commits = Vec::new();
        let mut page_of_commit = None;
        for (index, event) in self.events.iter().enumerate() {
            let What::Write { path, at } = &event.what else { continue };
            let bytes = self.bytes(event);
            if path != wal {
                continue;
            }
            if page_of_commit == Some(*at) {
                commits.push(index);
            }
            page_of_commit = (bytes.len() == 24 && bytes[4..8] != [0; 4]).then_some(*at + 24);
        }
        commits
    }
}

/// `number TAB event TAB data position TAB data length TAB numbers and paths`.
fn event(line: &str) -> Option<Event> {
    let mut fields = line.splitn(5, '\t');
    let number = fields.next()?.parse().ok()?;
    let name = fields.next()?;
    let (start, length) = (fields.next()?.parse::<usize>().ok()?, fields.next()?.parse::<usize>().ok()?);
    let what = what(name, fields.next()?)?;
    Some(Event { number, what, bytes: start..start + length })
}

fn what(name: &str, rest: &str) -> Option<What> {
    let pair = || rest.split_once('\t').map(|(one, two)| (one.to_owned(), two.to_owned()));
    let number = || pair().and_then(|(number, path)| Some((number.parse::<u64>().ok()?, path)));
    let path = rest.to_owned();
    Some(match name {
        "write" => number().map(|(at, path)| What::Write { path, at })?,
        "sync" => What::Sync { path },
        "synced" => number().map(|(begun, path)| What::Synced { path, begun })?,
        "truncate" => number().map(|(length, path)| What::Truncate { path, length })?,
        "create" => What::Create { path },
        "unlink" => What::Unlink { path },
        "rename" => pair().map(|(from, to)| What::Rename { from, to })?,
        "mkdir" => What::Folder { path },
        "answer" => What::Answer,
        "harmed" => pair().map(|(operation, path)| What::Harmed { operation, path })?,
        _ => return None,
    })
}
