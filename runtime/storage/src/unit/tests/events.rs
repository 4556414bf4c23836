//! The outbox: order, quotas, and what becomes of events whose call or module goes.

use super::*;
use crate::tests::{entry, with_modules as storage_with};
use proptest::prelude::*;
use station_kernel::events::{Event, Published, Wanted};
use station_model::CallId;

fn event(topic: &str, payload: &[u8]) -> Event {
    let (topic, key, payload) = (topic.to_owned(), "k".to_owned(), payload.to_vec());
    Event { topic, key, payload, call: CallId::from_u128(9), at_ms: 5 }
}

fn publish(unit: &mut dyn Unit, module: &str, topic: &str) {
    unit.publish(&name(module), &event(topic, b"says"), u64::MAX).unwrap();
}

fn page(storage: &Storage, wanted: &Wanted) -> Vec<Published> {
    storage.events(wanted).unwrap()
}

/// All events, as offset, module and topic.
fn told(storage: &Storage) -> Vec<(u64, String, String)> {
    let all = page(storage, &Wanted { after: Some(0), limit: 100, ..Wanted::default() });
    all.into_iter().map(|found| (found.offset, found.module.to_string(), found.event.topic)).collect()
}

fn expected(of: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    of.iter().map(|(offset, module, topic)| (*offset, (*module).to_owned(), (*topic).to_owned())).collect()
}

fn used(storage: &Storage, module: &str) -> u64 {
    reading(storage).published(&name(module)).unwrap()
}

#[test]
fn events_are_in_the_order_of_commits_and_come_back_as_they_were() {
    let (folder, storage) = storage_with(&["a", "b"]);
    let mut unit = writing(&storage);
    publish(&mut *unit, "a", "one");
    publish(&mut *unit, "b", "two");
    assert_eq!(told(&storage), expected(&[]), "nobody sees them before the commit");
    unit.commit().unwrap();
    drop(storage);
    let storage = Storage::open(folder.path()).unwrap();
    let mut unit = writing(&storage);
    publish(&mut *unit, "a", "three");
    unit.commit().unwrap();
    assert_eq!(told(&storage), expected(&[(1, "a", "one"), (2, "b", "two"), (3, "a", "three")]));
    let first = page(&storage, &Wanted { after: Some(0), limit: 1, ..Wanted::default() });
    assert_eq!(first, [Published { offset: 1, module: name("a"), event: event("one", b"says") }]);
}

#[test]
fn an_event_goes_with_its_savepoint_and_with_its_unit() {
    let (_folder, storage) = storage_with(&["a"]);
    let mut unit = writing(&storage);
    publish(&mut *unit, "a", "stays");
    unit.save().unwrap();
    publish(&mut *unit, "a", "undone");
    unit.undo().unwrap();
    unit.commit().unwrap();
    let mut unit = writing(&storage);
    publish(&mut *unit, "a", "dropped");
    drop(unit);
    assert_eq!(told(&storage), expected(&[(1, "a", "stays")]));
    assert_eq!(used(&storage, "a"), 128 + 5 + 1 + 4);
}

#[test]
fn a_page_holds_what_is_wanted_and_no_more_than_fits() {
    let (_folder, storage) = storage_with(&["a", "b"]);
    let mut unit = writing(&storage);
    for (module, topic) in [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("a", "x")] {
        publish(&mut *unit, module, topic);
    }
    unit.commit().unwrap();
    let offsets = |wanted: Wanted| page(&storage, &wanted).iter().map(|found| found.offset).collect::<Vec<_>>();
    let of = |after, limit| Wanted { after, limit, ..Wanted::default() };
    assert_eq!(offsets(of(Some(1), 2)), [2, 3]);
    assert_eq!(offsets(of(None, 2)), [4, 5], "the last ones, oldest first");
    assert_eq!(offsets(of(Some(9), 2)), [0; 0]);
    assert_eq!(offsets(Wanted { module: Some(name("a")), ..of(Some(0), 9) }), [1, 3, 5]);
    assert_eq!(offsets(Wanted { topic: Some("x".into()), ..of(None, 2) }), [2, 5]);
    let mut unit = writing(&storage);
    for _ in 0..6 {
        unit.publish(&name("a"), &event("big", &vec![0; 1 << 20]), u64::MAX).unwrap();
    }
    unit.publish(&name("a"), &event("huge", &vec![0; 5 << 20]), u64::MAX).unwrap();
    unit.commit().unwrap();
    assert_eq!(offsets(of(Some(5), 100)), [6, 7, 8], "four megabytes");
    assert_eq!(offsets(of(Some(11), 100)), [12], "one is always there");
}

#[test]
fn events_stay_when_their_module_goes_and_make_room_when_they_are_forgotten() {
    let (_folder, storage) = storage_with(&["a", "b"]);
    let mut unit = writing(&storage);
    ["one", "two", "three"].iter().for_each(|topic| publish(&mut *unit, "a", topic));
    publish(&mut *unit, "b", "four");
    unit.commit().unwrap();
    let refused = |unit: &mut dyn Unit, quota| unit.publish(&name("a"), &event("x", b""), quota).err();
    let full = used(&storage, "a");
    let mut unit = writing(&storage);
    assert!(
        matches!(refused(&mut *unit, full + 129), Some(SqlError::Limit { name: "event_bytes", max }) if max == full + 129)
    );
    assert!(refused(&mut *unit, full + 130).is_none());
    drop(unit);
    storage.commit(&[Change::PruneEvents { through: 2 }], &entry(1)).unwrap();
    assert_eq!(told(&storage), expected(&[(3, "a", "three"), (4, "b", "four")]));
    assert_eq!(used(&storage, "a"), 128 + 5 + 1 + 4);
    storage.commit(&[Change::RemoveModule(name("a"))], &entry(2)).unwrap();
    storage.commit(&[Change::AddModule(name("a"))], &entry(3)).unwrap();
    assert_eq!(told(&storage), expected(&[(3, "a", "three"), (4, "b", "four")]));
    assert_eq!(used(&storage, "a"), 0, "another module of the same name");
    storage.commit(&[Change::PruneEvents { through: u64::from(u32::MAX) }], &entry(4)).unwrap();
    assert_eq!((used(&storage, "a"), used(&storage, "b")), (0, 0));
    let mut unit = writing(&storage);
    publish(&mut *unit, "b", "five");
    unit.commit().unwrap();
    assert_eq!(told(&storage), expected(&[(5, "b", "five")]), "offsets do not come back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_counted_is_what_there_is(
        events in prop::collection::vec(("[a-zé\u{1f600}]{0,9}", "[^a]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 1..8),
        through in 0_u64..9,
    ) {
        let (_folder, storage) = storage_with(&["a"]);
        let mut unit = writing(&storage);
        for (topic, key, payload) in &events {
            let event = Event { topic: topic.clone(), key: key.clone(), ..event("", payload) };
            unit.publish(&name("a"), &event, u64::MAX).unwrap();
        }
        unit.commit().unwrap();
        storage.commit(&[Change::PruneEvents { through }], &entry(1)).unwrap();
        let left = events.iter().skip(usize::try_from(through).unwrap());
        let bytes: usize = left.map(|(topic, key, payload)| 128 + topic.len() + key.len() + payload.len()).sum();
        prop_assert_eq!(used(&storage, "a"), bytes as u64);
    }
}
