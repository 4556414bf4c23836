//! One unit of work.
//!
//! The transaction can end by itself: SQLite rolls it back when the disk is full or broken, and when a statement that
//! writes is interrupted. A statement after that would be a transaction of its own, so every method looks first
//! whether the transaction is still there, and answers [`SqlError::Lost`] if not.
//!
//! The watch is told of the steps of modules' statements and of key-value data. The few other statements are the
//! station's and run without it: an undo that is interrupted would lose the unit that it should save.

use super::{
    desks::Lent,
    fault::{lost, sql_error},
    gate::Held,
    quota::{self, Quota},
    rows::{Module, Modules, Then},
};
use crate::{Fault, Storage, connection, events, keyvalue, sql::Desk};
use rusqlite::Connection;
use station_kernel::events::Event;
use station_kernel::work::{Caps, KeyWrites, Mark, Plan, Rows, SqlError, Unit, Value, Watch};
use station_model::ModuleName;
use std::{
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How long a unit waits for a write lock that somebody outside the station holds. A backup tool needs it for
/// moments; meanwhile all who want to write wait behind this unit.
const OUTSIDE_MAX: Duration = connection::UNIT_BUSY_MAX;

/// How often it tries in that time. SQLite itself does not wait when a transaction that has read wants to write.
const OUTSIDE_PAUSE: Duration = Duration::from_millis(2);

/// Any name will do: SQLite takes the innermost of those with the same.
const SAVE: &str = "SAVEPOINT unit";
const RELEASE: &str = "RELEASE unit";
const UNDO: &str = "ROLLBACK TO unit";

/// A transaction on a connection of its own.
///
/// Fields are dropped in this order: the connection is back before the next writer may begin, and the storage is
/// given up last.
pub(crate) struct Work {
    watch: Arc<dyn Watch>,
    lent: Lent,
    /// The right to write, once it was taken.
    writing: Option<Held>,
    seen: Mark,
    savepoints: Vec<Then>,
    modules: Modules,
    /// Pages in use, if nothing has written since they were counted.
    pages: Option<i64>,
    storage: Storage,
}

impl Work {
    /// Begins a unit on one snapshot.
    pub(crate) fn begin(storage: &Storage, writing: bool, watch: Arc<dyn Watch>) -> Result<Self, SqlError> {
        const DOING: &str = "beginning a unit of work";
        storage.inner.units.ledger.healthy().map_err(|fault| sql_error(DOING, fault))?;
        let lent = storage.inner.units.desks.lend().map_err(|fault| sql_error(DOING, fault))?.ok_or(SqlError::Busy)?;
        let (storage, seen, modules) = (storage.clone(), Mark::default(), Modules::default());
        let mut work = Self { watch, lent, writing: None, seen, savepoints: vec![], modules, pages: None, storage };
        work.open(writing)?;
        Ok(work)
    }

    /// Pins the snapshot, and counts what it can show only after that.
    fn open(&mut self, writing: bool) -> Result<(), SqlError> {
        let held = writing.then(|| self.enter()).transpose()?;
        let desk = self.lent.desk().ok_or_else(lost)?;
        let begun = match writing {
            true => execute(desk, "BEGIN IMMEDIATE"),
            false => execute(desk, "BEGIN").and_then(|()| execute_query(desk, "SELECT id FROM unit")),
        };
        begun.map_err(|fault| sql_error("beginning a unit of work", fault))?;
        self.writing = held;
        self.seen = Mark(self.storage.inner.units.ledger.begun());
        desk.watch(Some(self.watch.clone()));
        Ok(())
    }

    /// Waits for the right to write.
    fn enter(&self) -> Result<Held, SqlError> {
        let held = self.storage.inner.units.gate.enter(connection::WAIT_MAX, || self.watch.step(0));
        held.ok_or_else(|| if self.watch.step(0) { SqlError::Interrupted } else { SqlError::Busy })
    }

    /// The connection, in its transaction.
    fn desk(&mut self) -> Result<&mut Desk, SqlError> {
        self.lent.desk().filter(|desk| desk.in_transaction()).ok_or_else(lost)
    }

    /// Runs statements of the station, of which the watch is not told.
    fn quietly<T>(&mut self, doing: &str, f: impl FnOnce(&mut Desk) -> Result<T, Fault>) -> Result<T, SqlError> {
        let watch = self.watch.clone();
        let desk = self.desk()?;
        desk.watch(None);
        let answer = f(desk);
        desk.watch(Some(watch));
        answer.map_err(|fault| self.failed(doing, fault))
    }

    /// Reads or writes key-value data.
    fn data<T>(
        &mut self,
        module: &ModuleName,
        f: impl FnOnce(&Connection, i64) -> Result<T, Fault>,
    ) -> Result<T, SqlError> {
        let id = self.module(module)?;
        let answer = station(self.desk()?, |db| f(db, id));
        answer.map_err(|fault| self.failed(&format!("reaching the data of module {module}"), fault))
    }

    fn failed(&mut self, doing: &str, fault: Fault) -> SqlError {
        self.storage.inner.units.ledger.beware(&fault);
        let gone = self.desk().is_err();
        match sql_error(doing, fault) {
            SqlError::Storage(error) if gone => SqlError::Lost(crate::error::chain(&error)),
            error => error,
        }
    }

    /// The number of a module, looked up once.
    fn module(&mut self, name: &ModuleName) -> Result<i64, SqlError> {
        if let Some(known) = self.modules.get(name) {
            return Ok(known.id());
        }
        let doing = format!("looking for module {name}");
        let module = self.quietly(&doing, |desk| station(desk, |db| Module::find(db, name)))?;
        let id = module.id();
        self.modules.add(module);
        Ok(id)
    }

    /// Runs `f` so that what it wrote is undone when it fails.
    fn whole<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        self.quietly("setting a savepoint", |desk| execute(desk, SAVE))?;
        let answer = f(self);
        match &answer {
            Ok(_) => self.quietly("releasing a savepoint", |desk| execute(desk, RELEASE))?,
            Err(_) if self.desk().is_ok() => self.back()?,
            Err(_) => {}
        }
        answer
    }

    /// Undoes what was written since the topmost savepoint, and forgets it.
    fn back(&mut self) -> Result<(), SqlError> {
        self.pages = None;
        self.quietly("undoing", |desk| execute(desk, UNDO).and_then(|()| execute(desk, RELEASE)))
    }

    /// Runs a module's statement that writes, and counts what it takes.
    fn spend(&mut self, module: &ModuleName, sql: &str, params: &[Value], caps: Caps) -> Result<Rows, SqlError> {
        let (id, pages) = (self.module(module)?, self.pages()?);
        if self.exceeds(module) && self.desk()?.adds(id, sql) {
            self.tally(module, |tally, desk, _| tally.count(desk))?;
        }
        let desk = self.desk()?;
        desk.grown();
        let rows = desk.run(id, sql, params, caps)?;
        let grown = desk.grown();
        self.spend_pages(id, pages)?;
        if grown != 0 {
            self.tally(module, |tally, desk, quota| tally.grow(desk, quota, grown))??;
        }
        Ok(rows)
    }

    /// Pages in use, counted once between two statements.
    fn pages(&mut self) -> Result<i64, SqlError> {
        match self.pages {
            Some(pages) => Ok(pages),
            None => self.quietly("counting pages", quota::pages),
        }
    }

    fn spend_pages(&mut self, id: i64, before: i64) -> Result<(), SqlError> {
        let after = self.quietly("counting pages", quota::pages)?;
        self.pages = Some(after);
        match after == before {
            true => Ok(()),
            false => {
                let quota = self.storage.quota();
                self.quietly("counting bytes", |desk| quota.count(desk, id, after - before))?
            }
        }
    }

    /// True if a module that writes has more rows than it may, or perhaps has.
    fn exceeds(&mut self, name: &ModuleName) -> bool {
        let (quota, known) = (self.storage.quota(), &self.storage.inner.units.rows);
        self.modules.get(name).is_some_and(|module| {
            module.learn(known);
            module.exceeds(&quota)
        })
    }

    /// Looks at the rows of a module that has asked.
    fn tally<T>(
        &mut self,
        name: &ModuleName,
        f: impl FnOnce(&mut Module, &mut Desk, &Quota) -> Result<T, Fault>,
    ) -> Result<T, SqlError> {
        let quota = self.storage.quota();
        let mut modules = mem::take(&mut self.modules);
        let answer = self.desk().map(|desk| match modules.get(name) {
            Some(module) => f(module, desk, &quota),
            None => Err(Fault::NoModule(name.clone())),
        });
        self.modules = modules;
        answer?.map_err(|fault| self.failed("counting rows", fault))
    }

    /// Writes down how many rows modules have, where that is needed.
    fn write_rows(&mut self) -> Result<(), SqlError> {
        if !self.modules.are_off() {
            return Ok(());
        }
        let mut modules = mem::take(&mut self.modules);
        let written = self.quietly("writing down rows", |desk| station(desk, |db| modules.write(db)));
        self.modules = modules;
        written
    }

    /// Takes SQLite's write lock, trying again while somebody outside has it.
    fn take_lock(&mut self) -> Result<(), SqlError> {
        let until = Instant::now() + OUTSIDE_MAX;
        loop {
            let tried = self.quietly("taking the write lock", |desk| execute(desk, "UPDATE unit SET id = id WHERE 0"));
            match tried {
                Err(SqlError::Busy) if Instant::now() < until => thread::sleep(OUTSIDE_PAUSE),
                tried => return tried,
            }
        }
    }

    fn put(&mut self, module: &ModuleName, bucket: &str, writes: &KeyWrites, quota: u64) -> Result<(), SqlError> {
        let (before, after) = self.data(module, |db, id| {
            let before = keyvalue::used(db, id)?;
            writes.iter().try_for_each(|(key, value)| keyvalue::put(db, id, bucket, key, value.as_deref()))?;
            Ok((before, keyvalue::used(db, id)?))
        })?;
        match after > quota && after > before {
            true => Err(SqlError::Limit { name: "kv_bytes", max: quota }),
            false => Ok(()),
        }
    }
}

impl Unit for Work {
    fn seen(&self) -> Mark {
        self.seen
    }

    fn prepare(&mut self, module: &ModuleName, sql: &str) -> Result<Plan, SqlError> {
        let id = self.module(module)?;
        self.desk()?.prepare(id, sql)
    }

    fn lock(&mut self) -> Result<(), SqlError> {
        self.desk()?;
        if self.writing.is_none() {
            let held = self.enter()?;
            self.take_lock()?;
            self.writing = Some(held);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), SqlError> {
        self.quietly("setting a savepoint", |desk| execute(desk, SAVE))?;
        self.savepoints.push(self.modules.now());
        Ok(())
    }

    fn release(&mut self) -> Result<(), SqlError> {
        self.savepoints.pop().ok_or_else(no_savepoint)?;
        self.quietly("releasing a savepoint", |desk| execute(desk, RELEASE))
    }

    fn undo(&mut self) -> Result<(), SqlError> {
        let then = self.savepoints.pop().ok_or_else(no_savepoint)?;
        self.modules.back(&then);
        self.back()
    }

    fn run(&mut self, module: &ModuleName, sql: &str, params: &[Value], caps: Caps) -> Result<Rows, SqlError> {
        let id = self.module(module)?;
        if !self.desk()?.prepare(id, sql)?.writes {
            return self.desk()?.run(id, sql, params, caps);
        }
        self.lock()?;
        self.whole(|work| work.spend(module, sql, params, caps))
    }

    fn get(&mut self, module: &ModuleName, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, SqlError> {
        self.data(module, |db, id| keyvalue::value(db, id, bucket, key))
    }

    fn set(&mut self, module: &ModuleName, bucket: &str, writes: &KeyWrites, quota_bytes: u64) -> Result<(), SqlError> {
        self.lock()?;
        self.pages = None;
        self.whole(|work| work.put(module, bucket, writes, quota_bytes))
    }

    fn keys(
        &mut self,
        module: &ModuleName,
        bucket: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, SqlError> {
        self.data(module, |db, id| keyvalue::keys(db, id, bucket, after, limit))
    }

    fn publish(&mut self, module: &ModuleName, event: &Event, quota_bytes: u64) -> Result<(), SqlError> {
        self.lock()?;
        self.pages = None;
        if self.published(module)?.saturating_add(event.bytes()) > quota_bytes {
            return Err(SqlError::Limit { name: "event_bytes", max: quota_bytes });
        }
        self.data(module, |db, id| events::publish(db, id, module, event))
    }

    fn published(&mut self, module: &ModuleName) -> Result<u64, SqlError> {
        self.data(module, events::used)
    }

    fn commit(mut self: Box<Self>) -> Result<Mark, SqlError> {
        self.desk()?;
        if self.writing.is_none() {
            return Ok(self.seen);
        }
        self.write_rows()?;
        let storage = self.storage.clone();
        let promise = storage.inner.units.ledger.promise();
        let committed = self.quietly("committing", |desk| execute(desk, "COMMIT"));
        match &committed {
            Ok(()) => storage.inner.units.rows.keep(&self.modules),
            Err(_) => storage.inner.units.rows.doubt(&self.modules),
        }
        committed.map(|()| Mark(promise.mark))
    }
}

impl Drop for Work {
    /// A rollback that fails leaves the transaction open, and then the connection is closed instead of kept.
    fn drop(&mut self) {
        let Some(desk) = self.lent.desk() else { return };
        desk.watch(None);
        if desk.in_transaction()
            && let Err(error) = execute(desk, "ROLLBACK")
        {
            tracing::warn!(%error, "cannot roll a unit of work back; its connection is closed");
        }
    }
}

/// Runs the station's own statements, whose errors may be ours.
pub(crate) fn station<T>(desk: &mut Desk, f: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
    desk.station(|db| Ok(f(db)))?
}

/// Runs one of the station's statements without rows.
pub(crate) fn execute(desk: &mut Desk, sql: &str) -> Result<(), Fault> {
    Ok(desk.station(|db| db.prepare_cached(sql)?.execute([]).map(drop))?)
}

/// Runs one whose first row is not looked at.
fn execute_query(desk: &mut Desk, sql: &str) -> Result<(), Fault> {
    Ok(desk.station(|db| db.prepare_cached(sql)?.query_row([], |_| Ok(())))?)
}

fn no_savepoint() -> SqlError {
    SqlError::Other("there is no savepoint".to_owned())
}
