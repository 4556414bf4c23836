//! Case files over any storage of keys and values.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::date;

/// Most case files of one page.
const PAGE_MAX: u32 = 100;
/// Longest text of a field, in bytes.
const TEXT_BYTES_MAX: usize = 500;
/// Most labels of one case file.
const LABELS_MAX: usize = 20;

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    Invalid(Vec<String>),
    NotFound(String),
    Closed(String),
    Storage(String),
}

/// What is needed to open a case file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    pub title: String,
    pub client: String,
    pub kind: String,
    pub labels: Vec<String>,
    pub deadline: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub id: String,
    pub draft: Draft,
    pub opened: String,
    pub closed: Option<String>,
}

/// Where the files are kept; errors in words.
pub trait Storage {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    fn write(&self, key: &str, value: &[u8]) -> Result<(), String>;
}

pub struct Files<S> {
    storage: S,
}

impl<S: Storage> Files<S> {
    pub fn new(storage: S) -> Self {
        Self { storage }
    }

    /// Opens a case file under the next number.
    pub fn open(&self, draft: Draft, today: &str) -> Result<File, Error> {
        let draft = checked(draft)?;
        let number = self.count()? + 1;
        let file = File {
            id: id(number),
            draft,
            opened: today.to_owned(),
            closed: None,
        };
        self.write(&key(number), &file)?;
        self.write("count", &number)?;
        Ok(file)
    }

    pub fn get(&self, id: &str) -> Result<File, Error> {
        let unknown = || Error::NotFound(id.to_owned());
        self.read(&key(number(id).ok_or_else(unknown)?))?
            .ok_or_else(unknown)
    }

    /// Case files after an id, and where the next page begins.
    pub fn list(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<File>, Option<String>), Error> {
        let start = match after {
            None => 0,
            Some(text) => number(text)
                .ok_or_else(|| Error::Invalid(vec![format!("`{text}` is not an id")]))?,
        };
        let end = self.count()?;
        let last = start
            .saturating_add(limit.clamp(1, PAGE_MAX).into())
            .min(end);
        let found = (start.saturating_add(1)..=last)
            .map(|number| self.get(&id(number)))
            .collect::<Result<_, _>>()?;
        Ok((found, (last < end).then(|| id(last))))
    }

    pub fn close(&self, id: &str, reason: &str, today: &str) -> Result<File, Error> {
        let mut mistakes = Vec::new();
        check_text(&mut mistakes, "reason", reason);
        refuse(mistakes)?;
        let mut file = self.get(id)?;
        if file.closed.is_some() {
            return Err(Error::Closed(id.to_owned()));
        }
        file.closed = Some(today.to_owned());
        self.write(&key(number(id).unwrap_or_default()), &file)?;
        Ok(file)
    }

    fn count(&self) -> Result<u64, Error> {
        Ok(self.read("count")?.unwrap_or(0))
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

fn id(number: u64) -> String {
    format!("LX-{number:06}")
}

/// The number in an id. Only the spelling that `id` gives is accepted, so that a file has one name.
fn number(text: &str) -> Option<u64> {
    text.strip_prefix("LX-")?
        .parse()
        .ok()
        .filter(|number| id(*number) == text)
}

fn key(number: u64) -> String {
    format!("dossier/{number:012}")
}

/// Trims, then checks everything before it answers, so that the caller sees all mistakes at once.
fn checked(mut draft: Draft) -> Result<Draft, Error> {
    for text in [&mut draft.title, &mut draft.client, &mut draft.kind] {
        *text = text.trim().to_owned();
    }
    draft.labels.sort();
    draft.labels.dedup();

    let mut mistakes = Vec::new();
    check_text(&mut mistakes, "title", &draft.title);
    check_text(&mut mistakes, "client", &draft.client);
    check_text(&mut mistakes, "kind", &draft.kind);
    for label in &draft.labels {
        check_text(&mut mistakes, "label", label);
    }
    if draft.labels.len() > LABELS_MAX {
        mistakes.push(format!("there are more than {LABELS_MAX} labels"));
    }
    if draft
        .deadline
        .as_deref()
        .is_some_and(|day| !date::is_valid(day))
    {
        mistakes.push("the deadline is not a day written YYYY-MM-DD".to_owned());
    }
    refuse(mistakes)?;
    Ok(draft)
}

fn check_text(mistakes: &mut Vec<String>, field: &str, text: &str) {
    if text.trim().is_empty() {
        mistakes.push(format!("{field} is empty"));
    } else if text.len() > TEXT_BYTES_MAX {
        mistakes.push(format!("{field} is longer than {TEXT_BYTES_MAX} bytes"));
    }
}

fn refuse(mistakes: Vec<String>) -> Result<(), Error> {
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(mistakes))
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

    fn draft(title: &str) -> Draft {
        Draft {
            title: title.into(),
            client: "ACME".into(),
            kind: "appeal".into(),
            labels: vec![],
            deadline: None,
        }
    }

    fn files(count: u32) -> Files<Memory> {
        let files = Files::new(Memory::default());
        for number in 1..=count {
            files
                .open(draft(&format!("case {number}")), "2025-01-02")
                .unwrap();
        }
        files
    }

    #[test]
    fn ids_are_given_in_order() {
        let files = files(2);
        assert_eq!(
            files.open(draft("third"), "2025-01-02").unwrap().id,
            "LX-000003"
        );
        assert_eq!(files.get("LX-000001").unwrap().draft.title, "case 1");
    }

    #[test]
    fn unknown_ids_are_not_found() {
        for id in ["LX-000002", "LX-1", "LX-+00001", "1", ""] {
            assert_eq!(files(1).get(id), Err(Error::NotFound(id.to_owned())));
        }
    }

    #[test]
    fn pages_follow_one_another() {
        let files = files(3);
        let (first, next) = files.list(None, 2).unwrap();
        assert_eq!((first.len(), next.as_deref()), (2, Some("LX-000002")));
        let (last, next) = files.list(next.as_deref(), 2).unwrap();
        assert_eq!(
            (last[0].id.as_str(), last.len(), next),
            ("LX-000003", 1, None)
        );
        assert_eq!(files.list(Some("LX-999999"), 2).unwrap(), (vec![], None));
        assert!(matches!(files.list(Some("x"), 2), Err(Error::Invalid(_))));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let bad = Draft {
            client: "x".repeat(501),
            deadline: Some("tomorrow".into()),
            ..draft("  ")
        };
        let Err(Error::Invalid(mistakes)) = files(0).open(bad, "2025-01-02") else {
            panic!("accepted")
        };
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert_eq!(files(0).list(None, 1).unwrap(), (vec![], None));
    }

    #[test]
    fn labels_are_sorted_and_kept_once() {
        let labels = vec!["b".to_owned(), "a".to_owned(), "b".to_owned()];
        let file = files(0)
            .open(
                Draft {
                    labels,
                    ..draft("x")
                },
                "2025-01-02",
            )
            .unwrap();
        assert_eq!(file.draft.labels, ["a", "b"]);
    }

    #[test]
    fn a_closed_file_stays_as_it_is() {
        let files = files(1);
        assert_eq!(
            files
                .close("LX-000001", "settled", "2025-03-04")
                .unwrap()
                .closed
                .as_deref(),
            Some("2025-03-04")
        );
        assert_eq!(
            files.close("LX-000001", "again", "2025-03-05"),
            Err(Error::Closed("LX-000001".into()))
        );
        assert!(matches!(
            files.close("LX-000001", "", "2025-03-05"),
            Err(Error::Invalid(_))
        ));
        assert!(matches!(
            files.close("LX-000009", "x", "2025-03-05"),
            Err(Error::NotFound(_))
        ));
    }
}
