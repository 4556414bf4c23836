//! The shelf over a fake unit of work: what both drafts stand on.

use super::options::Settings;
use super::shelf::{Answer, Bucket, Cas, Fault, PAGE, Problem, Shelf, Shelved, Writes, told};
use station_kernel::StorageError;
use station_kernel::events::Event;
use station_kernel::work::{Caps, KeyWrites, Mark, Plan, Rows, SqlError, Unit, Value};
use station_model::ModuleName;
use std::collections::BTreeMap;

/// Key-value data in memory.
#[derive(Default)]
struct Memory(BTreeMap<(String, String, String), Vec<u8>>);

fn at(module: &ModuleName, bucket: &str, key: &str) -> (String, String, String) {
    (module.to_string(), bucket.to_owned(), key.to_owned())
}

impl Unit for Memory {
    fn seen(&self) -> Mark {
        Mark(0)
    }

    fn prepare(&mut self, _module: &ModuleName, _sql: &str) -> Result<Plan, SqlError> {
        unreachable!("key-value data is no SQL")
    }

    fn lock(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    fn save(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    fn release(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    fn undo(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    fn run(&mut self, _module: &ModuleName, _sql: &str, _params: &[Value], _caps: Caps) -> Result<Rows, SqlError> {
        unreachable!("key-value data is no SQL")
    }

    fn get(&mut self, module: &ModuleName, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, SqlError> {
        Ok(self.0.get(&at(module, bucket, key)).cloned())
    }

    fn set(&mut self, module: &ModuleName, bucket: &str, writes: &KeyWrites, quota_bytes: u64) -> Result<(), SqlError> {
        let growth =
            |(key, value): &(String, Option<Vec<u8>>)| value.as_ref().map_or(0, |value| key.len() + value.len());
        let growth: usize = writes.iter().map(growth).sum();
        let used: usize = self.0.iter().map(|((_, _, key), value)| key.len() + value.len()).sum();
        if growth > 0 && (used + growth) as u64 > quota_bytes {
            return Err(SqlError::Limit { name: "data_bytes", max: quota_bytes });
        }
        for (key, value) in writes {
            match value {
                Some(value) => drop(self.0.insert(at(module, bucket, key), value.clone())),
                None => drop(self.0.remove(&at(module, bucket, key))),
            }
        }
        Ok(())
    }

    fn keys(
        &mut self,
        module: &ModuleName,
        bucket: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, SqlError> {
        let own = self.0.keys().filter(|(m, b, _)| *m == module.to_string() && b == bucket).map(|(_, _, key)| key);
        let newer = own.filter(|key| after.is_none_or(|after| key.as_str() > after));
        Ok(newer.take(limit as usize).cloned().collect())
    }

    fn publish(&mut self, _module: &ModuleName, _event: &Event, _quota_bytes: u64) -> Result<(), SqlError> {
        unreachable!("key-value data is no event")
    }

    fn published(&mut self, _module: &ModuleName) -> Result<u64, SqlError> {
        unreachable!("key-value data is no event")
    }

    fn commit(self: Box<Self>) -> Result<Mark, SqlError> {
        Ok(Mark(0))
    }
}

/// A module with its data.
struct Owner {
    unit: Memory,
    module: ModuleName,
    quota_bytes: u64,
}

impl Owner {
    fn new(quota_bytes: u64) -> Self {
        Self { unit: Memory::default(), module: "m".parse().unwrap(), quota_bytes }
    }

    fn shelf(&mut self) -> Shelf<'_> {
        Shelf { unit: &mut self.unit, module: &self.module, quota_bytes: self.quota_bytes }
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Shelved<()> {
        let writes = Writes::check(vec![(key.to_owned(), Some(value.to_vec()))])?;
        self.shelf().set("b", &writes)
    }

    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.shelf().get("b", key).unwrap()
    }

    fn delete(&mut self, key: &str) {
        let writes = Writes::check(vec![(key.to_owned(), None)]).unwrap();
        self.shelf().set("b", &writes).unwrap();
    }

    fn cas(&mut self, key: &str) -> Cas {
        let value = self.get(key);
        Cas::new("b".to_owned(), key.to_owned(), value.as_deref())
    }

    /// Nothing when it was swapped, or else what begins anew.
    fn swap(&mut self, cas: &Cas, value: &[u8]) -> Option<Cas> {
        let writes = Writes::check(vec![(cas.key.clone(), Some(value.to_vec()))]).unwrap();
        self.shelf().swap(cas, &writes).unwrap()
    }
}

fn owner() -> Owner {
    Owner::new(Settings::default().quota_bytes)
}

fn why<T>(answer: impl Into<Either<T>>) -> String {
    match answer.into().0 {
        Err(Fault::Guest(Problem::Other(why))) => why,
        Err(Fault::Database(error)) => match told(&"m".parse().unwrap(), error) {
            Problem::Other(why) => why,
            Problem::Denied => panic!("denied"),
        },
        _ => panic!("it should have failed"),
    }
}

/// Either kind of answer.
struct Either<T>(Shelved<T>);

impl<T> From<Shelved<T>> for Either<T> {
    fn from(answer: Shelved<T>) -> Self {
        Self(answer)
    }
}

impl<T> From<Answer<T>> for Either<T> {
    fn from(answer: Answer<T>) -> Self {
        Self(answer.map_err(Fault::from))
    }
}

#[test]
fn what_is_set_is_read_and_deleted() {
    let mut owner = owner();
    owner.set("k", b"v").unwrap();
    assert_eq!(owner.get("k").unwrap(), b"v");
    assert_eq!(owner.shelf().get("other", "k").unwrap(), None);
    owner.delete("k");
    assert_eq!(owner.get("k"), None);
}

#[test]
fn what_is_too_big_is_an_error_that_says_the_bound() {
    let mut owner = owner();
    assert!(why(owner.set("", b"v")).contains("1 to 1024 bytes"));
    assert!(why(owner.set(&"k".repeat(1_025), b"v")).contains("1 to 1024 bytes"));
    assert!(why(owner.shelf().get("b", "")).contains("1 to 1024 bytes"));
    assert!(why(owner.set("k", &vec![0; (4 << 20) + 1])).contains("4194304 bytes"));
    assert!(owner.set(&"k".repeat(1_024), &vec![0; 4 << 20]).is_ok());
    assert!(why(Bucket::new("b".repeat(129))).contains("128 bytes"));
    assert!(Bucket::new("b".repeat(128)).is_ok());
    let keys: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    assert!(why(owner.shelf().get_many("b", keys.clone())).contains("1000 keys"));
    assert!(why(Writes::check(keys.into_iter().map(|k| (k, None)).collect())).contains("1000 keys"));
}

#[test]
fn a_batch_reads_no_more_than_the_host_wants_to_hold() {
    let mut owner = owner();
    owner.set("big", &vec![0; 4 << 20]).unwrap();
    assert_eq!(owner.shelf().get_many("b", vec!["big".to_owned(); 4]).unwrap().len(), 4);
    assert!(why(owner.shelf().get_many("b", vec!["big".to_owned(); 5])).contains("16777216 bytes"));
}

#[test]
fn a_full_quota_refuses_writes_and_not_deletions() {
    let mut owner = Owner::new(10);
    owner.set("k", b"12345").unwrap();
    assert!(why(owner.set("l", b"12345")).contains("may keep 10 bytes"));
    assert!(why(owner.shelf().increment("b", "numbers", 1, (0, 9))).contains("may keep"));
    owner.delete("k");
    owner.set("l", b"12345").unwrap();
}

#[test]
fn a_broken_storage_says_nothing_about_the_host() {
    let source = "the disk /secret is gone".into();
    let broken = SqlError::Storage(StorageError { doing: "reading".to_owned(), source });
    assert_eq!(why::<()>(Shelved::Err(Fault::from(broken))), "the storage failed");
    assert_eq!(told(&"m".parse().unwrap(), SqlError::Denied("a trial".to_owned())), Problem::Denied);
}

#[test]
fn pages_follow_each_other_by_text() {
    let mut owner = owner();
    let total = PAGE as usize + 5;
    for n in 0..total {
        owner.set(&format!("{n:05}"), b"").unwrap();
    }
    let (first, next) = owner.shelf().keys("b", None).unwrap();
    let (second, end) = owner.shelf().keys("b", next.as_deref()).unwrap();
    assert_eq!((first.len(), second.len(), end), (PAGE as usize, 5, None));
}

#[test]
fn pages_follow_each_other_by_number_also_on_a_new_handle() {
    let mut owner = owner();
    let total = 2 * PAGE as usize + 5;
    for n in 0..total {
        owner.set(&format!("{n:05}"), b"").unwrap();
    }
    let mut shelf = owner.shelf();
    let mut bucket = Bucket { name: "b".to_owned(), page: None };
    let (mut keys, mut cursor) = shelf.page(&mut bucket, 0).unwrap();
    while let Some(at) = cursor {
        let mut fresh = Bucket { name: "b".to_owned(), page: None };
        assert_eq!(shelf.page(&mut fresh, at).unwrap(), shelf.page(&mut bucket.clone(), at).unwrap());
        let (more, next) = shelf.page(&mut bucket, at).unwrap();
        keys.extend(more);
        cursor = next;
    }
    assert_eq!(keys, (0..total).map(|n| format!("{n:05}")).collect::<Vec<_>>());
    assert_eq!(shelf.page(&mut bucket, u64::MAX).unwrap(), (vec![], None));
}

#[test]
fn numbers_are_text_and_stay_in_their_range() {
    let mut owner = owner();
    let unsigned = (0, i128::from(u64::MAX));
    assert_eq!(owner.shelf().increment("b", "n", 5, unsigned).unwrap(), 5);
    assert_eq!(owner.shelf().increment("b", "n", 7, unsigned).unwrap(), 12);
    assert_eq!(owner.get("n").unwrap(), b"12");
    assert!(why(owner.shelf().increment("b", "n", i128::from(u64::MAX), unsigned)).contains("too big"));
    owner.set("n", b"twelve").unwrap();
    assert!(why(owner.shelf().increment("b", "n", 1, unsigned)).contains("not a decimal number"));
}

#[test]
fn a_swap_happens_only_while_the_value_is_the_one_that_was_seen() {
    let mut owner = owner();
    let cas = owner.cas("k");
    assert!(owner.swap(&cas, b"one").is_none());
    let fresh = owner.swap(&cas, b"two").expect("the key was absent when the handle was made");
    owner.set("k", b"other").unwrap();
    let mut fresh = owner.swap(&fresh, b"two").expect("somebody else was quicker");
    owner.set("k", b"third").unwrap();
    let seen = owner.get("k");
    fresh.see(seen.as_deref());
    assert!(owner.swap(&fresh, b"two").is_none());
    assert_eq!(owner.get("k").unwrap(), b"two");
}
