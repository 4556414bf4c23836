//! The authorizer alone: physical texts, past the rewriter.

use super::{Room, denied};
use station_kernel::work::SqlError;

#[track_caller]
fn check(refused: &str) {
    let mut room = Room::new();
    let before = room.foreign();
    let outcome = room.desk.raw(7, refused);
    let message = denied(outcome);
    assert!(!message.contains("canary"), "{refused}: {message}");
    assert_eq!(room.foreign(), before, "{refused}");
    assert_eq!(room.number("SELECT count(*) FROM cases"), 3, "{refused}");
}

#[test]
fn rows_of_others() {
    for sql in [
        "SELECT * FROM m8__cases",
        "SELECT count(*) FROM m8__cases",
        "SELECT count(*) FROM M8__CASES",
        "SELECT 1 FROM m7__cases, m8__cases",
        "SELECT 1 FROM main.m8__cases",
        "SELECT m7__cases.id FROM m7__cases LEFT JOIN tokens",
        "SELECT EXISTS (SELECT 1 FROM tokens)",
        "SELECT (SELECT secret FROM m8__cases)",
        "WITH x AS (SELECT * FROM m8__cases) SELECT 1 FROM x",
        "WITH m8__cases AS (SELECT 1) SELECT count(*) FROM main.m8__cases",
        "SELECT * FROM m8__seen",
        "SELECT count(*) FROM m8__seen",
        "SELECT * FROM m77__cases",
        "SELECT 1 IN m8__notes",
        "SELECT 1 FROM m8__cases INDEXED BY m8__by_secret",
        "DELETE FROM m8__cases INDEXED BY m8__by_secret",
        "WITH x AS MATERIALIZED (SELECT * FROM m8__cases) SELECT 1 IN x",
        "INSERT INTO m8__notes VALUES (2, 'x')",
        "INSERT INTO m7__notes (text) SELECT secret FROM m8__cases",
        "REPLACE INTO tokens VALUES (1, 'x')",
        "UPDATE m8__cases SET secret = 'x'",
        "UPDATE m7__cases SET title = secret FROM m8__cases",
        "DELETE FROM m8__cases",
        "DELETE FROM m7__cases WHERE id IN (SELECT id FROM m8__cases)",
        "UPDATE m7__cases SET rank = 1 RETURNING (SELECT secret FROM tokens)",
        "INSERT INTO m7__cases (title) VALUES ('x') ON CONFLICT DO UPDATE SET title = (SELECT secret FROM tokens)",
    ] {
        check(sql);
    }
    Room::new().desk.raw(7, "SELECT count(*) FROM m7__cases").unwrap();
}

#[test]
fn sqlites_own() {
    for sql in [
        "SELECT * FROM sqlite_master",
        "SELECT count(*) FROM sqlite_schema",
        "SELECT * FROM sqlite_temp_master",
        "SELECT * FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = 0",
        "DELETE FROM sqlite_sequence",
        "SELECT * FROM sqlite_stat1",
        "DELETE FROM sqlite_stat1",
        "SELECT * FROM dbstat",
        "SELECT * FROM json_each('[1]')",
        "SELECT count(*) FROM json_each('[1]')",
        "SELECT * FROM pragma_table_list",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_table_info('m8__cases')",
    ] {
        check(sql);
    }
}

#[test]
fn statements() {
    for sql in [
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "PRAGMA user_version",
        "PRAGMA writable_schema = 1",
        "PRAGMA table_info(m7__cases)",
        "VACUUM",
        "VACUUM INTO '/tmp/stolen.db'",
        "ANALYZE",
        "ANALYZE m7__cases",
        "REINDEX",
        "REINDEX m8__by_secret",
        "EXPLAIN SELECT 1 FROM m8__cases",
        "EXPLAIN QUERY PLAN SELECT 1 FROM m7__cases",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "RELEASE x",
    ] {
        check(sql);
    }
}

#[test]
fn the_schema() {
    for sql in [
        "CREATE TABLE x (y)",
        "CREATE TABLE IF NOT EXISTS m8__x (y)",
        "CREATE TABLE temp.m7__x (y)",
        "CREATE TEMP TABLE m7__x (y)",
        "CREATE TABLE m7__x AS SELECT * FROM sqlite_master",
        "CREATE TABLE m7__x AS SELECT 1",
        "CREATE VIRTUAL TABLE m7__x USING fts5 (y)",
        "CREATE VIRTUAL TABLE m7__x USING dbstat",
        "CREATE VIEW m8__x AS SELECT 1",
        "CREATE TEMP VIEW m7__x AS SELECT 1",
        "CREATE INDEX m7__x ON m8__cases (id)",
        "CREATE INDEX x ON m7__cases (id)",
        "CREATE INDEX m8__x ON m7__cases (id)",
        "CREATE TRIGGER m7__x AFTER INSERT ON m8__notes BEGIN SELECT 1; END",
        "CREATE TRIGGER m8__x AFTER INSERT ON m7__notes BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER m7__x AFTER INSERT ON m8__notes BEGIN SELECT 1; END",
        "CREATE TRIGGER temp.m7__x AFTER INSERT ON m7__notes BEGIN SELECT 1; END",
        "DROP TABLE m8__cases",
        "DROP TABLE tokens",
        "DROP VIEW m8__seen",
        "DROP INDEX m8__by_secret",
        "DROP TRIGGER m8__log",
        "ALTER TABLE m8__cases RENAME TO m7__stolen",
        "ALTER TABLE m8__cases ADD COLUMN x",
        "ALTER TABLE m8__cases DROP COLUMN secret",
        "ALTER TABLE m8__cases RENAME COLUMN secret TO x",
        "ALTER TABLE m7__cases RENAME TO m8__planted",
        "ALTER TABLE m7__cases RENAME TO planted",
        "ALTER TABLE m7__cases ADD CONSTRAINT x CHECK (rank > 0)",
        "ALTER TABLE m7__cases ALTER COLUMN rank SET NOT NULL",
    ] {
        check(sql);
    }
    let mut room = Room::new();
    for sql in ["CREATE TABLE m7__x (y)", "ALTER TABLE m7__x RENAME TO m7__z", "DROP TABLE m7__z"] {
        room.desk.raw(7, sql).unwrap();
    }
}

#[test]
fn functions() {
    for call in
        ["load_extension('x')", "fts3_tokenizer('simple')", "last_insert_rowid()", "changes()", "sqlite_version()"]
    {
        check(&format!("SELECT {call}"));
        check(&format!("UPDATE m7__cases SET title = {call}"));
        check(&format!("CREATE TABLE m7__x (y DEFAULT ({call}))"));
    }
}

/// A module's own view and trigger may name whatever they like; who uses them meets the wall.
#[test]
fn views_and_triggers_reach_no_further_than_who_uses_them() {
    let mut room = Room::new();
    let before = room.foreign();
    for sql in [
        "CREATE VIEW m7__spy AS SELECT secret FROM m8__cases",
        "CREATE TRIGGER m7__hit AFTER INSERT ON m7__notes BEGIN UPDATE m8__cases SET secret = 'x'; END",
        "CREATE TRIGGER m7__read AFTER DELETE ON m7__notes BEGIN INSERT INTO m7__cases (title) SELECT secret FROM tokens; END",
    ] {
        room.desk.raw(7, sql).unwrap();
    }
    denied(room.run("SELECT * FROM spy"));
    denied(room.run("SELECT count(*) FROM spy"));
    denied(room.run("INSERT INTO notes (text) VALUES ('x')"));
    denied(room.run("DELETE FROM notes"));
    room.ok("UPDATE notes SET text = 'y'");
    for sql in ["DROP VIEW spy", "DROP TRIGGER hit", "DROP TRIGGER read"] {
        room.ok(sql);
    }
    assert_eq!(room.foreign(), before);
}

/// The station deletes a module's rows, say; the module's trigger does not get the station's rights.
#[test]
fn the_station_does_not_lend_its_rights_to_a_trigger_of_a_module() {
    let mut room = Room::new();
    let trigger = "CREATE TRIGGER m7__spy AFTER DELETE ON m7__notes BEGIN UPDATE m8__cases SET secret = 'x'; END";
    room.desk.raw(7, trigger).unwrap();
    let before = room.foreign();
    room.desk.station(|conn| conn.execute("DELETE FROM m7__notes", [])).unwrap_err();
    assert_eq!(room.foreign(), before);
    room.ok("DROP TRIGGER spy");
    room.station("DELETE FROM m7__notes");
}

/// A reference to another's table would make the other's deletes fail, or tell which rows there are.
#[test]
fn a_foreign_key_to_another_module_lets_nothing_in() {
    let mut room = Room::new();
    room.desk.raw(7, "CREATE TABLE m7__x (y REFERENCES m8__cases (id))").unwrap();
    denied(room.run("INSERT INTO x VALUES (1)"));
    denied(room.run("INSERT INTO x VALUES (99)"));
    let refused = room.run("CREATE TABLE z (y REFERENCES \"m8__cases\" (id))").map(drop);
    assert!(refused.is_ok(), "rewritten to the module's own: {refused:?}");
}

#[test]
fn nobody_may_do_anything_and_the_station_everything() {
    let mut room = Room::new();
    room.station("CREATE TABLE s (x); INSERT INTO s VALUES (1); PRAGMA user_version = 1; DROP TABLE s;");
    room.ok("SELECT * FROM cases");
    denied(room.desk.raw(7, "SELECT * FROM tokens"));
    let again = room.desk.raw(7, "SELECT * FROM tokens");
    assert!(matches!(again, Err(SqlError::Denied(_))), "{again:?}");
}
