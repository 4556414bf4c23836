//! Writes one [`Change`] into the database, so that loading gives what [`State::apply`] gives.
//!
//! As there, a change to a module that does not exist makes it. Stricter than there in one point: a revision can be
//! made active only if it is known, because a state that breaks this rule could not be loaded again.
//!
//! [`State::apply`]: station_kernel::State::apply

use crate::{
    Fault, events, load,
    migrate::{self, Bounds},
    sql::Desk,
    unit,
};
use rusqlite::{Connection, Params, params};
use serde::{Serialize, de::DeserializeOwned};
use station_kernel::state::{AuditEntry, Change, Revision, Token};
use station_model::{Digest, Grant, InterfaceName, ModuleName};

/// Entries of the audit log that are kept. At a deployment a minute that is ten weeks, in some 30 MB.
pub(crate) const AUDIT_ENTRIES_MAX: i64 = 100_000;

/// Writes one change, made at `at_ms`.
pub(crate) fn write(desk: &mut Desk, change: &Change, at_ms: u64, bounds: &Bounds<'_>) -> Result<(), Fault> {
    match change {
        Change::Migrate(name, migrations) => migrate::run(desk, name, migrations, at_ms, bounds),
        _ => unit::station(desk, |tx| record(tx, change)),
    }
}

fn record(tx: &Connection, change: &Change) -> Result<(), Fault> {
    match change {
        Change::Migrate(..) => Ok(()),
        Change::AddModule(name) => made(tx, name).map(drop),
        Change::RemoveModule(name) => remove_module(tx, name),
        Change::AddRevision(name, revision) => add_revision(tx, name, revision),
        Change::Activate(name, digest) => activate(tx, name, digest),
        Change::AddGrant(name, grant) => add_grant(tx, name, grant),
        Change::RemoveGrant(name, grant) => remove_grant(tx, name, grant),
        Change::SetLink(name, interface, provider) => set_link(tx, name, interface, provider),
        Change::SetLimits(name, limits) => set(tx, name, "limits", limits),
        Change::SetInstances(name, instances) => set(tx, name, "instances", instances),
        Change::SetConfig(name, config) => set(tx, name, "config", config),
        Change::SetRoutes(name, routes) => set(tx, name, "routes", routes),
        Change::AddToken(token) => add_token(tx, token),
        Change::PruneEvents { through } => events::prune(tx, *through),
        Change::RemoveToken(id) => run(tx, "DELETE FROM tokens WHERE id = ?1", [id]),
    }
}

/// Adds to the audit log, and forgets what is too old.
pub(crate) fn append(tx: &Connection, entry: &AuditEntry) -> Result<(), Fault> {
    run(
        tx,
        "INSERT INTO audit (at_ms, principal, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            integer("the time of an audit entry", entry.at_ms)?,
            entry.principal,
            entry.action,
            entry.subject,
            json("the detail of an audit entry", &entry.detail)?,
        ],
    )?;
    run(tx, "DELETE FROM audit WHERE seq <= ?1", [tx.last_insert_rowid() - AUDIT_ENTRIES_MAX])
}

pub(crate) fn run(tx: &Connection, sql: &str, values: impl Params) -> Result<(), Fault> {
    tx.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// The number of a module, which is made if it is missing.
fn made(tx: &Connection, name: &ModuleName) -> Result<i64, Fault> {
    run(tx, "INSERT INTO modules (name) VALUES (?1) ON CONFLICT (name) DO NOTHING", [name.as_str()])?;
    load::module_id(tx, name)
}

/// Its rows go with it by reference, its tables by name.
fn remove_module(tx: &Connection, name: &ModuleName) -> Result<(), Fault> {
    match load::module_id(tx, name) {
        Ok(id) => migrate::drop_tables(tx, id)?,
        Err(Fault::NoModule(_)) => {}
        Err(fault) => return Err(fault),
    }
    run(tx, "DELETE FROM modules WHERE name = ?1", [name.as_str()])
}

fn add_revision(tx: &Connection, name: &ModuleName, revision: &Revision) -> Result<(), Fault> {
    run(
        tx,
        "INSERT INTO revisions (module, digest, seq, size, uploaded_ms, world, metadata) VALUES
         (?1, ?2, (SELECT coalesce(max(seq), 0) + 1 FROM revisions WHERE module = ?1), ?3, ?4, ?5, ?6)
         ON CONFLICT (module, digest) DO NOTHING",
        params![
            made(tx, name)?,
            revision.digest.to_string(),
            integer("the size of a revision", revision.size)?,
            integer("the time of an upload", revision.uploaded_ms)?,
            json("the world of a revision", &revision.world)?,
            json("the metadata of a revision", &revision.metadata)?,
        ],
    )
}

fn activate(tx: &Connection, name: &ModuleName, digest: &Digest) -> Result<(), Fault> {
    let sql = "UPDATE modules SET active = ?2 WHERE id = ?1
               AND EXISTS (SELECT 1 FROM revisions WHERE module = ?1 AND digest = ?2)";
    match tx.prepare_cached(sql)?.execute(params![made(tx, name)?, digest.to_string()])? {
        0 => Err(Fault::NoRevision { module: name.clone(), digest: *digest }),
        _ => Ok(()),
    }
}

fn add_grant(tx: &Connection, name: &ModuleName, grant: &Grant) -> Result<(), Fault> {
    let sql = r#"INSERT INTO grants (module, "grant") VALUES (?1, ?2) ON CONFLICT (module, "grant") DO NOTHING"#;
    run(tx, sql, params![made(tx, name)?, grant.to_string()])
}

fn remove_grant(tx: &Connection, name: &ModuleName, grant: &Grant) -> Result<(), Fault> {
    let sql = r#"DELETE FROM grants WHERE module = ?1 AND "grant" = ?2"#;
    run(tx, sql, params![made(tx, name)?, grant.to_string()])
}

fn set_link(tx: &Connection, name: &ModuleName, interface: &InterfaceName, provider: &ModuleName) -> Result<(), Fault> {
    let sql = "INSERT INTO links (module, interface, provider) VALUES (?1, ?2, ?3)
               ON CONFLICT (module, interface) DO UPDATE SET provider = excluded.provider";
    run(tx, sql, params![made(tx, name)?, interface.to_string(), provider.as_str()])
}

/// Replaces one of the JSON columns of a module. `column` is ours, never text from outside.
fn set<T: Serialize + DeserializeOwned>(
    tx: &Connection,
    name: &ModuleName,
    column: &'static str,
    value: &T,
) -> Result<(), Fault> {
    let sql = format!("UPDATE modules SET {column} = ?2 WHERE id = ?1");
    run(tx, &sql, params![made(tx, name)?, json(column, value)?])
}

fn add_token(tx: &Connection, token: &Token) -> Result<(), Fault> {
    run(
        tx,
        "INSERT OR REPLACE INTO tokens (id, label, hash, scopes, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            token.id,
            token.label,
            token.hash.to_string(),
            json("the scopes of a token", &token.scopes)?,
            integer("the time of a token", token.created_ms)?,
        ],
    )
}

/// SQLite's integers have a sign.
pub(crate) fn integer(what: &'static str, value: u64) -> Result<i64, Fault> {
    i64::try_from(value).map_err(|_| Fault::TooBig { what, value })
}

/// A value as JSON that surely reads back: the reader refuses what nests deeper than 128 levels, which an uploaded
/// world may, and one such row would keep the station from ever starting again.
fn json<T: Serialize + DeserializeOwned>(what: &'static str, value: &T) -> Result<String, Fault> {
    let text = serde_json::to_string(value).and_then(|text| serde_json::from_str::<T>(&text).map(|_| text));
    text.map_err(|source| Fault::Unkeepable { what, source })
}
