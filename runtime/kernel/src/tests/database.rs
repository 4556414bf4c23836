//! A database in memory that behaves as the port says: snapshots, savepoints, one writer, conflicts.
//!
//! Statements are `set KEY NUMBER`, `get KEY`, and what a test wants to go wrong.

use crate::events::Event;
use crate::ports::{BoxFuture, Stopped, StorageError};
use crate::work::{Caps, KeyWrites, Mark, Plan, Rows, SqlError, Unit, Units, Value, Watch};
use station_model::ModuleName;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(super) type Numbers = BTreeMap<String, i64>;

#[derive(Default)]
pub(super) struct Database {
    committed: Mutex<(u64, Numbers)>,
    pub(super) waits: Mutex<Vec<Mark>>,
    pub(super) broken_disk: AtomicBool,
    pub(super) stopped: AtomicBool,
    pub(super) begun: Mutex<Vec<bool>>,
}

impl Database {
    pub(super) fn numbers(&self) -> Numbers {
        self.committed.lock().unwrap().1.clone()
    }

    /// A commit by somebody else.
    pub(super) fn put(&self, key: &str, number: i64) {
        let mut committed = self.committed.lock().unwrap();
        committed.0 += 1;
        committed.1.insert(key.to_owned(), number);
    }
}

struct Open {
    database: Arc<Database>,
    version: u64,
    numbers: Numbers,
    saved: Vec<Numbers>,
    locked: bool,
    watch: Arc<dyn Watch>,
}

/// Shared, because the port's methods take `&self` and a unit outlives them.
pub(super) struct Shared(pub(super) Arc<Database>);

impl Units for Shared {
    fn begin(&self, writing: bool, watch: Arc<dyn Watch>) -> Result<Box<dyn Unit>, SqlError> {
        self.healthy()?;
        self.0.begun.lock().unwrap().push(writing);
        let (version, numbers) = self.0.committed.lock().unwrap().clone();
        let database = Arc::clone(&self.0);
        Ok(Box::new(Open { database, version, numbers, saved: vec![], locked: writing, watch }))
    }

    fn hints_write(&self, sql: &str) -> bool {
        sql.starts_with("set")
    }

    fn healthy(&self) -> Result<(), StorageError> {
        match self.0.stopped.load(Ordering::Relaxed) {
            true => Err(StorageError { doing: "opening".into(), source: Stopped("the disk is gone".into()).into() }),
            false => Ok(()),
        }
    }

    fn durable(&self, mark: Mark) -> BoxFuture<'static, Result<(), StorageError>> {
        self.0.waits.lock().unwrap().push(mark);
        let refused = || StorageError { doing: "flushing".into(), source: "the disk is gone".into() };
        let outcome = if self.0.broken_disk.load(Ordering::Relaxed) { Err(refused()) } else { Ok(()) };
        Box::pin(std::future::ready(outcome))
    }
}

impl Unit for Open {
    fn seen(&self) -> Mark {
        Mark(self.version)
    }

    fn prepare(&mut self, _: &ModuleName, sql: &str) -> Result<Plan, SqlError> {
        let writes = !sql.starts_with("get") && !sql.starts_with("loop");
        Ok(Plan { writes, table: writes.then(|| "numbers".to_owned()) })
    }

    fn lock(&mut self) -> Result<(), SqlError> {
        if self.database.committed.lock().unwrap().0 != self.version {
            return Err(SqlError::Conflict);
        }
        self.locked = true;
        Ok(())
    }

    fn save(&mut self) -> Result<(), SqlError> {
        self.saved.push(self.numbers.clone());
        Ok(())
    }

    fn release(&mut self) -> Result<(), SqlError> {
        self.saved.pop().unwrap();
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SqlError> {
        self.numbers = self.saved.pop().unwrap();
        Ok(())
    }

    fn run(&mut self, _: &ModuleName, sql: &str, _: &[Value], _: Caps) -> Result<Rows, SqlError> {
        let words: Vec<_> = sql.split(' ').collect();
        match words.as_slice() {
            ["get", key] => {
                let row = vec![self.numbers.get(*key).map_or(Value::Null, |number| Value::Integer(*number))];
                Ok(Rows { rows: vec![row], ..Rows::default() })
            }
            ["set" | "put", key, number] => {
                assert!(self.locked, "a write without the lock");
                self.numbers.insert((*key).to_owned(), number.parse().unwrap());
                Ok(Rows { changed: 1, ..Rows::default() })
            }
            ["loop"] => {
                while !self.watch.step(100) {
                    std::thread::yield_now();
                }
                Err(SqlError::Interrupted)
            }
            ["full"] => Err(SqlError::Lost("the disk is full".into())),
            _ => Err(SqlError::Syntax { message: "no such verb".into(), offset: Some(0) }),
        }
    }

    fn get(&mut self, _: &ModuleName, _: &str, _: &str) -> Result<Option<Vec<u8>>, SqlError> {
        Ok(None)
    }

    fn set(&mut self, _: &ModuleName, _: &str, _: &KeyWrites, _: u64) -> Result<(), SqlError> {
        Ok(())
    }

    fn keys(&mut self, _: &ModuleName, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>, SqlError> {
        Ok(vec![])
    }

    /// An event is the number of those with its topic, so that what undoes numbers undoes events.
    fn publish(&mut self, _: &ModuleName, event: &Event, quota_bytes: u64) -> Result<(), SqlError> {
        assert!(self.locked, "a write without the lock");
        if self.watch.step(1) {
            return Err(SqlError::Interrupted);
        }
        if event.bytes() > quota_bytes {
            return Err(SqlError::Limit { name: "event_bytes", max: quota_bytes });
        }
        *self.numbers.entry(event.topic.clone()).or_default() += 1;
        Ok(())
    }

    fn published(&mut self, _: &ModuleName) -> Result<u64, SqlError> {
        Ok(0)
    }

    fn commit(self: Box<Self>) -> Result<Mark, SqlError> {
        let mut committed = self.database.committed.lock().unwrap();
        assert_eq!(committed.0, self.version, "somebody else wrote meanwhile");
        committed.0 += 1;
        committed.1 = self.numbers;
        Ok(Mark(committed.0))
    }
}
