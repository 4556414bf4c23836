//! Statements of a small grammar, with other people's names wherever a name can stand: whatever comes out, nothing
//! of others changes and no canary is answered.

use super::{CAPS, Room};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};
use std::cell::RefCell;

fn name() -> impl Strategy<Value = String> {
    select(vec![
        "cases",
        "notes",
        "x",
        "c",
        "m8__cases",
        "m8__notes",
        "m8__seen",
        "m77__cases",
        "M8__CASES",
        "tokens",
        "m7__cases",
        "m7__notes",
        "sqlite_master",
        "sqlite_sequence",
        "sqlite_stat1",
        "main.m8__cases",
        "json_each",
        "\"m8__cases\"",
        "[tokens]",
        "pragma_table_list",
        "dbstat",
        "temp.x",
        "m8__by_secret",
        "m8__log",
    ])
    .prop_map(str::to_owned)
}

fn column() -> impl Strategy<Value = String> {
    let plain = select(vec!["id", "secret", "title", "rank", "text", "sql", "*", "count(*)", "rowid", "changes()"]);
    prop_oneof![
        plain.prop_map(str::to_owned),
        (name(), select(vec!["id", "secret", "title"])).prop_map(|(table, column)| format!("{table}.{column}")),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let leaf = (column(), name()).prop_map(|(column, table)| format!("SELECT {column} FROM {table}"));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (column(), inner.clone()).prop_map(|(column, from)| format!("SELECT {column} FROM ({from}) AS s")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} UNION ALL {b}")),
            (name(), inner.clone(), inner.clone()).prop_map(|(n, a, b)| format!("WITH {n} AS ({a}) {b}")),
            (name(), inner.clone()).prop_map(|(t, a)| format!("SELECT 1 FROM {t} WHERE EXISTS ({a})")),
            (name(), name()).prop_map(|(a, b)| format!("SELECT * FROM {a} LEFT JOIN {b} ON 1")),
            (name(), name()).prop_map(|(a, b)| format!("SELECT * FROM {a} INDEXED BY {b}")),
            (name(), name(), column()).prop_map(|(a, b, c)| format!("SELECT {c} FROM {a} NOT INDEXED WHERE 1 IN {b}")),
            (name(), inner.clone()).prop_map(|(n, a)| format!("WITH {n} AS MATERIALIZED ({a}) SELECT 1 IN {n}")),
            inner.prop_map(|a| format!("SELECT ({a})")),
        ]
    })
}

fn write() -> impl Strategy<Value = String> {
    prop_oneof![
        (name(), query()).prop_map(|(t, q)| format!("INSERT INTO {t} (secret) {q}")),
        (name(), query()).prop_map(|(t, q)| format!("UPDATE {t} SET secret = ({q}), title = 1")),
        (name(), query()).prop_map(|(t, q)| format!("DELETE FROM {t} WHERE id IN ({q})")),
        (name(), query()).prop_map(|(t, q)| format!("UPDATE {t} SET secret = 1 RETURNING ({q})")),
        (name(), column()).prop_map(|(t, c)| format!("DELETE FROM {t} RETURNING {c}")),
        (name(), name()).prop_map(|(t, u)| format!("INSERT OR REPLACE INTO {t} SELECT * FROM {u}")),
    ]
}

fn schema() -> impl Strategy<Value = String> {
    prop_oneof![
        (name(), name()).prop_map(|(t, u)| format!("CREATE TABLE {t} (id REFERENCES {u}, secret, title)")),
        (name(), name())
            .prop_map(|(t, u)| format!("CREATE TABLE {t} (id ANY PRIMARY KEY REFERENCES {u}) STRICT, WITHOUT ROWID")),
        (name(), name(), write())
            .prop_map(|(t, u, w)| { format!("CREATE TRIGGER IF NOT EXISTS {t} AFTER INSERT ON {u} BEGIN {w}; END") }),
        (name(), query()).prop_map(|(t, q)| format!("CREATE TABLE {t} AS {q}")),
        (name(), query()).prop_map(|(t, q)| format!("CREATE VIEW {t} AS {q}")),
        (name(), name()).prop_map(|(t, u)| format!("CREATE INDEX {t} ON {u} (id)")),
        (name(), name(), write())
            .prop_map(|(t, u, w)| format!("CREATE TRIGGER {t} AFTER INSERT ON {u} BEGIN {w}; END")),
        (select(vec!["TABLE", "VIEW", "INDEX", "TRIGGER"]), name()).prop_map(|(kind, t)| format!("DROP {kind} {t}")),
        (name(), name()).prop_map(|(t, u)| format!("ALTER TABLE {t} RENAME TO {u}")),
        name().prop_map(|t| format!("ALTER TABLE {t} ADD COLUMN title DEFAULT 1")),
        name().prop_map(|t| format!("ALTER TABLE {t} RENAME COLUMN secret TO open")),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    prop_oneof![3 => query(), 3 => write(), 2 => schema()]
}

/// Runs them all, through the rewriter or past it.
fn harmless(room: &mut Room, statements: &[String], raw: bool) -> Result<(), TestCaseError> {
    let before = room.foreign();
    for sql in statements {
        let outcome = match raw {
            true => room.desk.raw(7, sql),
            false => room.desk.run(7, sql, &[], CAPS),
        };
        let told = format!("{outcome:?}");
        prop_assert!(!told.contains("canary"), "{sql}: {told}");
    }
    prop_assert_eq!(before, room.foreign(), "{:?}", statements);
    Ok(())
}

/// One room for many cases, because making one takes longer than a case; each is undone.
fn undone(room: &RefCell<Room>, f: impl FnOnce(&mut Room) -> Result<(), TestCaseError>) -> Result<(), TestCaseError> {
    let mut room = room.borrow_mut();
    room.station("SAVEPOINT all_of_it");
    let outcome = f(&mut room);
    room.station("ROLLBACK TO all_of_it; RELEASE all_of_it");
    outcome
}

#[test]
fn no_statement_touches_what_is_not_the_modules() {
    let room = RefCell::new(Room::new());
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    proptest!(config, |(statements in vec(statement(), 1..5))| {
        undone(&room, |room| harmless(room, &statements, false))?;
    });
}

#[test]
fn no_statement_gets_past_the_wall_without_the_rewriter() {
    let room = RefCell::new(Room::new());
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    proptest!(config, |(statements in vec(statement(), 1..5))| {
        undone(&room, |room| harmless(room, &statements, true))?;
    });
}
