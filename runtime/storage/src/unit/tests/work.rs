//! When something has happened, and when nothing has.

use super::*;
use proptest::prelude::*;
use station_kernel::work::Watch;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn one_unit() -> Settings {
    Settings { units_max: 1, ..Settings::default() }
}

fn opened_with(settings: Settings) -> (TempDir, Storage) {
    super::opened_with(settings, Box::new(std::fs::File::sync_data))
}

#[test]
fn what_was_committed_is_seen_by_the_next() {
    let (folder, storage) = opened();
    let mark = commit_row(&storage, 1, 10);
    assert_eq!(committed(&storage), BTreeMap::from([(1, 10)]));
    durable(&storage, mark).unwrap();
    drop(storage);
    assert_eq!(committed(&Storage::open(folder.path()).unwrap()), BTreeMap::from([(1, 10)]));
}

#[test]
fn a_unit_sees_what_it_wrote_and_one_snapshot_of_the_rest() {
    let (_folder, storage) = opened();
    let mut early = reading(&storage);
    let mut unit = writing(&storage);
    put(&mut *unit, 1, 10);
    assert_eq!(all(&mut *unit).len(), 1);
    assert!(all(&mut *early).is_empty());
    unit.commit().unwrap();
    assert!(all(&mut *early).is_empty());
}

#[test]
fn a_unit_that_is_dropped_has_done_nothing() {
    let (_folder, storage) = opened_with(one_unit());
    let mut unit = writing(&storage);
    put(&mut *unit, 1, 10);
    unit.save().unwrap();
    put(&mut *unit, 2, 20);
    drop(unit);
    assert!(committed(&storage).is_empty());
    commit_row(&storage, 3, 30);
    assert_eq!(committed(&storage), BTreeMap::from([(3, 30)]));
}

#[test]
fn a_panic_in_a_unit_gives_its_connection_back_clean() {
    let (_folder, storage) = opened_with(one_unit());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut unit = writing(&storage);
        put(&mut *unit, 1, 10);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    commit_row(&storage, 2, 20);
    assert_eq!(committed(&storage), BTreeMap::from([(2, 20)]));
}

#[test]
fn who_finds_no_connection_is_told_soon() {
    let (_folder, storage) = opened_with(one_unit());
    let unit = reading(&storage);
    let began = Instant::now();
    assert!(matches!(storage.begin(false, Arc::new(Patient)).err(), Some(SqlError::Busy)));
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(unit);
    reading(&storage);
}

#[test]
fn a_stale_snapshot_cannot_write_and_can_still_read() {
    let (_folder, storage) = opened();
    let mut stale = reading(&storage);
    commit_row(&storage, 1, 10);
    assert!(matches!(stale.lock(), Err(SqlError::Conflict)));
    assert!(matches!(try_run(&mut *stale, "DELETE FROM t", &[]), Err(SqlError::Conflict)));
    assert!(all(&mut *stale).is_empty());
    stale.commit().unwrap();
    commit_row(&storage, 2, 20);
}

#[test]
fn what_the_registry_commits_makes_a_snapshot_stale_too() {
    let (_folder, storage) = opened();
    let mut stale = reading(&storage);
    storage.commit(&[Change::AddModule(name("b"))], &crate::tests::entry(1)).unwrap();
    assert!(matches!(stale.lock(), Err(SqlError::Conflict)));
}

#[test]
fn a_unit_that_only_read_and_one_that_was_dropped_make_nothing_stale() {
    let (_folder, storage) = opened();
    let mut unit = reading(&storage);
    all(&mut *reading(&storage));
    let mut dropped = writing(&storage);
    put(&mut *dropped, 1, 10);
    drop(dropped);
    reading(&storage).commit().unwrap();
    unit.lock().unwrap();
    put(&mut *unit, 2, 20);
    unit.commit().unwrap();
    assert_eq!(committed(&storage), BTreeMap::from([(2, 20)]));
}

#[test]
fn under_the_kernels_lock_no_fresh_unit_conflicts() {
    let (_folder, storage) = opened();
    let kernel = Mutex::new(());
    let count = |at_once: bool| {
        for _ in 0..50 {
            let _first = kernel.lock().unwrap();
            let mut unit = storage.begin(at_once, Arc::new(Patient)).unwrap();
            let value = all(&mut *unit).get(&1).copied().unwrap_or(0);
            unit.lock().unwrap();
            put(&mut *unit, 1, value + 1);
            unit.commit().unwrap();
        }
    };
    thread::scope(|scope| (0..4).for_each(|n| drop(scope.spawn(move || count(n % 2 == 0)))));
    assert_eq!(committed(&storage), BTreeMap::from([(1, 200)]));
}

#[test]
fn the_write_lock_is_sqlites_own() {
    let (folder, storage) = opened();
    let outside = rusqlite::Connection::open(folder.path().join("station.db")).unwrap();
    outside.busy_timeout(Duration::ZERO).unwrap();
    let mut unit = reading(&storage);
    outside.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    unit.lock().unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    drop(unit);
    outside.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
}

#[test]
fn a_writer_outside_the_station_is_waited_for_but_not_long() {
    let (folder, storage) = opened();
    let outside = rusqlite::Connection::open(folder.path().join("station.db")).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let mut unit = reading(&storage);
    assert!(matches!(unit.lock(), Err(SqlError::Busy)));
    assert!(matches!(storage.begin(true, Arc::new(Patient)).err(), Some(SqlError::Busy)));
    assert!(began.elapsed() < Duration::from_secs(5));
    let gone = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        outside.execute_batch("ROLLBACK").unwrap();
    });
    unit.lock().unwrap();
    gone.join().unwrap();
}

/// Ends what runs once it was told to.
#[derive(Default)]
struct Switch(AtomicBool);

impl Watch for Switch {
    fn step(&self, _: u64) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

const LONG: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)";

#[test]
fn an_interrupted_write_ends_the_unit_with_everything_in_it() {
    let (_folder, storage) = opened_with(one_unit());
    let watch = Arc::new(Switch::default());
    let mut unit = storage.begin(true, watch.clone()).unwrap();
    put(&mut *unit, 1, 10);
    unit.save().unwrap();
    watch.0.store(true, Ordering::Relaxed);
    let ended = try_run(&mut *unit, &format!("INSERT INTO t (k, v) {LONG} SELECT i + 1, i FROM n"), &[]);
    assert!(matches!(ended, Err(SqlError::Interrupted | SqlError::Lost(_))), "{ended:?}");
    watch.0.store(false, Ordering::Relaxed);
    // Whatever comes now would be a transaction of its own.
    assert!(matches!(try_run(&mut *unit, "SELECT 1", &[]), Err(SqlError::Lost(_))));
    assert!(matches!(unit.set(&name("a"), "b", &[], 10), Err(SqlError::Lost(_))));
    assert!(matches!(unit.undo(), Err(SqlError::Lost(_))));
    assert!(matches!(unit.save(), Err(SqlError::Lost(_))));
    assert!(matches!(unit.commit(), Err(SqlError::Lost(_))));
    assert!(committed(&storage).is_empty());
    commit_row(&storage, 2, 20);
}

#[test]
fn an_interrupted_read_leaves_the_unit_and_undoing_is_never_interrupted() {
    let (_folder, storage) = opened_with(one_unit());
    let watch = Arc::new(Switch::default());
    let mut unit = storage.begin(true, watch.clone()).unwrap();
    put(&mut *unit, 1, 10);
    unit.save().unwrap();
    put(&mut *unit, 2, 20);
    watch.0.store(true, Ordering::Relaxed);
    let ended = try_run(&mut *unit, &format!("{LONG} SELECT sum(i) FROM n"), &[]);
    assert!(matches!(ended, Err(SqlError::Interrupted)), "{ended:?}");
    (0..2_000).for_each(|_| {
        unit.save().unwrap();
        unit.undo().unwrap();
    });
    unit.undo().unwrap();
    unit.commit().unwrap();
    assert_eq!(committed(&storage), BTreeMap::from([(1, 10)]));
}

#[test]
fn who_waits_for_the_gate_listens_to_its_watch() {
    let (_folder, storage) = opened();
    let _first = writing(&storage);
    let watch = Arc::new(Switch(AtomicBool::new(true)));
    let mut unit = storage.begin(false, watch.clone()).unwrap();
    assert!(matches!(unit.lock(), Err(SqlError::Interrupted)));
    assert!(matches!(storage.begin(true, watch).err(), Some(SqlError::Interrupted)));
}

#[test]
fn a_statement_that_fails_half_way_has_not_run() {
    let (_folder, storage) = opened();
    let mut unit = writing(&storage);
    put(&mut *unit, 2, 20);
    let failed = try_run(&mut *unit, "INSERT INTO t (k, v) VALUES (1, 1), (2, 2), (3, 3)", &[]);
    assert!(matches!(failed, Err(SqlError::Constraint { .. })), "{failed:?}");
    assert_eq!(all(&mut *unit), BTreeMap::from([(2, 20)]));
}

#[test]
fn a_savepoint_that_is_not_there_is_an_error() {
    let (_folder, storage) = opened();
    let mut unit = writing(&storage);
    put(&mut *unit, 1, 10);
    assert!(unit.release().is_err() && unit.undo().is_err());
    unit.commit().unwrap();
    assert_eq!(committed(&storage).len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Put(i64, i64),
    Remove(i64),
    Key(u8, Option<u8>),
    Fail,
    Scope(Vec<Step>, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => (0..6i64, any::<i64>()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (0..6i64).prop_map(Step::Remove),
        2 => (0..4u8, any::<Option<u8>>()).prop_map(|(key, value)| Step::Key(key, value)),
        1 => Just(Step::Fail),
    ];
    let scope = leaf.prop_recursive(5, 48, 6, |inner| {
        (prop::collection::vec(inner, 0..6), any::<bool>()).prop_map(|(steps, kept)| Step::Scope(steps, kept))
    });
    prop::collection::vec(scope, 0..8)
}

/// Rows and keys, as they should be.
type Model = (BTreeMap<i64, i64>, BTreeMap<String, u8>);

fn walk(unit: &mut dyn Unit, model: &mut Model, step: &Step) {
    match step {
        Step::Put(key, value) => {
            put(unit, *key, *value);
            model.0.insert(*key, *value);
        }
        Step::Remove(key) => {
            remove(unit, *key);
            model.0.remove(key);
        }
        Step::Key(key, value) => {
            let write = (key.to_string(), value.map(|value| vec![value]));
            unit.set(&name("a"), "b", &[write], 1 << 20).unwrap();
            match value {
                Some(value) => drop(model.1.insert(key.to_string(), *value)),
                None => drop(model.1.remove(&key.to_string())),
            }
        }
        Step::Fail => drop(try_run(unit, "INSERT INTO t (k, v) VALUES (77, 1), (78, NULL)", &[]).unwrap_err()),
        Step::Scope(steps, kept) => {
            let before = model.clone();
            unit.save().unwrap();
            steps.iter().for_each(|step| walk(unit, model, step));
            if *kept { unit.release() } else { unit.undo() }.unwrap();
            *model = if *kept { model.clone() } else { before };
        }
    }
}

fn found(storage: &Storage) -> Model {
    let mut unit = reading(storage);
    let keys = unit.keys(&name("a"), "b", None, 100).unwrap();
    let value = |key: String| (key.clone(), unit.get(&name("a"), "b", &key).unwrap().unwrap()[0]);
    let keys = keys.into_iter().map(value).collect();
    (all(&mut *unit), keys)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]
    #[test]
    fn what_is_undone_has_not_happened_and_all_else_has(units in prop::collection::vec((steps(), any::<bool>()), 1..4)) {
        let (_folder, storage) = opened_with(one_unit());
        let mut model = Model::default();
        for (steps, kept) in units {
            let before = model.clone();
            let mut unit = reading(&storage);
            steps.iter().for_each(|step| walk(&mut *unit, &mut model, step));
            match kept {
                true => assert!(unit.commit().unwrap() >= Mark::default()),
                false => {
                    drop(unit);
                    model = before;
                }
            }
            prop_assert_eq!(found(&storage), model.clone());
        }
    }
}
