//! How long the WAL gets.

use super::*;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

fn wal_bytes(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("station.db-wal")).unwrap().len()
}

/// Commits some 200 KB, always over the same row. Of another `content` than before, because SQLite leaves pages alone
/// that would be as they are.
fn commit_much(storage: &Storage, content: u8) {
    let mut unit = writing(storage);
    let sql = "INSERT INTO t (k, v, w) VALUES (1, 0, ?1) ON CONFLICT (k) DO UPDATE SET w = excluded.w";
    run(&mut *unit, sql, &[Value::Blob(vec![content; 200 << 10])]);
    unit.commit().unwrap();
}

fn commit_for(storage: &Storage, length: Duration) -> u64 {
    let until = Instant::now() + length;
    let mut bytes = 0;
    while Instant::now() < until {
        commit_much(storage, (bytes / (200 << 10)) as u8);
        bytes += 200 << 10;
        // As a disk would have it, some 40 MB/s.
        thread::sleep(Duration::from_millis(5));
    }
    bytes
}

#[test]
fn a_steady_load_does_not_make_it_long() {
    let (folder, storage) = opened();
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| commit_for(&storage, Duration::from_secs(2)));
        while !writer.is_finished() {
            all(&mut *reading(&storage));
        }
        writer.join().unwrap()
    });
    let length = wal_bytes(folder.path());
    assert!(written > 48 << 20, "only {written} bytes written");
    assert!(length < 40 << 20, "{length} bytes of WAL for {written} bytes");
}

#[test]
fn without_checkpoints_nobody_touches_it() {
    let settings = Settings { checkpoints: false, ..Settings::default() };
    let (folder, storage) = opened_with(settings, Box::new(std::fs::File::sync_data));
    let written = commit_for(&storage, Duration::from_secs(1));
    assert!(wal_bytes(folder.path()) >= written);
}

#[test]
fn who_reads_an_old_state_keeps_it_and_nobody_waits() {
    let (folder, storage) = opened();
    commit_row(&storage, 1, 10);
    let mut old = reading(&storage);
    commit_for(&storage, Duration::from_secs(1));
    assert_eq!(all(&mut *old), BTreeMap::from([(1, 10)]));
    drop(old);
    let long = wal_bytes(folder.path());
    commit_for(&storage, Duration::from_secs(1));
    assert!(wal_bytes(folder.path()) < long + (40 << 20));
}
