//! Migrations of modules: how a module's own tables come to be and change.
//!
//! A module brings all of its migrations, V1 to Vn, with each revision. Those that were not applied yet are, in order,
//! within the transaction that also records what else was decided; so a module whose migration fails is as it was,
//! and so is everything decided together with it. They run behind the same wall as the module's statements and count
//! against the same quota.
//!
//! An applied migration is remembered with the checksum of its text, and never changes: a correction is a new
//! migration. A list that ends before the last applied one is fine, as an earlier revision brings it; whether that
//! one can work with the later tables is the kernel's to know.
//!
//! What was applied ends with its module, and so do its tables: [`drop_tables`]. The number of a module never comes
//! back, so no later module can find them.

use crate::{
    Fault, load,
    sql::{Desk, Failed},
    unit::{
        self, quota,
        quota::Quota,
        rows::{Known, Module},
    },
};
use rusqlite::{Connection, params};
use station_kernel::{
    state::Migration,
    work::{SqlError, Watch},
};
use station_model::{Code, Digest, Failure, ModuleName};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// What the migrations of one module may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// Of the database.
    pub(crate) quota: Quota,
    /// What modules have of it already.
    pub(crate) rows: &'a Known,
    /// Of the time, in which nobody else writes.
    pub(crate) time_max: Duration,
}

/// A migration that was not applied, and with it nothing of its commit. Who deployed the module gets it as the
/// [`RefusedChange`](station_kernel::ports::RefusedChange) in the registry's error.
#[derive(Debug, thiserror::Error)]
#[error("migration V{version} {name:?} of module {module}")]
pub struct MigrationFailed {
    /// Whose.
    pub module: ModuleName,
    /// Its place.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    #[source]
    pub refusal: Refusal,
}

impl MigrationFailed {
    /// The same for who deployed the module.
    pub(crate) fn failure(&self) -> Failure {
        let code = match &self.refusal {
            Refusal::Sql { error, .. } | Refusal::TooMuch(error) => code(error),
            Refusal::Changed { .. } | Refusal::Order { .. } => Code::UploadInvalid,
        };
        Failure::new(code, format!("{}; nothing has changed", crate::error::chain(self)))
    }
}

fn code(error: &SqlError) -> Code {
    match error {
        SqlError::Constraint { .. } => Code::SqlConstraint,
        SqlError::Busy | SqlError::Conflict => Code::SqlBusy,
        SqlError::Denied(_) => Code::SqlDenied,
        SqlError::Limit { .. } => Code::SqlTooBig,
        SqlError::Syntax { .. } | SqlError::Other(_) => Code::SqlSyntax,
        SqlError::Interrupted => Code::SqlInterrupted,
        SqlError::Lost(_) | SqlError::Storage(_) => Code::UploadStorage,
    }
}

/// What is wrong with a migration.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// One of its statements failed.
    #[error("the statement at byte {at} of it")]
    Sql {
        /// Where the statement begins.
        at: usize,
        /// How it failed.
        #[source]
        error: SqlError,
    },
    /// With its tables the module would have more than it may.
    #[error(transparent)]
    TooMuch(SqlError),
    /// Another text of this version was applied.
    #[error("it was applied before with another text ({applied}); add a migration instead of changing one")]
    Changed {
        /// The checksum of that text.
        applied: String,
    },
    /// A version is missing, or comes twice.
    #[error("V{expected} must come here; versions count from 1 and leave nothing out")]
    Order {
        /// The version that must be at its place.
        expected: u32,
    },
}

/// Ends migrations that take too long.
struct Until(Instant);

impl Watch for Until {
    fn step(&self, _: u64) -> bool {
        Instant::now() > self.0
    }
}

/// Applies, of a module's migrations, those that were not applied yet. In the open transaction.
pub(crate) fn run(
    desk: &mut Desk,
    module: &ModuleName,
    migrations: &[Migration],
    at_ms: u64,
    bounds: &Bounds<'_>,
) -> Result<(), Fault> {
    let (mut found, applied) = unit::station(desk, |db| {
        let found = Module::find(db, module)?;
        let applied = applied(db, found.id())?;
        Ok((found, applied))
    })?;
    found.learn(bounds.rows);
    bounds.rows.forget(found.id());
    desk.watch(Some(Arc::new(Until(Instant::now() + bounds.time_max))));
    let ran = (1..).zip(migrations).try_for_each(|(expected, migration)| {
        let ran = match check(migration, expected, &applied) {
            Ok(true) => Ok(()),
            Ok(false) => apply(desk, &mut found, migration, at_ms, bounds)?,
            Err(refusal) => Err(refusal),
        };
        ran.map_err(|refusal| failed(module, migration, refusal).into())
    });
    desk.watch(None);
    ran
}

fn failed(module: &ModuleName, migration: &Migration, refusal: Refusal) -> Box<MigrationFailed> {
    let Migration { version, name, .. } = migration;
    Box::new(MigrationFailed { module: module.clone(), version: *version, name: name.clone(), refusal })
}

/// The checksums of what was applied, by version.
fn applied(db: &Connection, id: i64) -> Result<BTreeMap<u32, String>, Fault> {
    let sql = "SELECT version, checksum FROM module_migrations WHERE module = ?1";
    Ok(load::rows(db, sql, &[&id], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}

/// True when it was applied already.
fn check(migration: &Migration, expected: u32, applied: &BTreeMap<u32, String>) -> Result<bool, Refusal> {
    match applied.get(&migration.version) {
        _ if migration.version != expected => Err(Refusal::Order { expected }),
        Some(applied) if *applied != checksum(migration) => Err(Refusal::Changed { applied: applied.clone() }),
        found => Ok(found.is_some()),
    }
}

fn checksum(migration: &Migration) -> String {
    Digest::of(migration.sql.as_bytes()).to_string()
}

/// Runs one and remembers it. The inner error is the module's.
fn apply(
    desk: &mut Desk,
    module: &mut Module,
    migration: &Migration,
    at_ms: u64,
    bounds: &Bounds<'_>,
) -> Result<Result<(), Refusal>, Fault> {
    if module.exceeds(&bounds.quota) {
        module.count(desk)?;
    }
    let (before, _) = (quota::pages(desk)?, desk.grown());
    if let Err(Failed { at, error }) = desk.script(module.id(), &migration.sql) {
        return Ok(Err(Refusal::Sql { at, error }));
    }
    let (pages, grown) = (quota::pages(desk)? - before, desk.grown());
    let taken = bounds.quota.count(desk, module.id(), pages)?.and(module.grow(desk, &bounds.quota, grown)?);
    if let Err(error) = taken {
        return Ok(Err(Refusal::TooMuch(error)));
    }
    unit::station(desk, |db| {
        module.write(db, 0)?;
        remember(db, module.id(), migration, at_ms)
    })
    .map(Ok)
}

fn remember(db: &Connection, id: i64, migration: &Migration, at_ms: u64) -> Result<(), Fault> {
    let sql = "INSERT INTO module_migrations (module, version, name, checksum, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    let at_ms = at_ms.cast_signed();
    db.prepare_cached(sql)?.execute(params![id, migration.version, migration.name, checksum(migration), at_ms])?;
    Ok(())
}

/// Drops everything that a module has made. In the open transaction.
///
/// Views and virtual tables come first: the latter own tables that nobody else may drop, and that are gone then.
/// Indices and triggers go with their tables. References among the tables do not matter any more, so their order does
/// not either.
pub(crate) fn drop_tables(tx: &Connection, id: i64) -> Result<(), Fault> {
    let found = load::rows(
        tx,
        "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name GLOB 'm' || ?1 || '__*'
         ORDER BY type = 'view' DESC, sql LIKE 'CREATE VIRTUAL%' DESC",
        &[&id],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
    )?;
    if !found.is_empty() {
        tx.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    }
    for (kind, name) in found {
        tx.execute_batch(&format!("DROP {kind} IF EXISTS \"{}\"", name.replace('"', "\"\"")))?;
    }
    Ok(())
}
