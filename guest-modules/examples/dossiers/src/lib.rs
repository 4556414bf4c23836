//! Case files: open, read, list, close.
//!
//! Each change is told to the journal in the same unit of work: when the journal does not accept it, the change is an
//! error too and nothing is kept. A trap in the journal arrives as `error.failed`, so this module can say so.
//!
//! The files live in the bucket `default`: `count` says how many there are, `dossier/<number>` are they. They are
//! numbered in order and never deleted, so a page is a range of numbers and no listing of keys is needed.

mod date;
mod files;

wit_bindgen::generate!({
    path: [
        "../../../wit/station-kernel",
        "../../../wit/deps/keyvalue-draft",
        "../../wit/lex-audit",
        "../../wit/lex-dossiers",
        "wit",
    ],
    world: "lexorbital:dossiers-module/module",
    generate_all,
});

use std::time::{SystemTime, UNIX_EPOCH};

use exports::lexorbital::dossiers::files::{Dossier, Draft, Error, Guest, Page, Status};
use lexorbital::audit::journal;
use wasi::keyvalue::store::{self, Bucket};

use files::{Files, Storage};

const BUCKET: &str = "default";

struct Module;

impl Guest for Module {
    fn open(draft: Draft, actor: String) -> Result<Dossier, Error> {
        let file = open()?.open(draft.into(), &today())?;
        audit(&actor, "dossier.open", &file.id, &file.draft.title)?;
        Ok(file.into())
    }

    fn get(id: String) -> Result<Dossier, Error> {
        Ok(open()?.get(&id)?.into())
    }

    fn list(after: Option<String>, limit: u32) -> Result<Page, Error> {
        let (found, next) = open()?.list(after.as_deref(), limit)?;
        Ok(Page {
            dossiers: found.into_iter().map(Dossier::from).collect(),
            next,
        })
    }

    fn close(id: String, reason: String, actor: String) -> Result<Dossier, Error> {
        let file = open()?.close(&id, &reason, &today())?;
        audit(&actor, "dossier.close", &file.id, &reason)?;
        Ok(file.into())
    }
}

fn open() -> Result<Files<Bucket>, Error> {
    let bucket = store::open(BUCKET)
        .map_err(|error| Error::Storage(format!("opening {BUCKET}: {error:?}")))?;
    Ok(Files::new(bucket))
}

fn today() -> String {
    date::of_seconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
    )
}

/// Tells the journal; its refusal is this call's failure.
fn audit(actor: &str, action: &str, subject: &str, detail: &str) -> Result<(), Error> {
    let entry = journal::Entry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    match journal::append(&entry) {
        Ok(_) => Ok(()),
        Err(journal::Error::Failed(error)) => Err(Error::Failed(error)),
        Err(journal::Error::Invalid(why)) => Err(Error::Invalid(vec![why])),
        Err(error) => Err(Error::Audit(format!("{error:?}"))),
    }
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

impl From<Draft> for files::Draft {
    fn from(draft: Draft) -> Self {
        let Draft {
            title,
            client,
            kind,
            labels,
            deadline,
        } = draft;
        Self {
            title,
            client,
            kind,
            labels,
            deadline,
        }
    }
}

impl From<files::File> for Dossier {
    fn from(file: files::File) -> Self {
        let files::Draft {
            title,
            client,
            kind,
            labels,
            deadline,
        } = file.draft;
        let status = if file.closed.is_some() {
            Status::Closed
        } else {
            Status::Open
        };
        Self {
            id: file.id,
            title,
            client,
            kind,
            labels,
            deadline,
            status,
            opened: file.opened,
            closed: file.closed,
        }
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::Invalid(mistakes) => Self::Invalid(mistakes),
            files::Error::NotFound(id) => Self::NotFound(id),
            files::Error::Closed(id) => Self::Closed(id),
            files::Error::Storage(why) => Self::Storage(why),
        }
    }
}

export!(Module);
