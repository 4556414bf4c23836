//! How long the WAL gets.

use super::*;
use std::{path::Path, thread, time::Duration};

fn wal_bytes(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("station.db-wal")).unwrap().len()
}

/// So many commits, with the pauses of a disk that takes some 40 MB/s. Says how many bytes that were.
fn commit_often(storage: &Storage, commits: u64) -> u64 {
    (0..commits).for_each(|number| {
        commit_much(storage, number as u8);
        thread::sleep(Duration::from_millis(5));
    });
    commits * (200 << 10)
}

#[test]
fn a_steady_load_does_not_make_it_long() {
    let (folder, storage) = opened();
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| commit_often(&storage, 320));
        while !writer.is_finished() {
            all(&mut *reading(&storage));
        }
        writer.join().unwrap()
    });
    let length = wal_bytes(folder.path());
    assert!(length < 40 << 20, "{length} bytes of WAL for {written} bytes");
}

#[test]
fn without_checkpoints_nobody_touches_it() {
    let settings = Settings { checkpoints: false, ..Settings::default() };
    let (folder, storage) = opened_with(settings, Box::new(std::fs::File::sync_data));
    let written = commit_often(&storage, 100);
    assert!(wal_bytes(folder.path()) >= written);
}

#[test]
fn who_reads_an_old_state_keeps_it_and_nobody_waits() {
    let (folder, storage) = opened();
    commit_row(&storage, 1, 10);
    let mut old = reading(&storage);
    commit_often(&storage, 100);
    assert_eq!(all(&mut *old), BTreeMap::from([(1, 10)]));
    drop(old);
    let long = wal_bytes(folder.path());
    commit_often(&storage, 100);
    assert!(wal_bytes(folder.path()) < long + (40 << 20));
}
