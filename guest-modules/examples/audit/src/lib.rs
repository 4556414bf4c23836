//! An append-only journal in which nobody can change what was written unnoticed.
//!
//! Every line carries a hash over itself and the line before, so the last hash vouches for the whole journal. What
//! keeps lines safe from being *removed at the end* is the receipt, which the caller has.
//!
//! The journal lives in the bucket `default`: `head` says how long it is, `line/<number>` are its lines. Both are
//! written in the caller's unit of work, so a call that fails leaves no line behind.

mod chain;
mod journal;

wit_bindgen::generate!({
    path: ["../../../wit/station-kernel", "../../../wit/deps/keyvalue-draft", "../../wit/lex-audit", "wit"],
    world: "lexorbital:audit-module/module",
    generate_all,
});

use std::time::{SystemTime, UNIX_EPOCH};

use exports::lexorbital::audit::journal::{Entry, Error, Excerpt, Guest, Line, Receipt};
use wasi::keyvalue::store::{self, Bucket};

use journal::{Journal, Storage};

const BUCKET: &str = "default";

struct Module;

impl Guest for Module {
    fn append(entry: Entry) -> Result<Receipt, Error> {
        let line = open()?.append(entry.into(), now_ms())?;
        Ok(Receipt {
            seq: line.seq,
            hash: line.hash,
        })
    }

    fn page(after: u64, limit: u32) -> Result<Excerpt, Error> {
        let (lines, next) = open()?.page(after, limit)?;
        Ok(Excerpt {
            lines: lines.into_iter().map(Line::from).collect(),
            next,
        })
    }

    fn verify() -> Result<u64, Error> {
        Ok(open()?.verify()?)
    }
}

fn open() -> Result<Journal<Bucket>, Error> {
    let bucket = store::open(BUCKET)
        .map_err(|error| Error::Storage(format!("opening {BUCKET}: {error:?}")))?;
    Ok(Journal::new(bucket))
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64
}

impl Storage for Bucket {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.get(key)
            .map_err(|error| format!("reading {key}: {error:?}"))
    }

    fn write(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.set(key, value)
            .map_err(|error| format!("writing {key}: {error:?}"))
    }
}

impl From<Entry> for chain::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}

impl From<chain::Line> for Line {
    fn from(line: chain::Line) -> Self {
        let chain::Entry {
            actor,
            action,
            subject,
            detail,
        } = line.entry;
        Self {
            seq: line.seq,
            at: line.at,
            entry: Entry {
                actor,
                action,
                subject,
                detail,
            },
            previous: line.previous,
            hash: line.hash,
        }
    }
}

impl From<journal::Error> for Error {
    fn from(error: journal::Error) -> Self {
        match error {
            journal::Error::Invalid(why) => Self::Invalid(why),
            journal::Error::Tampered(seq) => Self::Tampered(seq),
            journal::Error::Storage(why) => Self::Storage(why),
        }
    }
}

export!(Module);
