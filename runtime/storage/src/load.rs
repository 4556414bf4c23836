//! Reads the registry back, and checks everything on the way.
//!
//! A row that is not what it should be is an error that names its module and a way out, rather than a module that
//! silently has fewer grants or revisions than its operator decided.

use crate::{Fault, Unreadable};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use serde::de::DeserializeOwned;
use station_kernel::state::{AuditEntry, ModuleState, Revision, State, Token};
use station_model::{Grant, InterfaceName, ModuleName};
use std::{fmt::Display, str::FromStr};

/// Everything in the registry.
pub(crate) fn state(db: &Connection) -> Result<State, Fault> {
    let mut state = State::default();
    for row in rows(db, "SELECT id, name, active, limits, instances, config, routes FROM modules", &[], module_row)? {
        let (name, module) = module(db, row)?;
        state.modules.insert(name, module);
    }
    for row in rows(db, "SELECT id, label, hash, scopes, created_ms FROM tokens", &[], token_row)? {
        let token = token(row)?;
        state.tokens.insert(token.id.clone(), token);
    }
    Ok(state)
}

/// The last `limit` audit entries, newest first.
pub(crate) fn audit(db: &Connection, limit: u32) -> Result<Vec<AuditEntry>, Fault> {
    let sql = "SELECT at_ms, principal, action, subject, detail, seq FROM audit ORDER BY seq DESC LIMIT ?1";
    rows(db, sql, &[&limit], audit_row)?.into_iter().map(audit_entry).collect()
}

/// The number of a module.
pub(crate) fn module_id(db: &Connection, name: &ModuleName) -> Result<i64, Fault> {
    let mut statement = db.prepare_cached("SELECT id FROM modules WHERE name = ?1")?;
    let found = statement.query_row([name.as_str()], |row| row.get(0)).optional()?;
    found.ok_or_else(|| Fault::NoModule(name.clone()))
}

/// All rows of a query. Read to the end before any is looked at, so that reading more inside cannot disturb it.
pub(crate) fn rows<T>(
    db: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map(values, read)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The first column, for [`rows`].
pub(crate) fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

fn pair(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// Whose data a row is, for the error about it.
pub(crate) enum Owner<'a> {
    Module { id: i64, name: &'a str },
    Token(&'a str),
    AuditEntry(i64),
    Event(i64),
}

impl Owner<'_> {
    pub(crate) fn parse<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        part: &'static str,
        text: &str,
    ) -> Result<T, Unreadable> {
        text.parse().map_err(|source| self.unreadable(part, source))
    }

    fn json<T: DeserializeOwned>(&self, part: &'static str, text: &str) -> Result<T, Unreadable> {
        serde_json::from_str(text).map_err(|source| self.unreadable(part, source))
    }

    /// A number that was written from an unsigned one.
    fn natural(&self, part: &'static str, number: i64) -> Result<u64, Unreadable> {
        u64::try_from(number).map_err(|source| self.unreadable(part, source))
    }

    fn unreadable(
        &self,
        part: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Unreadable {
        Unreadable { part, owner: self.to_string(), remedy: self.remedy(), source: source.into() }
    }

    /// Rows are named by number where there is one: a damaged name is nothing to paste into a shell.
    fn remedy(&self) -> String {
        let give_up = match self {
            Self::Module { id, .. } => format!("PRAGMA foreign_keys = ON; DELETE FROM modules WHERE id = {id}"),
            Self::AuditEntry(seq) => format!("DELETE FROM audit WHERE seq = {seq}"),
            Self::Event(offset) => format!(r#"DELETE FROM events WHERE "offset" = {offset}"#),
            Self::Token(_) => return "restore station.db from a backup".to_owned(),
        };
        format!("restore station.db from a backup, or give it up: stop the station and run `{give_up}` on station.db")
    }
}

impl Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Module { id, name } => write!(f, "module {name:?} (number {id})"),
            Self::Token(id) => write!(f, "token {id:?}"),
            Self::Event(offset) => write!(f, "event {offset}"),
            Self::AuditEntry(seq) => write!(f, "audit entry {seq}"),
        }
    }
}

struct ModuleRow {
    id: i64,
    name: String,
    active: Option<String>,
    limits: String,
    instances: String,
    config: String,
    routes: String,
}

fn module_row(row: &Row<'_>) -> rusqlite::Result<ModuleRow> {
    Ok(ModuleRow {
        id: row.get(0)?,
        name: row.get(1)?,
        active: row.get(2)?,
        limits: row.get(3)?,
        instances: row.get(4)?,
        config: row.get(5)?,
        routes: row.get(6)?,
    })
}

fn module(db: &Connection, row: ModuleRow) -> Result<(ModuleName, ModuleState), Fault> {
    let owner = Owner::Module { id: row.id, name: &row.name };
    let state = ModuleState {
        revisions: revisions(db, &owner, row.id)?,
        active: row.active.map(|digest| owner.parse("active revision", &digest)).transpose()?,
        grants: grants(db, &owner, row.id)?,
        links: links(db, &owner, row.id)?.into_iter().collect(),
        limits: owner.json("limits", &row.limits)?,
        instances: owner.json("instances", &row.instances)?,
        config: owner.json("config", &row.config)?,
        routes: owner.json("routes", &row.routes)?,
    };
    if state.active.is_some() && state.active_revision().is_none() {
        return Err(owner.unreadable("active revision", "it is none of the module's revisions").into());
    }
    Ok((owner.parse("name", &row.name)?, state))
}

struct RevisionRow {
    digest: String,
    size: i64,
    uploaded_ms: i64,
    world: String,
    metadata: String,
}

fn revision_row(row: &Row<'_>) -> rusqlite::Result<RevisionRow> {
    Ok(RevisionRow {
        digest: row.get(0)?,
        size: row.get(1)?,
        uploaded_ms: row.get(2)?,
        world: row.get(3)?,
        metadata: row.get(4)?,
    })
}

fn revisions(db: &Connection, owner: &Owner<'_>, id: i64) -> Result<Vec<Revision>, Fault> {
    let sql = "SELECT digest, size, uploaded_ms, world, metadata FROM revisions WHERE module = ?1 ORDER BY seq";
    let found = rows(db, sql, &[&id], revision_row)?;
    found.into_iter().map(|row| Ok(revision(owner, row)?)).collect()
}

fn revision(owner: &Owner<'_>, row: RevisionRow) -> Result<Revision, Unreadable> {
    Ok(Revision {
        digest: owner.parse("digest of a revision", &row.digest)?,
        size: owner.natural("size of a revision", row.size)?,
        uploaded_ms: owner.natural("time of an upload", row.uploaded_ms)?,
        world: owner.json("world of a revision", &row.world)?,
        metadata: owner.json("metadata of a revision", &row.metadata)?,
    })
}

fn grants(db: &Connection, owner: &Owner<'_>, id: i64) -> Result<Vec<Grant>, Fault> {
    let found = rows(db, r#"SELECT "grant" FROM grants WHERE module = ?1 ORDER BY seq"#, &[&id], text)?;
    found.iter().map(|grant| Ok(owner.parse("grants", grant)?)).collect()
}

fn links(db: &Connection, owner: &Owner<'_>, id: i64) -> Result<Vec<(InterfaceName, ModuleName)>, Fault> {
    let found = rows(db, "SELECT interface, provider FROM links WHERE module = ?1", &[&id], pair)?;
    let link = |(interface, provider): &(String, String)| {
        Ok((owner.parse("links", interface)?, owner.parse("links", provider)?))
    };
    found.iter().map(link).collect()
}

struct TokenRow {
    id: String,
    label: String,
    hash: String,
    scopes: String,
    created_ms: i64,
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get(0)?,
        label: row.get(1)?,
        hash: row.get(2)?,
        scopes: row.get(3)?,
        created_ms: row.get(4)?,
    })
}

fn token(row: TokenRow) -> Result<Token, Unreadable> {
    let owner = Owner::Token(&row.id);
    Ok(Token {
        hash: owner.parse("hash", &row.hash)?,
        scopes: owner.json("scopes", &row.scopes)?,
        created_ms: owner.natural("time", row.created_ms)?,
        label: row.label,
        id: row.id.clone(),
    })
}

struct AuditRow {
    seq: i64,
    at_ms: i64,
    principal: String,
    action: String,
    subject: String,
    detail: String,
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        at_ms: row.get(0)?,
        principal: row.get(1)?,
        action: row.get(2)?,
        subject: row.get(3)?,
        detail: row.get(4)?,
        seq: row.get(5)?,
    })
}

fn audit_entry(row: AuditRow) -> Result<AuditEntry, Fault> {
    let owner = Owner::AuditEntry(row.seq);
    Ok(AuditEntry {
        at_ms: owner.natural("time", row.at_ms)?,
        detail: owner.json("detail", &row.detail)?,
        principal: row.principal,
        action: row.action,
        subject: row.subject,
    })
}
