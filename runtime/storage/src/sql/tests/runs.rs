//! Statements that run: what they answer, and two modules on one connection.

use super::{CAPS, Room, denied, text};
use rusqlite::Connection;
use station_kernel::work::{Caps, Plan, SqlError, Value};

#[test]
fn every_usual_statement_runs() {
    let mut room = Room::new();
    for sql in [
        "SELECT cases.id, Cases.title FROM Cases WHERE CASES.id > 1 ORDER BY cases.rank",
        "SELECT c.title, n.text FROM cases AS c LEFT JOIN notes n ON n.\"case\" = c.id",
        "SELECT title, rank() OVER (ORDER BY cases.rank) FROM cases",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT count(*) FROM n",
        "WITH cases AS (SELECT 5 AS id) SELECT cases.id FROM cases",
        "WITH a AS (SELECT id FROM cases) SELECT count(*) FROM a, (WITH a AS (SELECT 1) SELECT * FROM a) AS b",
        "INSERT INTO cases (title) SELECT 'copy of ' || cases.title FROM cases",
        "INSERT INTO cases (id, title) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET rank = cases.rank + excluded.id",
        "UPDATE cases SET rank = cases.rank + 1 WHERE cases.id IN (SELECT \"case\" FROM notes)",
        "UPDATE cases SET rank = n.id FROM notes AS n WHERE n.\"case\" = cases.id RETURNING cases.id, title",
        "DELETE FROM cases WHERE cases.id = 2 RETURNING cases.title",
        "REPLACE INTO cases (id, title) VALUES (3, 'new')",
        "WITH old AS (SELECT id FROM cases WHERE rank = 0) DELETE FROM cases WHERE id IN (SELECT id FROM old)",
        "CREATE VIEW titles AS SELECT cases.title FROM cases",
        "SELECT titles.title FROM titles",
        "CREATE TRIGGER count AFTER INSERT ON notes BEGIN UPDATE cases SET rank = cases.rank + 1 WHERE cases.id = new.\"case\"; END",
        "INSERT INTO notes (\"case\", text) VALUES (1, 'x')",
        "ALTER TABLE notes ADD COLUMN at TEXT DEFAULT 'now'",
        "ALTER TABLE notes RENAME COLUMN at TO made",
        "ALTER TABLE notes DROP COLUMN made",
        "CREATE INDEX by_case ON notes (\"case\") WHERE notes.id > 0",
        "DROP INDEX by_case",
        "DROP TRIGGER count",
        "ALTER TABLE notes RENAME TO remarks",
        "DROP VIEW titles",
        "DROP TABLE remarks",
        "DROP TABLE cases",
    ] {
        room.ok(sql);
    }
}

#[test]
fn rows_values_and_columns_come_as_they_are() {
    let mut room = Room::new();
    let params = [Value::Null, Value::Integer(-1), Value::Real(1.5), text("é"), Value::Blob(vec![0, 255])];
    let rows = room.desk.run(7, "SELECT ?, ? AS b, ?, ?, ?", &params, CAPS).unwrap();
    assert_eq!(rows.rows, vec![params.to_vec()]);
    assert_eq!(rows.columns[1], "b");
    assert_eq!((rows.changed, rows.last_row_id), (0, 0));
}

#[test]
fn columns_have_the_names_that_the_module_expects() {
    let mut room = Room::new();
    for (sql, expected) in [
        ("SELECT * FROM cases", vec!["id", "title", "rank"]),
        ("SELECT cases.id, count(*), 1+ rank FROM cases", vec!["id", "count(*)", "1+ rank"]),
        ("SELECT (SELECT max(id) FROM notes) FROM cases", vec!["(SELECT max(id) FROM notes)"]),
        ("SELECT 'm7__x'", vec!["'m7__x'"]),
        ("DELETE FROM cases RETURNING cases.id, cases.id + 1", vec!["id", "cases.id + 1"]),
        ("UPDATE cases SET rank = 1", vec![]),
    ] {
        assert_eq!(room.ok(sql).columns, expected, "{sql}");
    }
}

#[test]
fn a_plan_says_whether_and_where_a_statement_writes() {
    let mut room = Room::new();
    room.ok("CREATE TRIGGER g AFTER UPDATE ON cases BEGIN DELETE FROM notes; END");
    for (sql, writes, table) in [
        ("SELECT * FROM cases", false, None),
        ("INSERT INTO notes (id) VALUES (9)", true, Some("notes")),
        ("INSERT INTO Cases (title) VALUES ('x')", true, Some("cases")),
        ("UPDATE cases SET rank = 1", true, None),
        ("DELETE FROM notes", true, Some("notes")),
        ("DELETE FROM cases", true, None),
        ("CREATE TABLE x (y)", true, Some("x")),
        ("CREATE INDEX i ON notes (text)", true, Some("notes")),
        ("ALTER TABLE notes RENAME TO x", true, Some("notes")),
        ("DROP TRIGGER g", true, Some("cases")),
    ] {
        let expected = Plan { writes, table: table.map(str::to_owned) };
        for _ in 0..2 {
            assert_eq!(room.desk.prepare(7, sql).unwrap(), expected, "{sql}");
        }
    }
}

#[test]
fn changes_and_row_ids_are_those_of_the_statement_alone() {
    let mut room = Room::new();
    let mut check = |module, sql: &str, expected: (u64, i64)| {
        let rows = room.desk.run(module, sql, &[], CAPS).unwrap();
        assert_eq!((rows.changed, rows.last_row_id), expected, "{module}: {sql}");
    };
    check(8, "CREATE TABLE x (y UNIQUE)", (0, 0));
    check(8, "CREATE TABLE w (y PRIMARY KEY) WITHOUT ROWID", (0, 0));
    check(7, "INSERT INTO cases (id, title) VALUES (40, 'a'), (41, 'b')", (2, 41));
    check(8, "SELECT 1", (0, 0));
    check(8, "UPDATE x SET y = 1", (0, 0));
    check(8, "INSERT OR IGNORE INTO x SELECT 1 WHERE 0", (0, 0));
    check(8, "INSERT INTO w VALUES (1)", (1, 0));
    check(8, "INSERT INTO x (rowid, y) VALUES (41, 1)", (1, 41));
    check(7, "DELETE FROM cases WHERE id > 39", (2, 0));
    check(7, "INSERT INTO cases (id, title) VALUES (50, 'c')", (1, 50));
    check(8, "INSERT INTO x (y) VALUES (1) ON CONFLICT DO UPDATE SET y = 2", (1, 0));
    check(8, "CREATE TABLE z (y)", (0, 0));
}

/// The trap of `ecosystem.md` §5: the authorizer is only asked when a statement is prepared.
#[test]
fn the_same_text_is_judged_for_each_module() {
    let mut room = Room::new();
    let cases = "SELECT count(*) FROM cases";
    assert_eq!(room.number(cases), 3);
    assert_eq!(room.desk.run(8, cases, &[], CAPS).unwrap().rows, vec![vec![Value::Integer(2)]]);
    let by_title = "SELECT title FROM cases ORDER BY 1 LIMIT 1";
    assert_eq!(room.value(by_title), text("one"));
    assert_eq!(room.desk.run(8, by_title, &[], CAPS).unwrap().rows, vec![vec![text("a")]]);
    // The very same physical text, which only one of them may run, in both orders.
    for sql in ["SELECT rank FROM m7__cases", "SELECT count(*) FROM m7__cases", "UPDATE m7__cases SET rank = 1"] {
        for _ in 0..2 {
            room.desk.raw(7, sql).unwrap();
            denied(room.desk.raw(8, sql));
        }
    }
    let rank = room.desk.run(8, "SELECT rank FROM cases", &[], CAPS).unwrap_err();
    assert!(matches!(&rank, SqlError::Syntax { message, .. } if message == "no such column: rank"), "{rank:?}");
}

#[test]
fn what_a_module_does_not_see_does_not_depend_on_who_asked_before() {
    let mut room = Room::new();
    for _ in 0..2 {
        room.station("SELECT secret FROM m8__cases");
        denied(room.desk.raw(7, "SELECT secret FROM m8__cases"));
        room.desk.station(|conn| conn.prepare_cached("SELECT secret FROM tokens").map(drop)).unwrap();
        denied(room.desk.raw(7, "SELECT secret FROM tokens"));
    }
}

#[test]
fn a_statement_that_fails_has_changed_nothing() {
    let mut room = Room::new();
    room.station("BEGIN IMMEDIATE");
    room.ok("UPDATE cases SET rank = 9 WHERE id = 1");
    room.run("INSERT INTO cases (title) VALUES ('new'), ('one')").unwrap_err();
    let few = Caps { rows_max: 1, bytes_max: 1 << 20 };
    let sql = "UPDATE cases SET rank = 8 RETURNING id";
    assert!(matches!(room.desk.run(7, sql, &[], few), Err(SqlError::Limit { name: "rows", max: 1 })));
    room.desk.raw(7, "ALTER TABLE m7__cases RENAME TO m8__x").unwrap_err();
    assert!(room.desk.in_transaction());
    room.station("COMMIT");
    assert_eq!(room.number("SELECT sum(rank) FROM cases"), 9 + 2 + 3);
}

/// The rewriter refuses these; the wall cannot, so the desk looks whether the transaction is still there.
#[test]
fn a_statement_that_ends_the_transaction_is_noticed() {
    for sql in [
        "INSERT OR ROLLBACK INTO m7__cases (id, title) VALUES (1, 'x')",
        "UPDATE OR ROLLBACK m7__cases SET title = 'same'",
    ] {
        let mut room = Room::new();
        room.station("BEGIN");
        let outcome = room.desk.raw(7, sql);
        assert!(matches!(&outcome, Err(SqlError::Lost(why)) if why.contains("constraint")), "{sql}: {outcome:?}");
        assert!(!room.desk.in_transaction());
    }
}

#[test]
fn a_script_stops_at_the_first_statement_that_fails() {
    let mut room = Room::new();
    room.desk.script(7, "CREATE TABLE a (x); -- one\nINSERT INTO a VALUES (1); ;").unwrap();
    let failed =
        room.desk.script(7, "INSERT INTO a VALUES (2);\nINSERT INTO nope VALUES (1); DROP TABLE a").unwrap_err();
    assert_eq!(failed.at, 26);
    match &failed.error {
        SqlError::Syntax { message, .. } => assert_eq!(message, "no such table: nope"),
        other => panic!("{other:?}"),
    }
    let failed = room.desk.script(7, "SELECT 1;\n SELECT x FROM a WHERE nope = 1").unwrap_err();
    assert!(matches!(failed.error, SqlError::Syntax { offset: Some(33), .. }), "{failed:?}");
    assert_eq!(room.number("SELECT count(*) FROM a"), 2);
    let failed = room.desk.script(7, "DROP TABLE a; COMMIT").unwrap_err();
    assert!(matches!(failed.error, SqlError::Denied(_)), "{failed:?}");
}

#[test]
fn memory_for_texts_is_bounded() {
    let mut room = Room::new();
    for number in 0..3_000 {
        room.ok(&format!("SELECT {number}, '{}'", "x".repeat(500)));
    }
    assert_eq!(room.number("SELECT count(*) FROM cases"), 3);
}

/// Another connection on the same file.
pub(super) fn other(room: &Room) -> Connection {
    crate::connection::open_writer(&room.file).unwrap()
}

#[test]
fn what_only_sqlite_knows_runs() {
    let mut room = Room::new();
    room.ok("CREATE TABLE pairs (a TEXT, b INTEGER, PRIMARY KEY (a, b)) STRICT, WITHOUT ROWID");
    assert!(room.run("INSERT INTO pairs VALUES ('x', 'no number')").is_err(), "it is strict");
    assert!(room.run("SELECT rowid FROM pairs").is_err(), "it has no row ids");
    for _ in 0..2 {
        room.ok("CREATE TRIGGER IF NOT EXISTS copy AFTER INSERT ON cases BEGIN INSERT INTO pairs VALUES (NEW.title, NEW.id); END");
    }
    room.ok("INSERT INTO cases (title) VALUES ('four')");
    room.ok("CREATE VIEW ids AS SELECT id FROM cases");
    for (sql, expected) in [
        ("SELECT count(*) FROM pairs", 1),
        ("SELECT 4 IN ids", 1),
        ("WITH few AS (SELECT id FROM cases LIMIT 2) SELECT count(*) FROM cases WHERE id NOT IN few", 2),
        ("WITH few AS MATERIALIZED (SELECT id FROM cases LIMIT 2) SELECT count(*) FROM few", 2),
        ("WITH few AS NOT MATERIALIZED (SELECT id FROM cases) SELECT count(*) FROM few", 4),
        ("SELECT c.id FROM cases c INDEXED BY by_title WHERE title = 'two'", 2),
        ("SELECT id FROM cases NOT INDEXED WHERE title = 'two'", 2),
    ] {
        assert_eq!(room.number(sql), expected, "{sql}");
    }
    room.ok("DELETE FROM cases INDEXED BY by_title WHERE cases.title = 'four'");
    let error = room.run("SELECT 1 FROM cases INDEXED BY nothing").unwrap_err().to_string();
    assert_eq!(error, "no such index: nothing");
}
