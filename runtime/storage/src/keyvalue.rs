//! The kernel's [`KeyValue`] port: durable data of modules, each in its own.
//!
//! The module is part of every statement, and it comes from the kernel and never from a guest, so a module cannot
//! name the data of another. Data ends with its module: removing it removes every key in the same transaction.
//!
//! A module that is not there has no data, not empty data: all methods answer with an error, so that a call that
//! outlives its module notices. Sizes and quotas are checked by the capability; here [`KeyValue::used`] only counts.

use crate::{
    Fault, Storage,
    error::Doing as _,
    load::{module_id, rows, text},
};
use rusqlite::{Connection, OptionalExtension as _, params};
use station_kernel::{KeyValue, StorageError};
use station_model::ModuleName;

impl KeyValue for Storage {
    fn get(&self, module: &ModuleName, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let value = self.read(|db| value(db, module_id(db, module)?, bucket, key));
        value.doing(|| format!("reading a key of module {module}"))
    }

    fn set(&self, module: &ModuleName, bucket: &str, writes: &[(String, Option<Vec<u8>>)]) -> Result<(), StorageError> {
        let written = self.write(|tx| {
            let id = module_id(tx, module)?;
            writes.iter().try_for_each(|(key, value)| put(tx, id, bucket, key, value.as_deref()))
        });
        written.doing(|| format!("writing keys of module {module}"))
    }

    fn swap(
        &self,
        module: &ModuleName,
        bucket: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StorageError> {
        let swapped = self.write(|tx| {
            let id = module_id(tx, module)?;
            let same = self::value(tx, id, bucket, key)?.as_deref() == expected;
            if same {
                put(tx, id, bucket, key, Some(value))?;
            }
            Ok(same)
        });
        swapped.doing(|| format!("swapping a key of module {module}"))
    }

    fn keys(
        &self,
        module: &ModuleName,
        bucket: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StorageError> {
        let keys = self.read(|db| keys(db, module_id(db, module)?, bucket, after, limit));
        keys.doing(|| format!("listing keys of module {module}"))
    }

    fn used(&self, module: &ModuleName) -> Result<u64, StorageError> {
        let used = self.read(|db| used(db, module_id(db, module)?));
        used.doing(|| format!("counting the data of module {module}"))
    }
}

/// The value of a key.
pub(crate) fn value(db: &Connection, id: i64, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Fault> {
    let sql = "SELECT value FROM kv WHERE module = ?1 AND bucket = ?2 AND key = ?3";
    Ok(db.prepare_cached(sql)?.query_row(params![id, bucket, key], |row| row.get(0)).optional()?)
}

/// Sets a key, or removes it.
pub(crate) fn put(tx: &Connection, id: i64, bucket: &str, key: &str, value: Option<&[u8]>) -> Result<(), Fault> {
    let changed = match value {
        Some(value) => tx
            .prepare_cached(
                "INSERT INTO kv (module, bucket, key, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (module, bucket, key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![id, bucket, key, value]),
        None => tx
            .prepare_cached("DELETE FROM kv WHERE module = ?1 AND bucket = ?2 AND key = ?3")?
            .execute(params![id, bucket, key]),
    };
    changed.map(drop).map_err(Fault::from)
}

/// Ordered by the bytes of the key, as Rust orders text. Two statements, because one with `OR` would not use the index.
pub(crate) fn keys(
    db: &Connection,
    id: i64,
    bucket: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, Fault> {
    let sql = match after {
        Some(_) => "SELECT key FROM kv WHERE module = ?1 AND bucket = ?2 AND key > ?3 ORDER BY key LIMIT ?4",
        None => "SELECT key FROM kv WHERE module = ?1 AND bucket = ?2 AND key >= ?3 ORDER BY key LIMIT ?4",
    };
    rows(db, sql, params![id, bucket, after.unwrap_or(""), limit], text)
}

/// Bytes of a module's keys and values.
pub(crate) fn used(db: &Connection, id: i64) -> Result<u64, Fault> {
    let sql = "SELECT max(kv_bytes, 0) FROM modules WHERE id = ?1";
    let bytes: i64 = db.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    Ok(bytes.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{name, opened};
    use std::{collections::BTreeMap, error::Error as _, sync::Barrier, thread};

    /// A storage with the modules `a` and `b`.
    fn with_modules() -> (tempfile::TempDir, Storage) {
        crate::tests::with_modules(&["a", "b"])
    }

    fn set(storage: &Storage, module: &str, bucket: &str, key: &str, value: &[u8]) {
        storage.set(&name(module), bucket, &[(key.to_owned(), Some(value.to_vec()))]).unwrap();
    }

    fn get(storage: &Storage, module: &str, bucket: &str, key: &str) -> Option<Vec<u8>> {
        storage.get(&name(module), bucket, key).unwrap()
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
        assert!(storage.keys(&name("a"), "bucket", None, 10).unwrap().is_empty());
    }

    #[test]
    fn modules_and_buckets_do_not_see_each_other() {
        let (_folder, storage) = with_modules();
        set(&storage, "a", "one", "key", b"a one");
        set(&storage, "a", "two", "key", b"a two");
        set(&storage, "b", "one", "key", b"b one");
        storage.set(&name("a"), "two", &[("key".into(), None)]).unwrap();
        assert_eq!(get(&storage, "a", "one", "key").unwrap(), b"a one");
        assert_eq!(get(&storage, "a", "two", "key"), None);
        assert_eq!(get(&storage, "b", "one", "key").unwrap(), b"b one");
        assert_eq!(storage.keys(&name("a"), "one", None, 10).unwrap(), ["key"]);
        assert!(storage.keys(&name("b"), "two", None, 10).unwrap().is_empty());
    }

    #[test]
    fn a_module_that_is_not_there_is_an_error() {
        let (_folder, storage) = opened();
        let (ghost, writes) = (name("ghost"), [("key".to_owned(), Some(vec![1]))]);
        for error in [
            storage.get(&ghost, "bucket", "key").unwrap_err(),
            storage.set(&ghost, "bucket", &writes).unwrap_err(),
            storage.set(&ghost, "bucket", &[]).unwrap_err(),
            storage.swap(&ghost, "bucket", "key", None, b"").unwrap_err(),
            storage.keys(&ghost, "bucket", None, 10).unwrap_err(),
            storage.used(&ghost).unwrap_err(),
        ] {
            assert_eq!(error.source().unwrap().to_string(), "there is no module ghost", "{error}");
        }
    }

    #[test]
    fn removing_a_module_removes_its_data_and_no_other() {
        use station_kernel::{Change, Registry as _};
        let (_folder, storage) = with_modules();
        set(&storage, "a", "bucket", "key", b"a");
        set(&storage, "b", "bucket", "key", b"b");
        storage.commit(&[Change::RemoveModule(name("a"))], &crate::tests::entry(1)).unwrap();
        storage.commit(&[Change::AddModule(name("a"))], &crate::tests::entry(2)).unwrap();
        assert_eq!(get(&storage, "a", "bucket", "key"), None);
        assert_eq!(storage.used(&name("a")).unwrap(), 0);
        assert_eq!(get(&storage, "b", "bucket", "key").unwrap(), b"b");
    }

    #[test]
    fn data_survives_a_restart() {
        let (folder, storage) = with_modules();
        set(&storage, "a", "bucket", "key", b"value");
        drop(storage);
        let storage = Storage::open(folder.path()).unwrap();
        assert_eq!(get(&storage, "a", "bucket", "key").unwrap(), b"value");
        assert_eq!(storage.used(&name("a")).unwrap(), 8);
    }

    #[test]
    fn a_batch_that_fails_writes_nothing() {
        let (_folder, storage) = with_modules();
        set(&storage, "a", "bucket", "old", b"old");
        // Beyond the limit of a row; the capability would have refused it, but here it is a fault like a full disk.
        let writes =
            [("new".to_owned(), Some(vec![1])), ("old".to_owned(), None), ("big".to_owned(), Some(vec![0; 17 << 20]))];
        storage.set(&name("a"), "bucket", &writes).unwrap_err();
        assert_eq!(storage.keys(&name("a"), "bucket", None, 10).unwrap(), ["old"]);
        assert_eq!(storage.used(&name("a")).unwrap(), 6);
    }

    #[test]
    fn the_last_write_of_a_batch_to_a_key_counts() {
        let (_folder, storage) = with_modules();
        let writes = [("key".to_owned(), Some(vec![1])), ("key".to_owned(), None), ("key".to_owned(), Some(vec![2]))];
        storage.set(&name("a"), "bucket", &writes).unwrap();
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
            let page = storage.keys(&name("a"), "bucket", found.last().map(String::as_str), 3).unwrap();
            assert!(page.len() <= 3);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected);
        assert!(storage.keys(&name("a"), "bucket", None, 0).unwrap().is_empty());
    }

    #[test]
    fn swap_sets_when_the_value_is_as_expected() {
        let (_folder, storage) = with_modules();
        let swap = |expected: Option<&[u8]>, value: &[u8]| storage.swap(&name("a"), "b", "k", expected, value).unwrap();
        assert!(swap(None, b"one"));
        assert!(swap(Some(b"one"), b"two"));
        assert_eq!(get(&storage, "a", "b", "k").unwrap(), b"two");
    }

    #[test]
    fn swap_leaves_what_is_not_as_expected() {
        let (_folder, storage) = with_modules();
        let swap = |expected: Option<&[u8]>| storage.swap(&name("a"), "b", "k", expected, b"new").unwrap();
        assert!(!swap(Some(b"")));
        assert_eq!(get(&storage, "a", "b", "k"), None);
        set(&storage, "a", "b", "k", b"one");
        assert!(!swap(None));
        assert!(!swap(Some(b"on")));
        assert_eq!(get(&storage, "a", "b", "k").unwrap(), b"one");
    }

    #[test]
    fn of_swaps_at_the_same_time_one_wins_each_round() {
        let (_folder, storage) = with_modules();
        set(&storage, "a", "b", "k", &[0]);
        let start = Barrier::new(4);
        let count = || {
            start.wait();
            (0..10).for_each(|_| {
                while !storage
                    .get(&name("a"), "b", "k")
                    .and_then(|old| {
                        let next = old.as_deref().and_then(<[u8]>::first).unwrap() + 1;
                        storage.swap(&name("a"), "b", "k", old.as_deref(), &[next])
                    })
                    .unwrap()
                {}
            });
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
        assert_eq!(get(&storage, "a", "b", "k"), Some(vec![40]));
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
                storage.set(&name("a"), &bucket, &[(key.clone(), value.clone())]).unwrap();
                match value {
                    Some(value) => drop(expected.insert((bucket, key), value)),
                    None => drop(expected.remove(&(bucket, key))),
                }
            }
            let bytes: usize = expected.iter().map(|((_, key), value)| key.len() + value.len()).sum();
            assert_eq!(storage.used(&name("a")).unwrap(), bytes as u64);
            assert_eq!(storage.used(&name("b")).unwrap(), 0);
            for bucket in ["a", "b"] {
                let keys: Vec<_> = expected.keys().filter(|(b, _)| b == bucket).map(|(_, key)| key.clone()).collect();
                assert_eq!(storage.keys(&name("a"), bucket, None, 100).unwrap(), keys);
            }
        }
    }
}
