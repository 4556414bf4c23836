//! Key-value data in a unit, and how much a module may take.

use super::*;

const PAGES: i64 = 4096;

fn with_quota(bytes: u64) -> (TempDir, Storage) {
    let settings = Settings { data_bytes_max: bytes, ..Settings::default() };
    opened_with(settings, Box::new(std::fs::File::sync_data))
}

fn key(key: &str, value: Option<&[u8]>) -> (String, Option<Vec<u8>>) {
    (key.to_owned(), value.map(<[u8]>::to_vec))
}

fn fill(unit: &mut dyn Unit, key: i64, bytes: usize) -> Result<Rows, SqlError> {
    try_run(unit, "INSERT INTO t (k, v, w) VALUES (?1, 0, ?2)", &[Value::Integer(key), Value::Blob(vec![7; bytes])])
}

#[test]
fn keys_are_part_of_the_unit() {
    let (_folder, storage) = opened();
    let mut unit = reading(&storage);
    unit.set(&name("a"), "b", &[key("x", Some(b"1")), key("y", Some(b"2"))], 100).unwrap();
    unit.save().unwrap();
    unit.set(&name("a"), "b", &[key("x", None)], 100).unwrap();
    assert_eq!(unit.get(&name("a"), "b", "x").unwrap(), None);
    unit.undo().unwrap();
    assert_eq!(unit.get(&name("a"), "b", "x").unwrap(), Some(b"1".to_vec()));
    assert_eq!(crate::tests::key(&storage, "a", "b", "x"), None);
    unit.commit().unwrap();
    assert_eq!(reading(&storage).keys(&name("a"), "b", Some("x"), 9).unwrap(), ["y"]);
    assert_eq!(crate::tests::key(&storage, "a", "b", "x"), Some(b"1".to_vec()));
}

#[test]
fn keys_beyond_the_quota_are_refused_together() {
    let (_folder, storage) = opened();
    let mut unit = writing(&storage);
    unit.set(&name("a"), "b", &[key("x", Some(&[0; 9]))], 10).unwrap();
    let refused = unit.set(&name("a"), "b", &[key("x", Some(&[0; 5])), key("y", Some(&[0; 5]))], 10);
    assert!(matches!(refused, Err(SqlError::Limit { name: "kv_bytes", max: 10 })), "{refused:?}");
    assert_eq!(unit.get(&name("a"), "b", "x").unwrap().unwrap().len(), 9);
    // Who has too much already may have less.
    unit.set(&name("a"), "b", &[key("x", Some(&[0; 8]))], 1).unwrap();
    unit.commit().unwrap();
    assert_eq!(super::keys::used(&storage, "a"), 9);
}

#[test]
fn a_module_that_is_not_there_is_an_error_and_the_unit_goes_on() {
    let (_folder, storage) = opened();
    let (mut unit, ghost) = (writing(&storage), name("ghost"));
    put(&mut *unit, 1, 10);
    for error in [
        unit.get(&ghost, "b", "k").unwrap_err(),
        unit.set(&ghost, "b", &[], 1).unwrap_err(),
        unit.keys(&ghost, "b", None, 1).unwrap_err(),
        unit.run(&ghost, "SELECT 1", &[], CAPS).unwrap_err(),
        unit.prepare(&ghost, "SELECT 1").unwrap_err(),
    ] {
        assert!(crate::error::chain(&error).contains("there is no module ghost"), "{error:?}");
    }
    unit.commit().unwrap();
    assert_eq!(committed(&storage).len(), 1);
}

#[test]
fn what_a_statement_takes_is_counted_with_it() {
    let (_folder, storage) = opened();
    let empty = taken(&storage);
    assert!(empty > 0, "the table itself");
    let mut unit = writing(&storage);
    fill(&mut *unit, 1, 1 << 20).unwrap();
    drop(unit);
    assert_eq!(taken(&storage), empty);
    let mut unit = writing(&storage);
    fill(&mut *unit, 1, 1 << 20).unwrap();
    unit.save().unwrap();
    fill(&mut *unit, 2, 1 << 20).unwrap();
    unit.undo().unwrap();
    fill(&mut *unit, 3, 10).unwrap();
    unit.commit().unwrap();
    let full = taken(&storage) - empty;
    assert!(((1 << 20)..(1 << 20) + 8 * PAGES).contains(&full), "{full}");
    let mut unit = writing(&storage);
    remove(&mut *unit, 1);
    unit.commit().unwrap();
    assert!(taken(&storage) - empty <= 2 * PAGES);
}

#[test]
fn keys_are_not_counted_as_tables() {
    let (_folder, storage) = opened();
    let before = taken(&storage);
    let mut unit = writing(&storage);
    put(&mut *unit, 1, 10);
    unit.set(&name("a"), "b", &[key("x", Some(&[0; 1 << 20]))], 2 << 20).unwrap();
    put(&mut *unit, 2, 20);
    unit.commit().unwrap();
    assert_eq!(taken(&storage), before);
}

#[test]
fn a_statement_that_takes_too_much_is_undone_and_nothing_else_is() {
    let (_folder, storage) = with_quota(1 << 20);
    let mut unit = writing(&storage);
    fill(&mut *unit, 1, 900 << 10).unwrap();
    let refused = fill(&mut *unit, 2, 200 << 10);
    assert!(matches!(refused, Err(SqlError::Limit { name: "data_bytes", max: 1_048_576 })), "{refused:?}");
    assert_eq!(all(&mut *unit).len(), 1);
    unit.commit().unwrap();
    assert!(taken(&storage) <= 1 << 20);
    let mut unit = writing(&storage);
    remove(&mut *unit, 1);
    fill(&mut *unit, 2, 200 << 10).unwrap();
    unit.commit().unwrap();
}
