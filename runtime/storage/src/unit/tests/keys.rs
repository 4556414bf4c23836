//! Key-value data of several modules, over several units and starts.

use super::*;
use crate::tests::{key as get, set_key as set, with_modules as storage_with, write_keys};
use std::{sync::Barrier, thread};

/// A storage with the modules `a` and `b`.
fn with_modules() -> (TempDir, Storage) {
    storage_with(&["a", "b"])
}

fn keys(storage: &Storage, module: &str, bucket: &str, after: Option<&str>, limit: u32) -> Vec<String> {
    reading(storage).keys(&name(module), bucket, after, limit).unwrap()
}

/// Bytes that are counted as a module's.
pub(super) fn used(storage: &Storage, module: &str) -> u64 {
    storage.read(|db| crate::keyvalue::used(db, crate::load::module_id(db, &name(module))?)).unwrap()
}

#[test]
fn what_was_set_is_read() {
    let (_folder, storage) = with_modules();
    for value in [&b"one"[..], b"", b"\0\xff", &vec![7; 4 << 20]] {
        set(&storage, "a", "bucket", "key", value);
        assert_eq!(get(&storage, "a", "bucket", "key").as_deref(), Some(value));
    }
}

#[test]
fn a_key_that_was_never_set_has_no_value() {
    let (_folder, storage) = with_modules();
    assert_eq!(get(&storage, "a", "bucket", "key"), None);
    assert!(keys(&storage, "a", "bucket", None, 10).is_empty());
}

#[test]
fn modules_and_buckets_do_not_see_each_other() {
    let (_folder, storage) = with_modules();
    set(&storage, "a", "one", "key", b"a one");
    set(&storage, "a", "two", "key", b"a two");
    set(&storage, "b", "one", "key", b"b one");
    write_keys(&storage, "a", "two", &[("key".into(), None)]).unwrap();
    assert_eq!(get(&storage, "a", "one", "key").unwrap(), b"a one");
    assert_eq!(get(&storage, "a", "two", "key"), None);
    assert_eq!(get(&storage, "b", "one", "key").unwrap(), b"b one");
    assert_eq!(keys(&storage, "a", "one", None, 10), ["key"]);
    assert!(keys(&storage, "b", "two", None, 10).is_empty());
}

#[test]
fn removing_a_module_removes_its_data_and_no_other() {
    let (_folder, storage) = with_modules();
    set(&storage, "a", "bucket", "key", b"a");
    set(&storage, "b", "bucket", "key", b"b");
    storage.commit(&[Change::RemoveModule(name("a"))], &crate::tests::entry(1)).unwrap();
    storage.commit(&[Change::AddModule(name("a"))], &crate::tests::entry(2)).unwrap();
    assert_eq!(get(&storage, "a", "bucket", "key"), None);
    assert_eq!(used(&storage, "a"), 0);
    assert_eq!(get(&storage, "b", "bucket", "key").unwrap(), b"b");
}

#[test]
fn data_survives_a_restart() {
    let (folder, storage) = with_modules();
    set(&storage, "a", "bucket", "key", b"value");
    drop(storage);
    let storage = Storage::open(folder.path()).unwrap();
    assert_eq!(get(&storage, "a", "bucket", "key").unwrap(), b"value");
    assert_eq!(used(&storage, "a"), 8);
}

#[test]
fn a_batch_that_fails_writes_nothing_and_the_unit_goes_on() {
    let (_folder, storage) = with_modules();
    let mut unit = writing(&storage);
    unit.set(&name("a"), "bucket", &[("old".to_owned(), Some(b"old".to_vec()))], 100).unwrap();
    // Beyond the limit of a row; the capability would have refused it, but here it is a fault like a full disk.
    let writes =
        [("new".to_owned(), Some(vec![1])), ("old".to_owned(), None), ("big".to_owned(), Some(vec![0; 17 << 20]))];
    unit.set(&name("a"), "bucket", &writes, u64::MAX).unwrap_err();
    unit.commit().unwrap();
    assert_eq!(keys(&storage, "a", "bucket", None, 10), ["old"]);
    assert_eq!(used(&storage, "a"), 6);
}

#[test]
fn the_last_write_of_a_batch_to_a_key_counts() {
    let (_folder, storage) = with_modules();
    let writes = [("key".to_owned(), Some(vec![1])), ("key".to_owned(), None), ("key".to_owned(), Some(vec![2]))];
    write_keys(&storage, "a", "bucket", &writes).unwrap();
    assert_eq!(get(&storage, "a", "bucket", "key"), Some(vec![2]));
}

#[test]
fn keys_come_in_order_and_in_pages() {
    let (_folder, storage) = with_modules();
    let mut expected = ["", "a", "a\0", "a\0b", "aa", "b", "B", "é", "z", "😀"].map(str::to_owned);
    for key in &expected {
        set(&storage, "a", "bucket", key, b"");
    }
    expected.sort();
    let mut found: Vec<String> = vec![];
    loop {
        let page = keys(&storage, "a", "bucket", found.last().map(String::as_str), 3);
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, expected);
    assert!(keys(&storage, "a", "bucket", None, 0).is_empty());
}

/// What a swap and an increment are made of: the lock, and only then the read.
#[test]
fn of_units_that_lock_before_they_read_a_key_none_writes_over_another() {
    let (_folder, storage) = with_modules();
    let start = Barrier::new(4);
    let count = || {
        start.wait();
        for _ in 0..10 {
            let mut unit = writing(&storage);
            let old = unit.get(&name("a"), "b", "k").unwrap().map_or(0, |old| old[0]);
            unit.set(&name("a"), "b", &[("k".to_owned(), Some(vec![old + 1]))], 100).unwrap();
            unit.commit().unwrap();
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
    assert_eq!(get(&storage, "a", "b", "k"), Some(vec![40]));
}

#[test]
fn of_units_that_read_the_same_key_one_writes_it() {
    let (_folder, storage) = with_modules();
    let (mut first, mut second) = (reading(&storage), reading(&storage));
    for unit in [&mut first, &mut second] {
        assert_eq!(unit.get(&name("a"), "b", "k").unwrap(), None);
    }
    first.set(&name("a"), "b", &[("k".to_owned(), Some(vec![1]))], 100).unwrap();
    first.commit().unwrap();
    let refused = second.set(&name("a"), "b", &[("k".to_owned(), Some(vec![2]))], 100);
    assert!(matches!(refused, Err(SqlError::Conflict)), "{refused:?}");
    assert_eq!(get(&storage, "a", "b", "k"), Some(vec![1]));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]
    #[test]
    fn what_is_counted_is_what_is_there(
        writes in proptest::collection::vec(
            ("[ab]", "[a-cé\0]{0,3}", proptest::option::of(proptest::collection::vec(0u8..3, 0..40))), 0..40,
        ),
    ) {
        let (_folder, storage) = with_modules();
        let mut expected = BTreeMap::new();
        for (bucket, key, value) in writes {
            write_keys(&storage, "a", &bucket, &[(key.clone(), value.clone())]).unwrap();
            match value {
                Some(value) => drop(expected.insert((bucket, key), value)),
                None => drop(expected.remove(&(bucket, key))),
            }
        }
        let bytes: usize = expected.iter().map(|((_, key), value)| key.len() + value.len()).sum();
        assert_eq!(used(&storage, "a"), bytes as u64);
        assert_eq!(used(&storage, "b"), 0);
        for bucket in ["a", "b"] {
            let own: Vec<_> = expected.keys().filter(|(b, _)| b == bucket).map(|(_, key)| key.clone()).collect();
            assert_eq!(keys(&storage, "a", bucket, None, 100), own);
        }
    }
}
