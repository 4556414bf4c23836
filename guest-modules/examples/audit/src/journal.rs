//! The journal over any storage of keys and values.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chain::{Entry, GENESIS, Line};

/// Longest text of an entry, in bytes: a journal of essays cannot be paged through.
const TEXT_BYTES_MAX: usize = 4096;
/// Most lines of one page.
const PAGE_MAX: u32 = 100;

/// Why the journal refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    Invalid(String),
    Tampered(u64),
    Storage(String),
}

/// Where the lines are kept; errors in words.
pub trait Storage {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    fn write(&self, key: &str, value: &[u8]) -> Result<(), String>;
}

/// The end of the chain.
#[derive(serde::Serialize, serde::Deserialize)]
struct Head {
    seq: u64,
    hash: String,
}

pub struct Journal<S> {
    storage: S,
}

impl<S: Storage> Journal<S> {
    pub fn new(storage: S) -> Self {
        Self { storage }
    }

    /// Adds an entry at the end and answers its line.
    pub fn append(&self, entry: Entry, at: u64) -> Result<Line, Error> {
        check(&entry)?;
        let head = self.head()?;
        let line = Line::following(head.seq, &head.hash, entry, at);
        self.write(&key(line.seq), &line)?;
        self.write(
            "head",
            &Head {
                seq: line.seq,
                hash: line.hash.clone(),
            },
        )?;
        Ok(line)
    }

    /// Lines after a number, and where the next page begins.
    pub fn page(&self, after: u64, limit: u32) -> Result<(Vec<Line>, Option<u64>), Error> {
        let end = self.head()?.seq;
        let last = after
            .saturating_add(limit.clamp(1, PAGE_MAX).into())
            .min(end);
        let lines = (after.saturating_add(1)..=last)
            .map(|seq| self.line(seq))
            .collect::<Result<_, _>>()?;
        Ok((lines, (last < end).then_some(last)))
    }

    /// Recomputes the whole chain and answers its length.
    pub fn verify(&self) -> Result<u64, Error> {
        let head = self.head()?;
        let mut previous = GENESIS.to_owned();
        for seq in 1..=head.seq {
            let line = self.line(seq)?;
            if !line.follows(seq - 1, &previous) {
                return Err(Error::Tampered(seq));
            }
            previous = line.hash;
        }
        if previous == head.hash {
            Ok(head.seq)
        } else {
            Err(Error::Tampered(head.seq))
        }
    }

    fn head(&self) -> Result<Head, Error> {
        Ok(self.read("head")?.unwrap_or(Head {
            seq: 0,
            hash: GENESIS.to_owned(),
        }))
    }

    /// A line that must be there; when it is not, somebody removed it.
    fn line(&self, seq: u64) -> Result<Line, Error> {
        self.read(&key(seq))?.ok_or(Error::Tampered(seq))
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(bytes) = self.storage.read(key).map_err(Error::Storage)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes);
        value
            .map(Some)
            .map_err(|error| Error::Storage(format!("reading {key}: {error}")))
    }

    fn write(&self, key: &str, value: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec(value).map_err(|error| Error::Storage(error.to_string()))?;
        self.storage.write(key, &bytes).map_err(Error::Storage)
    }
}

/// Numbers are padded so that a listing of keys is in order.
fn key(seq: u64) -> String {
    format!("line/{seq:012}")
}

fn check(entry: &Entry) -> Result<(), Error> {
    let named = [
        ("actor", &entry.actor),
        ("action", &entry.action),
        ("subject", &entry.subject),
    ];
    if let Some((field, _)) = named.iter().find(|(_, text)| text.trim().is_empty()) {
        return Err(Error::Invalid(format!("{field} is empty")));
    }
    let long = named
        .into_iter()
        .chain([("detail", &entry.detail)])
        .find(|(_, text)| text.len() > TEXT_BYTES_MAX);
    match long {
        Some((field, _)) => Err(Error::Invalid(format!(
            "{field} is longer than {TEXT_BYTES_MAX} bytes"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

    impl Storage for Memory {
        fn read(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(self.0.borrow().get(key).cloned())
        }

        fn write(&self, key: &str, value: &[u8]) -> Result<(), String> {
            self.0.borrow_mut().insert(key.to_owned(), value.to_vec());
            Ok(())
        }
    }

    fn entry(subject: &str) -> Entry {
        Entry {
            actor: "anna".into(),
            action: "dossier.open".into(),
            subject: subject.into(),
            detail: String::new(),
        }
    }

    fn journal(lines: u64) -> Journal<Memory> {
        let journal = Journal::new(Memory::default());
        for number in 1..=lines {
            journal.append(entry(&number.to_string()), number).unwrap();
        }
        journal
    }

    #[test]
    fn an_empty_journal_verifies() {
        assert_eq!(journal(0).verify(), Ok(0));
    }

    #[test]
    fn lines_are_chained() {
        let journal = journal(3);
        let (lines, next) = journal.page(0, 10).unwrap();
        assert_eq!(next, None);
        assert_eq!(lines[0].previous, GENESIS);
        assert_eq!(lines[2].previous, lines[1].hash);
        assert_eq!(journal.verify(), Ok(3));
    }

    #[test]
    fn pages_follow_one_another() {
        let journal = journal(5);
        let (first, next) = journal.page(0, 2).unwrap();
        assert_eq!((first.len(), next), (2, Some(2)));
        let (last, next) = journal.page(4, 2).unwrap();
        assert_eq!((last[0].seq, last.len(), next), (5, 1, None));
        assert_eq!(journal.page(99, 2).unwrap(), (vec![], None));
    }

    #[test]
    fn a_limit_of_zero_is_one() {
        assert_eq!(journal(2).page(0, 0).unwrap().0.len(), 1);
    }

    #[test]
    fn a_changed_line_is_found() {
        let journal = journal(3);
        let mut line = journal.line(2).unwrap();
        line.entry.actor = "mallory".into();
        journal.write(&key(2), &line).unwrap();
        assert_eq!(journal.verify(), Err(Error::Tampered(2)));
    }

    #[test]
    fn a_rewritten_line_breaks_the_next() {
        let journal = journal(3);
        let first = journal.line(1).unwrap();
        let forged = Line::following(1, &first.hash, entry("forged"), 2);
        journal.write(&key(2), &forged).unwrap();
        assert_eq!(journal.verify(), Err(Error::Tampered(3)));
    }

    #[test]
    fn a_removed_line_is_found() {
        let journal = journal(3);
        journal.storage.0.borrow_mut().remove(&key(2));
        assert_eq!(journal.verify(), Err(Error::Tampered(2)));
    }

    #[test]
    fn entries_must_say_who_and_what() {
        let journal = journal(0);
        let nobody = Entry {
            actor: " ".into(),
            ..entry("x")
        };
        assert_eq!(
            journal.append(nobody, 1),
            Err(Error::Invalid("actor is empty".into()))
        );
        let essay = Entry {
            detail: "x".repeat(TEXT_BYTES_MAX + 1),
            ..entry("x")
        };
        assert!(matches!(journal.append(essay, 1), Err(Error::Invalid(_))));
        assert_eq!(journal.verify(), Ok(0));
    }
}
