//! SQLite prepares a statement again in the middle of a run when somebody has changed the schema. What it finds
//! then is judged like the first time.

use super::{Room, denied, runs::other};
use station_kernel::work::SqlError;

/// Runs `sql` so that it is prepared and kept, lets another connection change the schema, and runs it again.
fn after(sql: &str, change: &str) -> (Room, Result<station_kernel::work::Rows, SqlError>) {
    let mut room = Room::new();
    room.ok(sql);
    other(&room).execute_batch(change).unwrap();
    let outcome = room.run(sql);
    (room, outcome)
}

#[test]
fn new_columns_appear() {
    let (_, rows) = after("SELECT * FROM cases", "ALTER TABLE m7__cases ADD COLUMN extra DEFAULT 5");
    let rows = rows.unwrap();
    assert_eq!(rows.columns, ["id", "title", "rank", "extra"]);
    assert_eq!(rows.rows[0].len(), 4);
}

#[test]
fn a_table_that_is_gone_is_missed() {
    let (_, outcome) = after("SELECT * FROM notes", "DROP TABLE m7__notes");
    match outcome {
        Err(SqlError::Syntax { message, .. }) => assert_eq!(message, "no such table: notes"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_view_over_anothers_table_in_place_of_the_own_table_is_denied() {
    for sql in ["SELECT * FROM notes", "SELECT count(*) FROM notes"] {
        let change = "DROP TABLE m7__notes; CREATE VIEW m7__notes AS SELECT * FROM m8__notes";
        let (_, outcome) = after(sql, change);
        assert!(denied(outcome).contains("is not a table of this module"));
    }
}

#[test]
fn a_trigger_that_writes_elsewhere_is_denied() {
    let trigger = "CREATE TRIGGER m7__x AFTER UPDATE ON m7__notes BEGIN UPDATE tokens SET secret = 'x'; END";
    let (mut room, outcome) = after("UPDATE notes SET text = 'y'", trigger);
    assert!(denied(outcome).contains("tokens is not a table of this module"));
    assert!(room.foreign().contains("canary of the station"));
    let harmless = "CREATE TRIGGER m7__x AFTER UPDATE ON m7__notes BEGIN UPDATE m7__cases SET rank = 5; END";
    let (mut room, outcome) = after("UPDATE notes SET text = 'y'", harmless);
    outcome.unwrap();
    assert_eq!(room.number("SELECT min(rank) FROM cases"), 5);
}

#[test]
fn a_function_that_a_new_default_calls_is_denied() {
    let change = "DROP TABLE m7__notes; CREATE TABLE m7__notes (id, \"case\", text DEFAULT (sqlite_version()))";
    let (_, outcome) = after("INSERT INTO notes (id) VALUES (99)", change);
    assert!(denied(outcome).contains("the function sqlite_version"));
}
