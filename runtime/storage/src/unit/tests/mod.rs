//! Units of work on a real database.

mod data;
mod events;
mod keys;
mod marks;
mod rows;
mod wal;
mod work;

use crate::{
    Settings, Storage,
    tests::{Patient, name},
};
use station_kernel::{
    Change, Registry as _, StorageError,
    state::Migration,
    work::{Caps, Mark, Rows, SqlError, Unit, Units as _, Value},
};
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tempfile::{TempDir, tempdir};

const CAPS: Caps = Caps { rows_max: 100_000, bytes_max: 64 << 20 };

/// A storage with module `a`, which has a table `t`.
fn opened() -> (TempDir, Storage) {
    opened_with(Settings::default(), Box::new(std::fs::File::sync_data))
}

pub(super) fn opened_with(settings: Settings, sync: super::Sync) -> (TempDir, Storage) {
    let folder = tempdir().unwrap();
    let storage = Storage::open_syncing(folder.path(), settings, sync).unwrap();
    prepare(&storage);
    (folder, storage)
}

fn prepare(storage: &Storage) {
    let sql = "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER NOT NULL, w BLOB)".to_owned();
    let migration = Migration { version: 1, name: "t".into(), sql };
    let changes = [Change::AddModule(name("a")), Change::Migrate(name("a"), vec![migration])];
    storage.commit(&changes, &crate::tests::entry(0)).unwrap();
}

pub(super) fn reading(storage: &Storage) -> Box<dyn Unit> {
    storage.begin(false, Arc::new(Patient)).unwrap()
}

fn writing(storage: &Storage) -> Box<dyn Unit> {
    storage.begin(true, Arc::new(Patient)).unwrap()
}

fn try_run(unit: &mut dyn Unit, sql: &str, params: &[Value]) -> Result<Rows, SqlError> {
    unit.run(&name("a"), sql, params, CAPS)
}

fn run(unit: &mut dyn Unit, sql: &str, params: &[Value]) -> Rows {
    try_run(unit, sql, params).unwrap()
}

fn put(unit: &mut dyn Unit, key: i64, value: i64) {
    let sql = "INSERT INTO t (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v";
    run(unit, sql, &[Value::Integer(key), Value::Integer(value)]);
}

fn remove(unit: &mut dyn Unit, key: i64) {
    run(unit, "DELETE FROM t WHERE k = ?1", &[Value::Integer(key)]);
}

/// The rows of `t`.
pub(super) fn all(unit: &mut dyn Unit) -> BTreeMap<i64, i64> {
    let rows = run(unit, "SELECT k, v FROM t", &[]).rows;
    rows.into_iter().map(|row| (integer(&row[0]), integer(&row[1]))).collect()
}

fn committed(storage: &Storage) -> BTreeMap<i64, i64> {
    all(&mut *reading(storage))
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(integer) => *integer,
        other => panic!("{other:?} is no integer"),
    }
}

/// Commits one row in a unit of its own.
pub(super) fn commit_row(storage: &Storage, key: i64, value: i64) -> Mark {
    let mut unit = writing(storage);
    put(&mut *unit, key, value);
    unit.commit().unwrap()
}

/// Commits some 200 KB, always over the same row. Of another `content` than before, because SQLite leaves pages alone
/// that would be as they are.
pub(super) fn commit_much(storage: &Storage, content: u8) {
    let mut unit = writing(storage);
    let sql = "INSERT INTO t (k, v, w) VALUES (1, 0, ?1) ON CONFLICT (k) DO UPDATE SET w = excluded.w";
    run(&mut *unit, sql, &[Value::Blob(vec![content; 200 << 10])]);
    unit.commit().unwrap();
}

/// How much the database counts as taken by module `a`.
fn taken(storage: &Storage) -> i64 {
    storage.read(|db| Ok(db.query_row("SELECT sql_bytes FROM modules WHERE name = 'a'", [], |r| r.get(0))?)).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn durable(storage: &Storage, mark: Mark) -> Result<(), StorageError> {
    block_on(storage.durable(mark))
}
