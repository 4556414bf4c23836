//! What is durable, and when that is said.

use super::*;
use std::{
    collections::BTreeSet,
    fs::File,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// A flush that counts, and takes at least `pause`.
fn counted(pause: Duration) -> (Arc<AtomicUsize>, crate::unit::Sync) {
    let count = Arc::new(AtomicUsize::new(0));
    let own = count.clone();
    let sync = move |wal: &File| {
        own.fetch_add(1, Ordering::SeqCst);
        thread::sleep(pause);
        wal.sync_data()
    };
    (count, Box::new(sync))
}

#[test]
fn many_commits_share_a_flush() {
    let (syncs, sync) = counted(Duration::from_millis(5));
    let settings = Settings { units_max: 64, ..Settings::default() };
    let (_folder, storage) = opened_with(settings, sync);
    let before = syncs.load(Ordering::SeqCst);
    let kernel = Mutex::new(());
    let work = |thread: i64| {
        for round in 0..10 {
            let held = kernel.lock().unwrap();
            let mark = commit_row(&storage, thread * 10 + round, 1);
            drop(held);
            durable(&storage, mark).unwrap();
        }
    };
    thread::scope(|scope| (0..64).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    let syncs = syncs.load(Ordering::SeqCst) - before;
    assert_eq!(committed(&storage).len(), 640);
    assert!(syncs <= 640 / 8, "{syncs} flushes for 640 commits");
}

#[test]
fn a_commit_is_durable_only_after_a_flush_that_began_after_it() {
    let (begun, began) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let held = Arc::new(AtomicBool::new(false));
    let hold = held.clone();
    let sync = move |wal: &File| {
        if hold.load(Ordering::SeqCst) {
            begun.send(()).unwrap();
            ended.recv().unwrap();
        }
        wal.sync_data()
    };
    let (_folder, storage) = opened_with(Settings::default(), Box::new(sync));
    durable(&storage, reading(&storage).seen()).unwrap();
    held.store(true, Ordering::SeqCst);
    let first = commit_row(&storage, 1, 10);
    began.recv().unwrap();
    let second = commit_row(&storage, 2, 20);
    assert!(!is_durable(&storage, first) && !is_durable(&storage, second));
    end.send(()).unwrap();
    durable(&storage, first).unwrap();
    began.recv().unwrap();
    assert!(!is_durable(&storage, second));
    end.send(()).unwrap();
    durable(&storage, second).unwrap();
    held.store(false, Ordering::SeqCst);
}

fn is_durable(storage: &Storage, mark: Mark) -> bool {
    let subscribed = storage.inner.units.ledger.subscribe();
    subscribed.borrow().settles(mark.0)
}

#[test]
fn after_a_flush_that_failed_nothing_is_durable_and_nothing_begins() {
    let (_folder, storage) = opened();
    let mark = commit_row(&storage, 1, 10);
    durable(&storage, mark).unwrap();
    drop(storage);
    let fails = Arc::new(AtomicBool::new(false));
    let own = fails.clone();
    let sync = move |_: &File| match own.load(Ordering::SeqCst) {
        true => Err(io::Error::other("worn out")),
        false => Ok(()),
    };
    let (_folder, storage) = opened_with(Settings::default(), Box::new(sync));
    let early = commit_row(&storage, 1, 10);
    durable(&storage, early).unwrap();
    fails.store(true, Ordering::SeqCst);
    let late = commit_row(&storage, 2, 20);
    let error = durable(&storage, late).unwrap_err();
    assert!(crate::error::chain(&error).contains("worn out"), "{}", crate::error::chain(&error));
    // The disk recovers, and what it has lost meanwhile is still lost.
    fails.store(false, Ordering::SeqCst);
    assert!(durable(&storage, late).is_err() && durable(&storage, early).is_err());
    assert!(matches!(storage.begin(false, Arc::new(Patient)).err(), Some(SqlError::Storage(_))));
    assert!(matches!(storage.begin(true, Arc::new(Patient)).err(), Some(SqlError::Storage(_))));
    storage.commit(&[Change::AddModule(name("b"))], &crate::tests::entry(1)).unwrap_err();
}

#[test]
fn a_unit_that_was_open_when_a_flush_failed_cannot_become_durable() {
    let (sender, failing) = mpsc::channel::<()>();
    let sync = move |_: &File| match failing.try_recv() {
        Ok(()) => Err(io::Error::other("worn out")),
        Err(_) => Ok(()),
    };
    let (_folder, storage) = opened_with(Settings::default(), Box::new(sync));
    let mut unit = writing(&storage);
    put(&mut *unit, 1, 10);
    sender.send(()).unwrap();
    drop(storage.inner.units.ledger.promise());
    while storage.inner.units.ledger.healthy().is_ok() {
        thread::yield_now();
    }
    match unit.commit() {
        Ok(mark) => drop(durable(&storage, mark).unwrap_err()),
        Err(error) => assert!(matches!(error, SqlError::Storage(_)), "{error}"),
    }
}

#[test]
fn what_the_registry_commits_is_counted() {
    let (_folder, storage) = opened();
    let before = reading(&storage).seen();
    storage.commit(&[Change::AddModule(name("b"))], &crate::tests::entry(1)).unwrap();
    let after = reading(&storage).seen();
    assert!(after > before);
    durable(&storage, after).unwrap();
}

#[test]
fn a_commit_that_fails_holds_nobody_up() {
    let (_folder, storage) = opened();
    let child = "CREATE TABLE c (t INTEGER REFERENCES t (k) DEFERRABLE INITIALLY DEFERRED)";
    let mut unit = writing(&storage);
    run(&mut *unit, child, &[]);
    run(&mut *unit, "INSERT INTO c VALUES (7)", &[]);
    let failed = unit.commit();
    assert!(matches!(failed, Err(SqlError::Constraint { .. })), "{failed:?}");
    durable(&storage, reading(&storage).seen()).unwrap();
    let mark = commit_row(&storage, 1, 10);
    durable(&storage, mark).unwrap();
}

#[test]
fn a_unit_that_only_read_ends_with_what_it_saw() {
    let (_folder, storage) = opened();
    let mark = commit_row(&storage, 1, 10);
    let unit = reading(&storage);
    assert_eq!(unit.seen(), mark);
    assert_eq!(unit.commit().unwrap(), mark);
}

/// Writers count a row up, whose value so tells which commit wrote it; readers note what they saw and what they were
/// told that they can have seen. Nobody may have seen more than that.
#[test]
fn what_a_unit_sees_is_never_more_than_its_mark_says() {
    let (_folder, storage) = opened();
    let (marks, stop) = (Mutex::new(BTreeMap::new()), AtomicBool::new(false));
    let kernel = Mutex::new(());
    let write = || {
        for _ in 0..1_500 {
            let _held = kernel.lock().unwrap();
            let mut unit = writing(&storage);
            let value = all(&mut *unit).get(&1).copied().unwrap_or(0) + 1;
            put(&mut *unit, 1, value);
            let mark = unit.commit().unwrap();
            marks.lock().unwrap().insert(value, mark);
        }
        stop.store(true, Ordering::SeqCst);
    };
    let read = || {
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::SeqCst) {
            let mut unit = reading(&storage);
            let said = unit.seen();
            seen.insert((all(&mut *unit).get(&1).copied().unwrap_or(0), said));
        }
        seen
    };
    let (seen, registry) = thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        let registry = scope.spawn(|| {
            (0..50).for_each(|n| storage.commit(&[], &crate::tests::entry(n)).unwrap());
        });
        scope.spawn(write);
        let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        (seen, registry.join())
    });
    registry.unwrap();
    let marks = marks.into_inner().unwrap();
    for (value, said) in seen.iter().flatten().filter(|(value, _)| *value > 0) {
        assert!(*said >= marks[value], "saw the commit {:?}, was told of {said:?}", marks[value]);
    }
    assert!(seen.iter().map(BTreeSet::len).sum::<usize>() > 100);
}

#[test]
fn closing_flushes_what_was_committed_last() {
    let (syncs, sync) = counted(Duration::from_millis(20));
    let (folder, storage) = opened_with(Settings::default(), sync);
    let mark = commit_row(&storage, 1, 10);
    let waits = storage.durable(mark);
    let before = syncs.load(Ordering::SeqCst);
    drop(storage);
    block_on(waits).unwrap();
    assert!(syncs.load(Ordering::SeqCst) >= before);
    assert_eq!(committed(&Storage::open(folder.path()).unwrap()).len(), 1);
}

#[test]
fn a_unit_keeps_the_storage_open() {
    let (folder, storage) = opened();
    let mut unit = writing(&storage);
    drop(storage);
    put(&mut *unit, 1, 10);
    assert!(matches!(Storage::open(folder.path()), Err(crate::Error::InUse { .. })));
    unit.commit().unwrap();
    assert_eq!(committed(&Storage::open(folder.path()).unwrap()).len(), 1);
}

#[test]
fn opening_flushes_what_a_killed_station_left_behind() {
    let (folder, storage) = opened();
    commit_row(&storage, 1, 10);
    // As kill -9 would leave it: the files as they are, without anybody closing them.
    let left = tempdir().unwrap();
    for file in ["station.db", "station.db-wal"] {
        std::fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    for checkpoints in [false, true] {
        let (syncs, sync) = counted(Duration::ZERO);
        let settings = Settings { checkpoints, ..Settings::default() };
        let storage = Storage::open_syncing(left.path(), settings, sync).unwrap();
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
        assert_eq!(committed(&storage).len(), 1);
    }
}
