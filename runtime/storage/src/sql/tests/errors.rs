//! What SQLite says, as the module hears it.

use super::{CAPS, Room, runs::other};
use station_kernel::work::{Constraint, SqlError, Value};

#[test]
fn constraints_have_kinds_and_the_modules_names() {
    let mut room = Room::new();
    room.ok("CREATE TABLE strict (n INTEGER) STRICT");
    room.ok("CREATE TRIGGER no BEFORE DELETE ON cases BEGIN SELECT RAISE(ABORT, 'cases stay'); END");
    for (sql, expected, words) in [
        ("INSERT INTO cases (title) VALUES ('one')", Constraint::Unique, "UNIQUE constraint failed: cases.title"),
        ("INSERT INTO cases (id, title) VALUES (1, 'x')", Constraint::PrimaryKey, "UNIQUE constraint failed: cases.id"),
        ("INSERT INTO cases (title) VALUES (NULL)", Constraint::NotNull, "NOT NULL constraint failed: cases.title"),
        ("INSERT INTO notes (\"case\") VALUES (99)", Constraint::ForeignKey, "FOREIGN KEY constraint failed"),
        ("UPDATE cases SET rank = 5000", Constraint::Check, "CHECK constraint failed: rank < 1000"),
        ("INSERT INTO strict VALUES ('x')", Constraint::DataType, "cannot store TEXT value in INTEGER column strict.n"),
        ("DELETE FROM cases", Constraint::Other, "cases stay"),
    ] {
        match room.run(sql) {
            Err(SqlError::Constraint { kind, message }) => {
                assert_eq!((kind, message.as_str()), (expected, words), "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn mistakes_say_where_in_the_modules_text() {
    let mut room = Room::new();
    for (sql, expected, at) in [
        ("SELECT nope FROM cases", "no such column: nope", Some(7)),
        ("SELECT title FROM cases, notes WHERE 'é' = nope", "no such column: nope", Some(44)),
        ("SELECT * FROM nope", "no such table: nope", None),
        ("SELECT nope(1) FROM cases", "no such function: nope", Some(7)),
        ("SELECT cases.nope FROM cases", "no such column: cases.nope", Some(7)),
        ("INSERT INTO cases (nope) VALUES (1)", "table cases has no column named nope", None),
        ("DROP TABLE nope", "no such table: nope", None),
        ("CREATE TABLE cases (x)", "table \"cases\" already exists", Some(13)),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", "circular reference: a", None),
    ] {
        match room.run(sql) {
            Err(SqlError::Syntax { message, offset }) => {
                assert_eq!((message.as_str(), offset), (expected, at), "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn parameters_must_be_as_many_as_the_statement_has() {
    let mut room = Room::new();
    for given in [0, 1, 3] {
        let params = vec![Value::Null; given];
        let error = room.desk.run(7, "SELECT ?, ?", &params, CAPS).unwrap_err();
        assert_eq!(error.to_string(), format!("the statement has 2 parameters, and {given} were given"));
        assert!(matches!(error, SqlError::Other(_)));
    }
}

#[test]
fn values_that_cannot_be_given_or_computed() {
    let mut room = Room::new();
    for (sql, words) in [
        ("SELECT abs(-9223372036854775807 - 1)", "integer overflow"),
        ("SELECT json('{')", "malformed JSON"),
        ("SELECT CAST(x'ff' AS TEXT)", "column 1 holds text that is not UTF-8"),
    ] {
        match room.run(sql) {
            Err(SqlError::Other(message)) => assert!(message.contains(words), "{message}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn a_stale_snapshot_is_a_conflict_and_a_held_lock_is_busy() {
    let mut room = Room::new();
    room.desk.station(|conn| conn.busy_timeout(std::time::Duration::ZERO)).unwrap();
    let others = other(&room);
    room.station("BEGIN");
    room.ok("SELECT * FROM cases");
    others.execute_batch("UPDATE tokens SET secret = 'canary again'").unwrap();
    assert!(matches!(room.run("UPDATE cases SET rank = 0"), Err(SqlError::Conflict)));
    room.station("ROLLBACK");
    others.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(room.run("UPDATE cases SET rank = 0"), Err(SqlError::Busy)));
    others.execute_batch("ROLLBACK").unwrap();
    room.ok("UPDATE cases SET rank = 0");
}

#[test]
fn a_database_that_is_full_or_cannot_be_written_is_the_stations_trouble() {
    let mut room = Room::new();
    room.station("PRAGMA max_page_count = 1; BEGIN");
    let sql = "INSERT INTO notes (text) SELECT hex(zeroblob(100000)) FROM cases, cases AS b, cases AS c";
    let outcome = room.run(sql);
    assert!(matches!(outcome, Err(SqlError::Storage(_) | SqlError::Lost(_))), "{outcome:?}");
    room.station("PRAGMA query_only = 1");
    assert!(matches!(room.run("DELETE FROM notes"), Err(SqlError::Storage(_))));
}
