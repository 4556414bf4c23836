//! How many rows a module has, counted beside what SQLite counts.

use super::*;
use proptest::{collection::vec, prelude::*, test_runner::Config};
use station_kernel::ports::RefusedChange;
use std::{fs, sync::OnceLock};

/// One table of each kind that SQLite treats in its own way.
const TABLES: &str = "
    CREATE TABLE p (k INTEGER PRIMARY KEY, u INTEGER UNIQUE, v INTEGER DEFAULT 0);
    CREATE TABLE w (k INTEGER PRIMARY KEY, u INTEGER UNIQUE, v INTEGER DEFAULT 0) WITHOUT ROWID;
    CREATE TABLE replacing (k INTEGER PRIMARY KEY ON CONFLICT REPLACE, v INTEGER);
    CREATE TABLE numbered (k INTEGER PRIMARY KEY AUTOINCREMENT, v INTEGER);
    CREATE TABLE mother (k INTEGER PRIMARY KEY);
    CREATE TABLE child (k INTEGER PRIMARY KEY, mother INTEGER REFERENCES mother (k) ON DELETE CASCADE);
    CREATE TABLE grandchild (child INTEGER PRIMARY KEY REFERENCES child (k) ON DELETE CASCADE) WITHOUT ROWID;
    CREATE TABLE logged (k INTEGER PRIMARY KEY);
    CREATE TABLE log (k INTEGER PRIMARY KEY, what TEXT);
    CREATE TABLE emptied (k INTEGER PRIMARY KEY);
    CREATE TRIGGER came AFTER INSERT ON logged BEGIN
        INSERT INTO log (what) VALUES ('came');
        INSERT INTO log (what) VALUES ('here');
    END;
    CREATE TRIGGER went AFTER DELETE ON logged BEGIN DELETE FROM emptied; END;
    CREATE TRIGGER born AFTER INSERT ON mother BEGIN DELETE FROM emptied; END;
    INSERT INTO p (k, u) VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO w (k, u) VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO replacing VALUES (1, 1), (2, 2);
    INSERT INTO numbered (v) VALUES (1);
    INSERT INTO mother VALUES (1), (2);
    INSERT INTO child VALUES (1, 1), (2, 1), (3, 2);
    INSERT INTO grandchild VALUES (1), (3);
    INSERT INTO logged VALUES (1), (2);
    INSERT INTO emptied VALUES (1), (2), (3);
";

/// How many rows the tables above have.
const BEGIN: i64 = 25;

fn open(folder: &TempDir, rows_max: u64) -> Storage {
    Storage::open_with(folder.path(), Settings { data_rows_max: rows_max, ..Settings::default() }).unwrap()
}

fn migrate(storage: &Storage, scripts: &[&str]) -> Result<(), StorageError> {
    let migration = |(number, sql): (usize, &&str)| Migration {
        version: u32::try_from(number + 1).unwrap(),
        name: "t".into(),
        sql: (*sql).to_owned(),
    };
    let migrations = scripts.iter().enumerate().map(migration).collect();
    storage.commit(&[Change::AddModule(name("a")), Change::Migrate(name("a"), migrations)], &crate::tests::entry(0))
}

/// A storage with the tables. They are made once, because making them waits for the disk a dozen times.
fn with_tables(rows_max: u64) -> (TempDir, Storage) {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempdir().unwrap();
        migrate(&open(&folder, u64::MAX), &[TABLES]).unwrap();
        fs::read(folder.path().join("station.db")).unwrap()
    });
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("station.db"), made).unwrap();
    let storage = open(&folder, rows_max);
    (folder, storage)
}

/// What is counted of module `a`, or of the module with that number. In the database it is that, or a little more.
fn written(storage: &Storage) -> i64 {
    counted(storage, 1)
}

fn counted(storage: &Storage, id: i64) -> i64 {
    let sql = "SELECT sql_rows FROM modules WHERE id = ?1";
    let written: i64 = storage.read(|db| Ok(db.query_row(sql, [id], |row| row.get(0))?)).unwrap();
    let Some(rows) = storage.inner.units.rows.get(id) else { return written };
    assert!((rows..=rows + 3_000).contains(&written), "{written} is written of {rows}");
    rows
}

/// What SQLite counts in all tables of the module, in the unit.
fn there(unit: &mut dyn Unit) -> i64 {
    let tables = ["p", "w", "replacing", "numbered", "mother", "child", "grandchild", "logged", "log", "emptied"];
    let length = |unit: &mut dyn Unit, table: &str| match try_run(unit, &format!("SELECT count(*) FROM {table}"), &[]) {
        Ok(rows) => integer(&rows.rows[0][0]),
        Err(_) => 0,
    };
    tables.iter().chain(&["new"]).map(|table| length(unit, table)).sum()
}

/// Runs statements in one unit, and answers what SQLite counts then.
fn commit_all(storage: &Storage, statements: &[&str]) -> i64 {
    let mut unit = writing(storage);
    for sql in statements {
        run(&mut *unit, sql, &[]);
    }
    let there = there(&mut *unit);
    unit.commit().unwrap();
    there
}

fn is_refused<T: std::fmt::Debug>(answer: &Result<T, SqlError>, rows_max: u64) -> bool {
    matches!(answer, Err(SqlError::Limit { name: "data_rows", max }) if *max == rows_max)
}

/// The statements take the module from 25 rows to so many. Then just that many are enough of a quota, one less is
/// not, and what is written down is right but for `spare` rows that SQLite does not tell of.
#[track_caller]
fn check(statements: &[&str], after: i64, spare: i64) {
    let (_folder, storage) = with_tables(u64::MAX);
    assert_eq!(written(&storage), BEGIN);
    assert_eq!(commit_all(&storage, statements), after, "{statements:?}");
    assert_eq!(written(&storage), after + spare, "{statements:?}");
    let (folder, storage) = with_tables(after.max(BEGIN).unsigned_abs());
    assert_eq!(commit_all(&storage, statements), after, "{statements:?}");
    drop(storage);
    match after > BEGIN {
        true => check_refusal(statements, after.unsigned_abs() - 1),
        false => check_less(&open(&folder, 1)),
    }
}

fn check_refusal(statements: &[&str], rows_max: u64) {
    let (_folder, storage) = with_tables(rows_max);
    let mut unit = writing(&storage);
    let (last, first) = statements.split_last().unwrap();
    first.iter().for_each(|sql| drop(run(&mut *unit, sql, &[])));
    let before = there(&mut *unit);
    let refused = try_run(&mut *unit, last, &[]);
    assert!(is_refused(&refused, rows_max), "{statements:?}: {refused:?}");
    assert_eq!(there(&mut *unit), before, "the statement is undone: {statements:?}");
    unit.commit().unwrap();
    assert_eq!(written(&storage), before);
}

/// Who has too many already may have fewer, and not one more.
fn check_less(storage: &Storage) {
    let mut unit = writing(storage);
    let before = there(&mut *unit);
    let refused = try_run(&mut *unit, "INSERT INTO log (what) VALUES ('more')", &[]);
    assert!(is_refused(&refused, 1), "{refused:?}");
    run(&mut *unit, "INSERT INTO log (what) SELECT what FROM log LIMIT 0", &[]);
    run(&mut *unit, "DELETE FROM log WHERE k = 1", &[]);
    assert_eq!(there(&mut *unit), before - 1);
}

#[test]
fn every_way_to_add_rows_is_counted() {
    for (statements, after, spare) in [
        (&["INSERT INTO p (u) VALUES (9)"][..], 26, 0),
        (&["INSERT INTO p (u) VALUES (7), (8), (9) RETURNING k"], 28, 0),
        (&["INSERT INTO p (u) SELECT u + 10 FROM p"], 28, 0),
        (&["INSERT INTO numbered (v) VALUES (1), (2)"], 27, 0),
        (&["INSERT INTO numbered SELECT k + 10, v FROM replacing"], 27, 0),
        (&["INSERT INTO w (k, u) VALUES (8, 8), (9, 9)"], 27, 0),
        (&["INSERT INTO logged VALUES (8), (9)"], 31, 0),
        (&["INSERT OR IGNORE INTO p (k) VALUES (1), (9)"], 26, 0),
        (&["INSERT OR IGNORE INTO w (k) VALUES (1), (9)"], 26, 0),
        (&["INSERT INTO p (k) VALUES (1), (9) ON CONFLICT (k) DO UPDATE SET v = v + 1"], 26, 0),
        (&["INSERT INTO p (k) VALUES (1), (9) ON CONFLICT DO NOTHING"], 26, 0),
        (&["INSERT INTO w (k) VALUES (1), (9) ON CONFLICT (k) DO UPDATE SET v = v + 1"], 26, 1),
        (&["REPLACE INTO p (k, u) VALUES (1, 9), (9, 2)"], 25, 2),
        (&["REPLACE INTO p (k, u) VALUES (8, 8), (9, 9), (1, 1)"], 27, 1),
        (&["REPLACE INTO w (k, u) VALUES (8, 8), (9, 9), (1, 1)"], 27, 1),
        (&["INSERT INTO replacing VALUES (1, 8), (9, 9)"], 26, 1),
        (&["CREATE TABLE new (x)", "INSERT INTO new VALUES (1), (2)"], 27, 0),
    ] {
        check(statements, after, spare);
    }
}

/// If it is offered one day, the rows that it makes have to be counted.
#[test]
fn a_table_cannot_be_made_with_rows_in_it() {
    let (_folder, storage) = with_tables(u64::MAX);
    for sql in ["CREATE TABLE new AS VALUES (1), (2)", "CREATE TABLE new AS SELECT * FROM p"] {
        assert!(matches!(try_run(&mut *writing(&storage), sql, &[]), Err(SqlError::Denied(_))), "{sql}");
    }
}

#[test]
fn every_way_to_take_rows_away_is_counted() {
    for (statements, after, spare) in [
        (&["DELETE FROM p WHERE k = 1"][..], 24, 0),
        (&["DELETE FROM p WHERE u > 1 RETURNING k"], 23, 0),
        (&["DELETE FROM p"], 22, 0),
        (&["DELETE FROM w WHERE k < 3"], 23, 0),
        (&["DELETE FROM w"], 22, 0),
        (&["DELETE FROM mother WHERE k = 1"], 21, 0),
        (&["DELETE FROM mother"], 18, 0),
        (&["DELETE FROM child"], 20, 0),
        (&["DELETE FROM logged WHERE k = 1"], 21, 0),
        (&["DELETE FROM logged"], 20, 0),
        (&["INSERT INTO mother VALUES (9)"], 23, 0),
        (&["UPDATE OR REPLACE p SET u = 1 WHERE k = 2"], 24, 1),
        (&["UPDATE OR REPLACE w SET u = 1 WHERE k = 2"], 24, 1),
        (&["REPLACE INTO p (k, u) VALUES (1, 2)"], 24, 2),
        (&["DROP TABLE p"], 22, 0),
        (&["DROP TABLE w"], 22, 0),
        (&["DROP TABLE grandchild"], 23, 0),
        (&["DROP TABLE child"], 20, 2),
        (&["DROP TABLE logged", "CREATE TABLE logged (k)"], 23, 0),
        (&["DELETE FROM p", "INSERT INTO p (u) VALUES (1), (2)", "DELETE FROM p"], 22, 0),
        (&["UPDATE p SET k = k + 10, u = u + 10", "UPDATE w SET k = k + 10", "ALTER TABLE p DROP COLUMN v"], 25, 0),
        (
            &["CREATE INDEX i ON p (v)", "ALTER TABLE p ADD COLUMN x DEFAULT 1", "ALTER TABLE p RENAME COLUMN v TO z"],
            25,
            0,
        ),
    ] {
        check(statements, after, spare);
    }
}

#[test]
fn what_is_undone_is_not_counted() {
    let (_folder, storage) = with_tables(30);
    let mut unit = reading(&storage);
    unit.save().unwrap();
    run(&mut *unit, "INSERT INTO p (k) VALUES (4), (5), (6), (7), (8)", &[]);
    assert!(is_refused(&try_run(&mut *unit, "INSERT INTO p (k) VALUES (9)", &[]), 30));
    unit.undo().unwrap();
    run(&mut *unit, "INSERT INTO p (k) VALUES (4)", &[]);
    unit.save().unwrap();
    run(&mut *unit, "DELETE FROM p", &[]);
    unit.save().unwrap();
    run(&mut *unit, "INSERT INTO p (k) VALUES (1)", &[]);
    unit.release().unwrap();
    unit.undo().unwrap();
    try_run(&mut *unit, "INSERT INTO p (k) VALUES (5), (5)", &[]).unwrap_err();
    run(&mut *unit, "INSERT INTO p (k) VALUES (6), (7), (8), (9)", &[]);
    assert!(is_refused(&try_run(&mut *unit, "INSERT INTO p (k) VALUES (10)", &[]), 30));
    unit.commit().unwrap();
    assert_eq!(written(&storage), 30);
    run(&mut *writing(&storage), "DELETE FROM p", &[]);
    assert_eq!(written(&storage), 30, "a unit that was dropped");
}

#[test]
fn a_module_with_too_many_rows_can_delete_and_then_write_again() {
    let (folder, storage) = with_tables(u64::MAX);
    drop(storage);
    let storage = open(&folder, 24);
    let mut unit = writing(&storage);
    for same in
        ["REPLACE INTO p (k, u) VALUES (1, 1)", "INSERT INTO w (k) VALUES (1) ON CONFLICT (k) DO UPDATE SET v = 1"]
    {
        run(&mut *unit, same, &[]);
    }
    assert!(is_refused(&try_run(&mut *unit, "INSERT INTO p (k) VALUES (9)", &[]), 24));
    run(&mut *unit, "DELETE FROM p WHERE k = 1", &[]);
    assert!(is_refused(&try_run(&mut *unit, "INSERT INTO p (k) VALUES (9)", &[]), 24));
    run(&mut *unit, "DELETE FROM p WHERE k = 2", &[]);
    run(&mut *unit, "INSERT INTO p (k) VALUES (9)", &[]);
    unit.commit().unwrap();
    assert_eq!(written(&storage), 24);
}

/// When it was prepared first it could only delete, and the connection has kept it.
#[test]
fn a_text_that_got_a_trigger_on_another_connection_is_counted_with_it() {
    let (_folder, storage) = with_tables(u64::MAX);
    let delete = |unit: &mut dyn Unit, key| run(unit, "DELETE FROM p WHERE k = ?1", &[Value::Integer(key)]).changed;
    let mut first = writing(&storage);
    assert_eq!(delete(&mut *first, 1), 1);
    first.commit().unwrap();
    let (kept, mut other) = (reading(&storage), writing(&storage));
    run(&mut *other, "CREATE TRIGGER more AFTER DELETE ON p BEGIN INSERT INTO w (k) VALUES (old.k + 50); END", &[]);
    other.commit().unwrap();
    drop(kept);
    let mut unit = writing(&storage);
    assert_eq!((delete(&mut *unit, 2), delete(&mut *unit, 3)), (1, 1));
    assert_eq!(there(&mut *unit), 24);
    unit.commit().unwrap();
    assert_eq!(written(&storage), 24);
}

#[test]
fn migrations_count_and_are_held_to_the_quota() {
    let folder = tempdir().unwrap();
    let storage = open(&folder, 30);
    let more = "INSERT INTO p (k) VALUES (4), (5), (6); DELETE FROM p WHERE k < 3; DROP TABLE replacing;
                REPLACE INTO p (k) VALUES (4), (5), (6)";
    let (much, later) = (format!("{more}; INSERT INTO logged VALUES (8), (9), (10)"), "INSERT INTO p (k) VALUES (1)");
    let refused = migrate(&storage, &[TABLES, &much]).unwrap_err();
    let refused = refused.source.downcast_ref::<RefusedChange>().expect("the migration's fault");
    assert!(refused.0.message.contains("more than 30 data_rows"), "{refused:?}");
    migrate(&storage, &[TABLES, more]).unwrap();
    assert_eq!(there(&mut *reading(&storage)), 24);
    assert_eq!(written(&storage), 27, "three were replaced");
    migrate(&storage, &[TABLES, more, later]).unwrap();
    assert_eq!(written(&storage), 28);
    assert_eq!(commit_all(&storage, &["INSERT INTO p (k) VALUES (2)"]), 26);
    run(&mut *writing(&storage), "INSERT INTO p (k) VALUES (11), (12), (13), (14)", &[]);
    assert!(is_refused(
        &try_run(&mut *writing(&storage), "INSERT INTO p (k) VALUES (11), (12), (13), (14), (15)", &[]),
        30
    ));
}

#[test]
fn a_database_from_before_is_counted_when_a_row_comes() {
    let (folder, storage) = with_tables(u64::MAX);
    storage.write(|db| Ok(db.execute_batch("UPDATE modules SET sql_rows = 9223372036854775807")?)).unwrap();
    drop(storage);
    let storage = open(&folder, 26);
    assert_eq!(commit_all(&storage, &["INSERT INTO p (k) VALUES (9)"]), 26);
    assert_eq!(written(&storage), 26);
    assert!(is_refused(&try_run(&mut *writing(&storage), "INSERT INTO p (k) VALUES (10)", &[]), 26));
}

#[test]
fn after_a_restart_the_quota_is_as_exact_as_before() {
    let (folder, storage) = with_tables(u64::MAX);
    assert_eq!(commit_all(&storage, &["INSERT INTO p (k) VALUES (9)", "REPLACE INTO p (k) VALUES (9)"]), 26);
    drop(storage);
    let storage = open(&folder, 27);
    let mut unit = writing(&storage);
    run(&mut *unit, "INSERT INTO p (k) VALUES (10)", &[]);
    assert!(is_refused(&try_run(&mut *unit, "INSERT INTO p (k) VALUES (11)", &[]), 27));
    unit.commit().unwrap();
    assert_eq!(written(&storage), 27);
}

#[test]
fn the_stations_own_rows_and_those_of_others_do_not_count() {
    let (_folder, storage) = with_tables(30);
    storage.commit(&[Change::AddModule(name("b"))], &crate::tests::entry(1)).unwrap();
    let mut unit = writing(&storage);
    for key in 0..20 {
        unit.set(&name("a"), "b", &[(key.to_string(), Some(vec![1]))], 1 << 20).unwrap();
    }
    unit.run(&name("b"), "CREATE TABLE p (k)", &[], CAPS).unwrap();
    unit.run(&name("b"), "INSERT INTO p VALUES (1), (2), (3), (4), (5), (6)", &[], CAPS).unwrap();
    run(&mut *unit, "INSERT INTO p (k) VALUES (9)", &[]);
    unit.commit().unwrap();
    assert_eq!([counted(&storage, 1), counted(&storage, 2)], [26, 6]);
}

/// What a random run does to both storages.
#[derive(Debug, Clone)]
enum Step {
    Run(String),
    Save,
    Undo,
    Release,
}

fn statement() -> impl Strategy<Value = String> {
    let table = || prop_oneof![Just("p"), Just("w")];
    let (k, u) = (|| 0..9_i64, || 0..9_i64);
    prop_oneof![
        (table(), k(), u()).prop_map(|(t, k, u)| format!("INSERT INTO {t} (k, u) VALUES ({k}, {u})")),
        (table(), k(), u()).prop_map(|(t, k, u)| format!("REPLACE INTO {t} (k, u) VALUES ({k}, {u}), ({u}, {k})")),
        (table(), k(), u())
            .prop_map(|(t, k, u)| format!("INSERT OR IGNORE INTO {t} (k, u) VALUES ({k}, {u}), ({u}, {k})")),
        (table(), k(), u()).prop_map(|(t, k, u)| {
            format!("INSERT INTO {t} (k, u) VALUES ({k}, {u}) ON CONFLICT DO UPDATE SET v = v + 1")
        }),
        (table(), k(), u()).prop_map(|(t, k, u)| format!("UPDATE OR REPLACE {t} SET u = {u} WHERE k < {k}")),
        (table(), k(), u()).prop_map(|(t, k, u)| format!("UPDATE OR IGNORE {t} SET k = k + {k} WHERE u < {u}")),
        (table(), k()).prop_map(|(t, k)| format!("DELETE FROM {t} WHERE k > {k}")),
        (table(), k()).prop_map(|(t, k)| format!("INSERT INTO {t} (k) SELECT k + {k} + 1 FROM {t} WHERE k > {k}")),
        table().prop_map(|t| format!("DELETE FROM {t}")),
        k().prop_map(|k| format!("INSERT INTO mother VALUES ({k})")),
        (k(), u()).prop_map(|(k, u)| format!("INSERT INTO child VALUES ({k}, {u})")),
        k().prop_map(|k| format!("INSERT INTO grandchild VALUES ({k})")),
        k().prop_map(|k| format!("REPLACE INTO mother VALUES ({k})")),
        k().prop_map(|k| format!("DELETE FROM mother WHERE k = {k}")),
        k().prop_map(|k| format!("REPLACE INTO logged VALUES ({k}), (1), (2)")),
        k().prop_map(|k| format!("DELETE FROM logged WHERE k < {k}")),
        k().prop_map(|k| format!("INSERT OR IGNORE INTO emptied VALUES ({k}), (7), (8)")),
        Just("CREATE TABLE IF NOT EXISTS new (x)".to_owned()),
        Just("INSERT INTO new VALUES (1), (2), (3)".to_owned()),
        Just("DROP TABLE IF EXISTS new".to_owned()),
        Just("DROP TABLE child".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![8 => statement().prop_map(Step::Run), 1 => Just(Step::Save), 1 => Just(Step::Undo), 1 => Just(Step::Release)]
}

/// What the storage without a quota does decides what the one with a quota has to answer.
fn agree(free: &mut dyn Unit, bound: &mut dyn Unit, sql: &str, rows_max: u64) {
    let before = there(free);
    free.save().unwrap();
    let expected = try_run(free, sql, &[]);
    let after = there(free);
    let too_many = expected.is_ok() && after > before && after.unsigned_abs() > rows_max;
    match too_many {
        true => free.undo().unwrap(),
        false => free.release().unwrap(),
    }
    let found = try_run(bound, sql, &[]);
    match too_many {
        true => assert!(is_refused(&found, rows_max), "{sql}: {found:?}, {before} to {after} of {rows_max}"),
        false => assert_eq!(found.is_ok(), expected.is_ok(), "{sql}: {found:?}, {before} to {after} of {rows_max}"),
    }
    assert_eq!(there(bound), there(free), "{sql}");
}

proptest! {
    #![proptest_config(Config { cases: 16, ..Config::default() })]

    #[test]
    fn a_statement_is_refused_exactly_if_there_were_too_many_rows(
        steps in vec(step(), 1..40), more in 0..12_u64, lower in any::<bool>(),
    ) {
        let rows_max = BEGIN.unsigned_abs() + more - 4 * u64::from(lower).min(more);
        let ((_first, free), (_second, bound)) = (with_tables(u64::MAX), with_tables(rows_max));
        let (mut units, mut depth) = ([writing(&free), writing(&bound)], 0);
        for step in steps {
            let [free, bound] = &mut units;
            match step {
                Step::Run(sql) => agree(&mut **free, &mut **bound, &sql, rows_max),
                Step::Save => { depth += 1; units.iter_mut().for_each(|unit| unit.save().unwrap()) }
                Step::Undo if depth > 0 => { depth -= 1; units.iter_mut().for_each(|unit| unit.undo().unwrap()) }
                Step::Release if depth > 0 => { depth -= 1; units.iter_mut().for_each(|unit| unit.release().unwrap()) }
                Step::Undo | Step::Release => {}
            }
        }
        let [unit, _] = &mut units;
        let there = there(&mut **unit);
        for unit in units {
            unit.commit().unwrap();
        }
        prop_assert!(written(&bound) >= there && written(&free) >= there);
    }
}
