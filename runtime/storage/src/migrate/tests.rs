//! Migrations of modules, as the registry commits them.

use super::*;
use crate::{
    Settings, Storage,
    error::chain,
    tests::{entry, name, opened, with_modules},
};
use station_kernel::{
    Change, Registry as _, StorageError,
    ports::RefusedChange,
    work::{Caps, Rows, Units as _, Value},
};
use std::{env, fs, process::Command, thread};
use tempfile::tempdir;

struct Patient;

impl Watch for Patient {
    fn step(&self, _: u64) -> bool {
        false
    }
}

/// V1 and on, with these texts.
fn list(texts: &[&str]) -> Vec<Migration> {
    let migration =
        |(version, sql): (u32, &&str)| Migration { version, name: format!("n{version}"), sql: (*sql).into() };
    (1..).zip(texts).map(migration).collect()
}

fn migrate(storage: &Storage, module: &str, migrations: Vec<Migration>) -> Result<(), StorageError> {
    storage.commit(&[Change::Migrate(name(module), migrations)], &entry(7))
}

/// How these migrations of module `a` fail.
fn refused(storage: &Storage, migrations: Vec<Migration>) -> MigrationFailed {
    let (quota, time_max) = (storage.quota(), storage.inner.settings.migration_max);
    let bounds = Bounds { quota, rows: &storage.inner.units.rows, time_max };
    match storage.transact(|desk| run(desk, &name("a"), &migrations, 7, &bounds)) {
        Err(Fault::Migration(failed)) => *failed,
        other => panic!("not refused: {other:?}"),
    }
}

/// What was applied of module `a`.
fn versions(storage: &Storage) -> Vec<(u32, String, i64)> {
    let sql =
        "SELECT version, m.name, at_ms FROM module_migrations m JOIN modules ON id = module AND modules.name = 'a'";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    storage.read(|db| load::rows(db, sql, &[], row)).unwrap()
}

/// Names of everything that any module has made.
fn made(storage: &Storage) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE name GLOB 'm[0-9]*__*' ORDER BY name";
    storage.read(|db| load::rows(db, sql, &[], load::text)).unwrap()
}

fn ask(storage: &Storage, module: &str, sql: &str) -> Result<Rows, SqlError> {
    let mut unit = storage.begin(false, Arc::new(Patient))?;
    let rows = unit.run(&name(module), sql, &[], Caps { rows_max: 100, bytes_max: 1 << 20 })?;
    unit.commit()?;
    Ok(rows)
}

fn count(storage: &Storage, sql: &str) -> i64 {
    match ask(storage, "a", sql).unwrap().rows[0][0] {
        Value::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn each_is_applied_once_and_in_order() {
    let (folder, storage) = with_modules(&["a"]);
    let (one, two) =
        ("CREATE TABLE t (x); INSERT INTO t VALUES (1)", "ALTER TABLE t ADD COLUMN y; INSERT INTO t VALUES (2, 3)");
    migrate(&storage, "a", list(&[one])).unwrap();
    migrate(&storage, "a", list(&[one])).unwrap();
    assert_eq!(versions(&storage), [(1, "n1".into(), 7)]);
    migrate(&storage, "a", list(&[one, two])).unwrap();
    drop(storage);
    let storage = Storage::open(folder.path()).unwrap();
    migrate(&storage, "a", list(&[one, two, ""])).unwrap();
    // An earlier revision brings fewer.
    migrate(&storage, "a", list(&[one])).unwrap();
    migrate(&storage, "a", vec![]).unwrap();
    assert_eq!(versions(&storage).iter().map(|(version, ..)| *version).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(count(&storage, "SELECT count(*) FROM t"), 2);
    assert_eq!(made(&storage), ["m1__t"]);
}

#[test]
fn one_that_was_changed_after_it_was_applied_is_refused() {
    let (_folder, storage) = with_modules(&["a"]);
    migrate(&storage, "a", list(&["CREATE TABLE t (x)"])).unwrap();
    let failed = refused(&storage, list(&["CREATE TABLE t (x, y)", "CREATE TABLE u (x)"]));
    assert!(matches!(failed.refusal, Refusal::Changed { .. }), "{failed:?}");
    assert_eq!((failed.version, failed.name.as_str(), failed.module.as_str()), (1, "n1", "a"));
    let said = chain(&failed);
    assert!(said.contains("V1") && said.contains("add a migration instead"), "{said}");
    assert_eq!(made(&storage), ["m1__t"]);
}

#[test]
fn gaps_doubles_and_disorder_are_refused() {
    let (_folder, storage) = with_modules(&["a"]);
    let all = list(&["CREATE TABLE t (x)", "CREATE TABLE u (x)", "CREATE TABLE v (x)"]);
    for (order, expected) in [(&[0, 2][..], 2), (&[1], 1), (&[1, 0], 1), (&[0, 0], 2), (&[0, 1, 1], 3)] {
        let failed = refused(&storage, order.iter().map(|at| all[*at].clone()).collect());
        assert!(matches!(failed.refusal, Refusal::Order { expected: found } if found == expected), "{failed:?}");
        assert!(made(&storage).is_empty() && versions(&storage).is_empty());
    }
}

#[test]
fn one_that_fails_takes_the_whole_commit_with_it() {
    let (_folder, storage) = with_modules(&["a"]);
    let before = storage.load().unwrap();
    let migrations = list(&["CREATE TABLE t (x)", "CREATE TABLE u (x);\nINSERT INTO nowhere VALUES (1)"]);
    let changes = [
        Change::AddModule(name("b")),
        Change::AddGrant(name("a"), "a:b".parse().unwrap()),
        Change::Migrate(name("a"), migrations.clone()),
    ];
    let error = storage.commit(&changes, &entry(7)).unwrap_err();
    let RefusedChange(failure) = error.source.downcast_ref().unwrap();
    assert_eq!(failure.code, Code::SqlSyntax);
    for part in ["V2", "n2", "module a", "byte 20", "nowhere", "nothing has changed"] {
        assert!(failure.message.contains(part), "{part}: {}", failure.message);
    }
    assert_eq!(storage.load().unwrap(), before);
    assert!(made(&storage).is_empty() && versions(&storage).is_empty());
    assert_eq!(storage.audit(10).unwrap().len(), 1);
    // And it can be put right.
    migrate(&storage, "a", list(&[&migrations[0].sql, "CREATE TABLE u (x)"])).unwrap();
    assert_eq!(made(&storage), ["m1__t", "m1__u"]);
}

#[test]
fn a_module_that_is_not_there_has_no_migrations() {
    let (_folder, storage) = opened();
    let error = migrate(&storage, "ghost", list(&["CREATE TABLE t (x)"])).unwrap_err();
    assert!(chain(&error).contains("there is no module ghost"), "{}", chain(&error));
}

#[test]
fn they_run_behind_the_wall() {
    let (_folder, storage) = with_modules(&["a", "b"]);
    migrate(&storage, "b", list(&["CREATE TABLE t (x)"])).unwrap();
    for sql in [
        "UPDATE modules SET sql_bytes = 0",
        "DROP TABLE m2__t",
        "DELETE FROM module_migrations",
        "COMMIT",
        "SAVEPOINT unit",
        "ATTACH 'x.db' AS x",
        "PRAGMA writable_schema = ON",
    ] {
        let failed = refused(&storage, list(&["CREATE TABLE t (x)", sql]));
        assert_eq!(failed.version, 2, "{sql}");
        assert_eq!(made(&storage), ["m2__t"], "{sql}");
    }
}

#[test]
fn what_they_make_counts_against_the_quota() {
    let folder = tempdir().unwrap();
    let settings = Settings { data_bytes_max: 1 << 20, ..Settings::default() };
    let storage = Storage::open_with(folder.path(), settings).unwrap();
    storage.commit(&[Change::AddModule(name("a"))], &entry(1)).unwrap();
    let fill = |bytes: u32| format!("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob({bytes}))");
    let failed = refused(&storage, list(&[&fill(2 << 20)]));
    assert!(matches!(failed.refusal, Refusal::TooMuch(SqlError::Limit { name: "data_bytes", .. })), "{failed:?}");
    assert!(made(&storage).is_empty());
    migrate(&storage, "a", list(&[&fill(1 << 19)])).unwrap();
    let used: i64 = storage.read(|db| Ok(db.query_row("SELECT sql_bytes FROM modules", [], |r| r.get(0))?)).unwrap();
    assert!(used > 1 << 19 && used < 1 << 20, "{used}");
}

const ENDLESS: &str = "CREATE TABLE u (x); INSERT INTO u
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

#[test]
fn one_that_does_not_end_is_ended() {
    let folder = tempdir().unwrap();
    let settings = Settings { migration_max: Duration::from_millis(100), ..Settings::default() };
    let storage = Storage::open_with(folder.path(), settings).unwrap();
    storage.commit(&[Change::AddModule(name("a"))], &entry(1)).unwrap();
    let failed = refused(&storage, list(&["CREATE TABLE t (x)", ENDLESS]));
    let interrupted = |error: &SqlError| matches!(error, SqlError::Interrupted | SqlError::Lost(_));
    assert!(matches!(&failed.refusal, Refusal::Sql { error, .. } if interrupted(error)), "{failed:?}");
    assert!(made(&storage).is_empty() && versions(&storage).is_empty());
    migrate(&storage, "a", list(&["CREATE TABLE t (x)"])).unwrap();
}

/// Where the station that is killed has its data. It is this program once more, with this test alone.
const CHILD: &str = "STATION_STORAGE_TEST_KILLED";

#[test]
fn a_station_that_is_killed_in_the_middle_has_migrated_nothing() {
    if let Some(data) = env::var_os(CHILD) {
        let storage = Storage::open(data.as_ref()).unwrap();
        fs::write(storage.upload_path(), "begun").unwrap();
        migrate(&storage, "a", list(&["CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(4000000))", ENDLESS]))
            .unwrap();
        unreachable!("the migration does not end");
    }
    let folder = tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    storage.commit(&[Change::AddModule(name("a"))], &entry(1)).unwrap();
    drop(storage);
    let this = "migrate::tests::a_station_that_is_killed_in_the_middle_has_migrated_nothing";
    let program = env::current_exe().unwrap();
    let mut child = Command::new(program).args([this, "--exact"]).env(CHILD, folder.path()).spawn().unwrap();
    // The first migration is more than the cache holds, so some of it is in the WAL.
    let spilled = || fs::metadata(folder.path().join("station.db-wal")).is_ok_and(|wal| wal.len() > 1 << 20);
    while !spilled() {
        assert!(child.try_wait().unwrap().is_none(), "the station has ended by itself");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(50));
    child.kill().unwrap();
    child.wait().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    assert!(made(&storage).is_empty() && versions(&storage).is_empty());
    migrate(&storage, "a", list(&["CREATE TABLE t (x)"])).unwrap();
    let answer: String = storage.read(|db| Ok(db.query_row("PRAGMA integrity_check", [], |r| r.get(0))?)).unwrap();
    assert_eq!(answer, "ok");
}

#[test]
fn a_removed_module_takes_with_it_all_that_it_made_and_nothing_else() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let (_folder, storage) = with_modules(&names);
    let rich = "CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, child INTEGER REFERENCES child (id));
                CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id));
                CREATE INDEX by_parent ON child (parent);
                CREATE VIEW both AS SELECT parent.id AS p, child.id AS c FROM parent JOIN child ON parent.id = child.parent;
                INSERT INTO parent (id) VALUES (1);
                INSERT INTO child VALUES (1, 1);
                UPDATE parent SET child = 1;";
    // The module `k` has number 11, whose tables begin as those of number 1 do.
    for module in ["a", "k"] {
        migrate(&storage, module, list(&[rich])).unwrap();
    }
    storage.commit(&[Change::RemoveModule(name("a")), Change::AddModule(name("a"))], &entry(2)).unwrap();
    assert_eq!(made(&storage), ["m11__both", "m11__by_parent", "m11__child", "m11__parent"]);
    assert!(versions(&storage).is_empty());
    ask(&storage, "a", "SELECT * FROM parent").unwrap_err();
    ask(&storage, "k", "SELECT * FROM both").unwrap();
    let id = storage.read(|db| load::module_id(db, &name("a"))).unwrap();
    assert_eq!(id, 12, "numbers never come back");
    let violated = "SELECT count(*) FROM pragma_foreign_key_check";
    let violated: i64 = storage.read(|db| Ok(db.query_row(violated, [], |r| r.get(0))?)).unwrap();
    assert_eq!(violated, 0);
}

#[test]
fn the_number_of_the_last_module_does_not_come_back_either() {
    let (folder, storage) = with_modules(&["a", "b"]);
    storage.commit(&[Change::RemoveModule(name("b"))], &entry(1)).unwrap();
    drop(storage);
    let storage = Storage::open(folder.path()).unwrap();
    storage.commit(&[Change::AddModule(name("c"))], &entry(2)).unwrap();
    assert_eq!(storage.read(|db| load::module_id(db, &name("c"))).unwrap(), 3);
}

#[test]
fn a_time_that_is_over_ends_a_statement() {
    assert!(Until(Instant::now() - Duration::from_millis(1)).step(1));
    assert!(!Until(Instant::now() + Duration::from_secs(60)).step(1));
}
