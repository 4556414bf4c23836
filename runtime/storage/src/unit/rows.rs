//! How many rows are a module's.
//!
//! The desk says by how many rows a statement has made the module's tables grow, at most; that is added up. Only when
//! the sum is more than there may be are the rows counted, so that nothing is refused that would fit: what the desk
//! has said too much is gone then. Counting takes some 0.1 s for ten million rows, and a module that is refused nothing
//! does without.
//!
//! The sums are in memory ([`Known`]), where only who has the right to write looks, and each commit of a unit replaces
//! those that it has changed; until then they are the unit's own and go back with its savepoints. In the database is a
//! number that the sum does not reach for the next thousand rows: writing the row of a module with every commit made
//! a commit of one row half as dear again. So after a restart the sum may be too large, and never too small.

use super::quota::Quota;
use crate::{Fault, load, sql::Desk};
use rusqlite::{Connection, OptionalExtension as _, params};
use station_kernel::work::SqlError;
use station_model::ModuleName;
use std::{
    collections::HashMap,
    iter,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many rows more are written down than there are.
const AHEAD: i64 = 1_000;

/// The rows of modules that have written since the station has started, by their number.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<i64, i64>>);

/// The modules that have asked in a unit of work. A unit sees few, and one snapshot, so their numbers stay right.
#[derive(Debug, Default)]
pub(crate) struct Modules(Vec<Module>);

/// A module, and the rows of its tables or more.
#[derive(Debug)]
pub(crate) struct Module {
    name: ModuleName,
    id: i64,
    /// None until it writes, because until then others may.
    rows: Option<i64>,
    /// As the database has it.
    written: i64,
}

/// The rows of all modules at a savepoint.
#[derive(Debug)]
pub(crate) struct Then(Vec<Option<i64>>);

impl Known {
    pub(crate) fn get(&self, id: i64) -> Option<i64> {
        self.all().get(&id).copied()
    }

    /// Before a commit of something else that changes the rows; what is written holds whether it fails or not.
    pub(crate) fn forget(&self, id: i64) {
        self.all().remove(&id);
    }

    /// After a commit that failed, and may be there all the same.
    pub(crate) fn doubt(&self, modules: &Modules) {
        modules.0.iter().for_each(|module| self.forget(module.id));
    }

    /// After a commit.
    pub(crate) fn keep(&self, modules: &Modules) {
        let rows = modules.0.iter().filter_map(|module| Some((module.id, module.rows?)));
        self.all().extend(rows);
    }

    /// Nothing can leave the map half changed, so a panic elsewhere is no reason to stop.
    fn all(&self) -> MutexGuard<'_, HashMap<i64, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Module {
    /// Looks for it in the database.
    pub(crate) fn find(db: &Connection, name: &ModuleName) -> Result<Self, Fault> {
        let mut statement = db.prepare_cached("SELECT id, sql_rows FROM modules WHERE name = ?1")?;
        let found = statement.query_row([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (id, written) = found.ok_or_else(|| Fault::NoModule(name.clone()))?;
        Ok(Self { name: name.clone(), id, rows: None, written })
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Learns its rows, for one who has the right to write.
    pub(crate) fn learn(&mut self, known: &Known) {
        if self.rows.is_none() {
            self.rows = known.get(self.id);
        }
    }

    fn rows(&self) -> i64 {
        self.rows.unwrap_or(self.written)
    }

    /// True if what is written is less than it has, or more by much.
    fn is_off(&self, ahead: i64) -> bool {
        self.rows.is_some_and(|rows| !(rows..=rows.saturating_add(3 * ahead)).contains(&self.written))
    }

    /// True if it has too many, or may have.
    pub(crate) fn exceeds(&self, quota: &Quota) -> bool {
        quota.exceeded(self.rows())
    }

    /// Counts the rows, so that afterwards it is known whether these have become more.
    pub(crate) fn count(&mut self, desk: &mut Desk) -> Result<(), Fault> {
        self.rows = Some(counted(desk, self.id)?);
        Ok(())
    }

    /// Adds what a statement or a script of the module has added. The inner error is for the module: it has too many
    /// now.
    pub(crate) fn grow(&mut self, desk: &mut Desk, quota: &Quota, grown: i64) -> Result<Result<(), SqlError>, Fault> {
        let mut rows = self.rows().saturating_add(grown).max(0);
        if grown > 0 && quota.exceeded(rows) {
            rows = counted(desk, self.id)?;
            if rows > self.rows() && quota.exceeded(rows) {
                return Ok(Err(SqlError::Limit { name: "data_rows", max: quota.data_rows_max }));
            }
        }
        self.rows = Some(rows);
        Ok(Ok(()))
    }

    /// Writes down as many rows as it has and `ahead` more, where that is needed.
    pub(crate) fn write(&mut self, db: &Connection, ahead: i64) -> Result<(), Fault> {
        if self.is_off(ahead) {
            self.written = self.rows().saturating_add(ahead);
            let sql = "UPDATE modules SET sql_rows = ?2 WHERE id = ?1";
            db.prepare_cached(sql)?.execute(params![self.id, self.written])?;
        }
        Ok(())
    }
}

impl Modules {
    pub(crate) fn get(&mut self, name: &ModuleName) -> Option<&mut Module> {
        self.0.iter_mut().find(|module| module.name == *name)
    }

    pub(crate) fn add(&mut self, module: Module) {
        self.0.push(module);
    }

    /// The rows of all modules now.
    pub(crate) fn now(&self) -> Then {
        Then(self.0.iter().map(|module| module.rows).collect())
    }

    /// Goes back to a savepoint. Who had not written by then has what is known.
    pub(crate) fn back(&mut self, then: &Then) {
        let rows = then.0.iter().copied().chain(iter::repeat(None));
        self.0.iter_mut().zip(rows).for_each(|(module, rows)| module.rows = rows);
    }

    /// True if something has to be written down before a commit.
    pub(crate) fn are_off(&self) -> bool {
        self.0.iter().any(|module| module.is_off(AHEAD))
    }

    /// Writes it down.
    pub(crate) fn write(&mut self, db: &Connection) -> Result<(), Fault> {
        self.0.iter_mut().try_for_each(|module| module.write(db, AHEAD))
    }
}

/// The rows of a module's tables.
fn counted(desk: &mut Desk, id: i64) -> Result<i64, Fault> {
    super::station(desk, |db| {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(name) GLOB 'm' || ?1 || '__*'";
        let tables = load::rows(db, sql, &[&id], |row| row.get::<_, String>(0))?;
        tables.iter().try_fold(0_i64, |rows, table| Ok(rows.saturating_add(length(db, table)?)))
    })
}

fn length(db: &Connection, table: &str) -> rusqlite::Result<i64> {
    let sql = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
    db.query_row(&sql, [], |row| row.get(0))
}
