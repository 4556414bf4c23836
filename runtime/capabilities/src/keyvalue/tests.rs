//! The shelf over a fake store: what both drafts stand on.

use super::options::Settings;
use super::shelf::{Answer, Bucket, PAGE, Problem, Shelf};
use crate::tests::Memory;
use station_kernel::KeyValue;
use std::sync::Arc;

fn shelf_of(memory: Memory, quota_bytes: u64) -> (Shelf, Arc<Memory>) {
    let memory = Arc::new(memory);
    let port: Arc<dyn KeyValue> = Arc::clone(&memory) as _;
    (Shelf::new(port, Settings { quota_bytes }, "m".parse().unwrap()), memory)
}

fn shelf() -> (Shelf, Arc<Memory>) {
    shelf_of(Memory::default(), 1 << 30)
}

fn set(shelf: &Shelf, key: &str, value: &[u8]) -> Answer<()> {
    shelf.set("b", vec![(key.to_owned(), Some(value.to_vec()))])
}

fn why<T: std::fmt::Debug>(answer: Answer<T>) -> String {
    match answer {
        Err(Problem::Other(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_set_is_read_and_deleted() {
    let (shelf, _) = shelf();
    set(&shelf, "k", b"v").unwrap();
    assert_eq!(shelf.get("b", "k").unwrap().unwrap(), b"v");
    assert_eq!(shelf.get("other", "k").unwrap(), None);
    shelf.set("b", vec![("k".to_owned(), None)]).unwrap();
    assert_eq!(shelf.get("b", "k").unwrap(), None);
}

#[test]
fn what_is_too_big_is_an_error_that_says_the_bound() {
    let (shelf, _) = shelf();
    assert!(why(set(&shelf, "", b"v")).contains("1 to 1024 bytes"));
    assert!(why(set(&shelf, &"k".repeat(1_025), b"v")).contains("1 to 1024 bytes"));
    assert!(why(set(&shelf, "k", &vec![0; (4 << 20) + 1])).contains("4194304 bytes"));
    assert!(set(&shelf, &"k".repeat(1_024), &vec![0; 4 << 20]).is_ok());
    assert!(why(Shelf::open("b".repeat(129))).contains("128 bytes"));
    assert!(Shelf::open("b".repeat(128)).is_ok());
    let keys: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    assert!(why(shelf.get_many("b", keys.clone())).contains("1000 keys"));
    assert!(why(shelf.set("b", keys.into_iter().map(|k| (k, None)).collect())).contains("1000 keys"));
}

#[test]
fn a_batch_reads_no_more_than_the_host_wants_to_hold() {
    let (shelf, _) = shelf();
    set(&shelf, "big", &vec![0; 4 << 20]).unwrap();
    assert_eq!(shelf.get_many("b", vec!["big".to_owned(); 4]).unwrap().len(), 4);
    assert!(why(shelf.get_many("b", vec!["big".to_owned(); 5])).contains("16777216 bytes"));
}

#[test]
fn a_full_quota_refuses_writes_and_not_deletions() {
    let (shelf, _) = shelf_of(Memory::default(), 10);
    set(&shelf, "k", b"12345").unwrap();
    assert!(why(set(&shelf, "l", b"12345")).contains("may keep 10 bytes and has 6"));
    assert!(why(shelf.increment("b", "numbers", 1, (0, 9))).contains("may keep"));
    shelf.set("b", vec![("k".to_owned(), None)]).unwrap();
    set(&shelf, "l", b"12345").unwrap();
}

#[test]
fn a_broken_storage_says_nothing_about_the_host() {
    let (shelf, _) = shelf_of(Memory { broken: true, ..Memory::default() }, 10);
    assert_eq!(why(shelf.get("b", "k")), "the storage failed");
    assert_eq!(why(set(&shelf, "k", b"v")), "the storage failed");
}

#[test]
fn pages_follow_each_other_by_text() {
    let (shelf, _) = shelf();
    let total = PAGE as usize + 5;
    for n in 0..total {
        set(&shelf, &format!("{n:05}"), b"").unwrap();
    }
    let (first, next) = shelf.keys("b", None).unwrap();
    let (second, end) = shelf.keys("b", next.as_deref()).unwrap();
    assert_eq!((first.len(), second.len(), end), (PAGE as usize, 5, None));
}

#[test]
fn pages_follow_each_other_by_number_also_on_a_new_handle() {
    let (shelf, _) = shelf();
    let total = 2 * PAGE as usize + 5;
    for n in 0..total {
        set(&shelf, &format!("{n:05}"), b"").unwrap();
    }
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
    let (shelf, _) = shelf();
    let unsigned = (0, i128::from(u64::MAX));
    assert_eq!(shelf.increment("b", "n", 5, unsigned).unwrap(), 5);
    assert_eq!(shelf.increment("b", "n", 7, unsigned).unwrap(), 12);
    assert_eq!(shelf.get("b", "n").unwrap().unwrap(), b"12");
    assert!(why(shelf.increment("b", "n", i128::from(u64::MAX), unsigned)).contains("too big"));
    set(&shelf, "n", b"twelve").unwrap();
    assert!(why(shelf.increment("b", "n", 1, unsigned)).contains("not a decimal number"));
}

#[test]
fn a_swap_happens_only_while_the_value_is_the_one_that_was_seen() {
    let (shelf, _) = shelf();
    let cas = shelf.cas("b", "k".to_owned()).unwrap();
    assert!(shelf.swap(&cas, b"one").unwrap());
    assert!(!shelf.swap(&cas, b"two").unwrap(), "the key was absent when the handle was made");
    let mut cas = shelf.cas("b", "k".to_owned()).unwrap();
    set(&shelf, "k", b"other").unwrap();
    assert!(!shelf.swap(&cas, b"two").unwrap());
    assert_eq!(shelf.current(&mut cas).unwrap().unwrap(), b"other");
    assert!(shelf.swap(&cas, b"two").unwrap());
    assert_eq!(shelf.get("b", "k").unwrap().unwrap(), b"two");
}
