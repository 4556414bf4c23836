//! Case files: open, read, list, close.
//!
//! Each change is told to the journal in the same unit of work: when the journal does not accept it, the change is an
//! error too and nothing is kept, neither here nor there. A trap in the journal arrives as `error.failed`, so this
//! module can say so.
//!
//! The files live in two tables, which `migrations/` makes. Files are numbered in order and never deleted, so a page
//! begins where the one before ended.

mod date;
mod draft;
mod files;
mod id;
mod rows;

wit_bindgen::generate!({
    path: [
        "../../../wit/station-kernel",
        "../../../wit/station-sql",
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

/// The station reads the migrations from sections of the component, before any code of ours runs.
#[cfg_attr(target_arch = "wasm32", unsafe(link_section = "station:migration/V1__init.sql"))]
#[used]
static V1: [u8; include_bytes!("../migrations/V1__init.sql").len()] = *include_bytes!("../migrations/V1__init.sql");

struct Module;

impl Guest for Module {
    fn open(draft: Draft, actor: String) -> Result<Dossier, Error> {
        let opened = Dossier::from(files::open(draft.into(), &today())?);
        audit(&actor, "dossier.open", &opened.id, &opened.title)?;
        Ok(opened)
    }

    fn get(id: String) -> Result<Dossier, Error> {
        Ok(files::get(&id)?.into())
    }

    fn list(after: Option<String>, limit: u32) -> Result<Page, Error> {
        let (found, next) = files::list(after.as_deref(), limit)?;
        Ok(Page { dossiers: found.into_iter().map(Dossier::from).collect(), next: next.map(id::of) })
    }

    fn close(id: String, reason: String, actor: String) -> Result<Dossier, Error> {
        let closed = Dossier::from(files::close(&id, &reason, &today())?);
        audit(&actor, "dossier.close", &closed.id, &reason)?;
        Ok(closed)
    }
}

fn today() -> String {
    date::of_seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
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

impl From<Draft> for draft::Draft {
    fn from(draft: Draft) -> Self {
        let Draft { title, client, kind, labels, deadline } = draft;
        Self { title, client, kind, labels, deadline }
    }
}

impl From<files::File> for Dossier {
    fn from(file: files::File) -> Self {
        let draft::Draft { title, client, kind, labels, deadline } = file.draft;
        let status = if file.closed.is_some() { Status::Closed } else { Status::Open };
        Self {
            id: id::of(file.number),
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
