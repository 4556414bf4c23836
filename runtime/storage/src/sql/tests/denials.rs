//! What is refused with a sentence, each beside what is permitted.

use super::{Room, denied};

/// `refused` is denied with `words`, `permitted` runs, and nobody else's data has changed.
#[track_caller]
fn check(refused: &str, words: &str, permitted: &str) {
    let mut room = Room::new();
    let before = room.foreign();
    let message = denied(room.run(refused));
    assert!(message.contains(words), "{refused}: {message}");
    assert!(!message.contains("m7__"), "{message}");
    room.ok(permitted);
    assert_eq!(room.foreign(), before);
}

#[test]
fn sqlites_own_tables() {
    check("SELECT * FROM sqlite_master", "sqlite_master is not a table of this module", "SELECT * FROM cases");
    check("SELECT * FROM SQLite_Schema", "not a table", "SELECT * FROM notes");
    check("SELECT * FROM sqlite_temp_master", "not a table", "SELECT * FROM notes");
    check("SELECT * FROM sqlite_sequence", "not a table", "SELECT max(id) FROM cases");
    check("UPDATE sqlite_sequence SET seq = 0", "not a table", "UPDATE cases SET rank = 0");
    check("DELETE FROM sqlite_master", "not a table", "DELETE FROM cases");
    check("SELECT * FROM sqlite_stat1", "not a table", "SELECT count(*) FROM cases");
    check("SELECT * FROM dbstat", "not a table", "CREATE TABLE stat (x)");
}

#[test]
fn schemas() {
    check("SELECT * FROM main.cases", "name its tables without main.", "SELECT * FROM cases");
    check("SELECT * FROM temp.cases", "without main. or temp.", "SELECT * FROM cases");
    check("SELECT main.cases.id FROM cases", "without main.", "SELECT cases.id FROM cases");
    check("CREATE TABLE main.x (y)", "without main.", "CREATE TABLE x (y)");
    check("CREATE INDEX main.x ON cases (rank)", "without main.", "CREATE INDEX x ON cases (rank)");
    check("DROP TABLE main.m8__cases", "without main.", "DROP TABLE notes");
}

#[test]
fn other_statements() {
    check("ATTACH ':memory:' AS x", "ATTACH is not offered", "SELECT 1");
    check("DETACH x", "DETACH is not offered", "SELECT 1");
    check("PRAGMA table_info(cases)", "PRAGMA is not offered", "SELECT 1");
    check("PRAGMA writable_schema = 1", "PRAGMA is not offered", "SELECT 1");
    check("VACUUM", "VACUUM is not offered", "SELECT 1");
    check("VACUUM INTO '/tmp/stolen.db'", "VACUUM is not offered", "SELECT 1");
    check("ANALYZE", "ANALYZE is not offered", "SELECT 1");
    check("REINDEX by_title", "REINDEX is not offered", "SELECT 1");
    check("EXPLAIN SELECT * FROM cases", "EXPLAIN is not offered", "SELECT * FROM cases");
}

#[test]
fn transactions() {
    for sql in ["BEGIN", "BEGIN IMMEDIATE", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "rollback to a"] {
        check(sql, "the station begins and ends transactions itself", "INSERT INTO cases (title) VALUES ('x')");
    }
}

#[test]
fn functions() {
    for (refused, permitted) in [
        ("load_extension('/tmp/x.so')", "lower('X')"),
        ("fts3_tokenizer('simple')", "hex(x'01')"),
        ("sqlite_version()", "typeof(1)"),
        ("sqlite_compileoption_get(1)", "random()"),
        ("changes()", "count(*)"),
        ("total_changes()", "json_extract('[1]', '$[0]')"),
        ("last_insert_rowid()", "max(id)"),
        ("json_patch('{}', '{}')", "json_set('{}', '$.a', 1)"),
    ] {
        let name = refused.split_once('(').unwrap().0;
        check(
            &format!("SELECT {refused} FROM cases"),
            &format!("the function {name} is not offered"),
            &format!("SELECT {permitted} FROM cases"),
        );
    }
    for absent in ["readfile('/etc/passwd')", "writefile('/tmp/x', 'y')", "edit('x')"] {
        assert!(Room::new().run(&format!("SELECT {absent}")).is_err(), "{absent}");
    }
}

#[test]
fn a_default_or_a_check_calls_no_other_functions_than_a_statement() {
    check(
        "CREATE TABLE x (y DEFAULT (load_extension('z')))",
        "the function load_extension",
        "CREATE TABLE x (y DEFAULT (lower('z')))",
    );
    check(
        "CREATE TABLE x (y, CHECK (changes() > 0))",
        "the function changes",
        "CREATE TABLE x (y, CHECK (abs(y) > 0))",
    );
    check(
        "CREATE INDEX x ON cases (sqlite_version())",
        "the function sqlite_version",
        "CREATE INDEX x ON cases (upper(title))",
    );
}

#[test]
fn temporary_and_virtual_things() {
    check("CREATE TEMP TABLE x (y)", "temporary tables", "CREATE TABLE x (y)");
    check("CREATE TEMPORARY VIEW x AS SELECT 1", "temporary tables", "CREATE VIEW x AS SELECT 1 AS one");
    check(
        "CREATE TEMP TRIGGER x AFTER INSERT ON cases BEGIN SELECT 1; END",
        "temporary tables",
        "CREATE TRIGGER x AFTER INSERT ON cases BEGIN SELECT 1; END",
    );
    check("CREATE VIRTUAL TABLE x USING fts5 (y)", "virtual tables", "CREATE TABLE x (y)");
    check("CREATE TABLE x AS SELECT 1 AS y", "AS SELECT is not offered", "CREATE TABLE x (y)");
}

#[test]
fn table_valued_functions() {
    check("SELECT * FROM json_each('[1]')", "json_each is not offered", "SELECT json_extract('[1]', '$[0]')");
    check("SELECT * FROM cases, json_tree('[1]') AS t", "json_tree is not offered", "SELECT * FROM cases, notes");
    check("SELECT * FROM json_each", "json_each is not a table", "SELECT * FROM cases");
    check("SELECT * FROM generate_series(1, 3)", "generate_series is not offered", "VALUES (1), (2), (3)");
    check("SELECT * FROM pragma_table_list", "pragma_table_list is not a table", "SELECT * FROM cases");
    check("SELECT * FROM pragma_table_info('m8__cases')", "is not offered", "SELECT * FROM cases");
}

#[test]
fn whatever_would_end_the_unit() {
    let words = "ROLLBACK would end the transaction";
    let insert = "INSERT INTO cases (id, title) VALUES (9, 'x')";
    check("INSERT OR ROLLBACK INTO cases (id, title) VALUES (1, 'x')", words, insert);
    check("UPDATE OR/**/rollback cases SET id = 1", words, "UPDATE OR ABORT cases SET rank = 1");
    check("CREATE TABLE x (y UNIQUE ON CONFLICT ROLLBACK)", words, "CREATE TABLE x (y UNIQUE ON CONFLICT IGNORE)");
    check(
        "CREATE TRIGGER x BEFORE INSERT ON cases BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        words,
        "CREATE TRIGGER x BEFORE INSERT ON cases BEGIN SELECT RAISE(IGNORE); END",
    );
    check("INSERT OR FAIL INTO cases (id) VALUES (1)", "FAIL would keep half", insert);
    check(
        "INSERT OR ROLLBACK INTO cases (title) VALUES ('x')",
        words,
        "SELECT \"rollback\" FROM (SELECT 1 AS \"rollback\", 2 AS fail) WHERE fail = 2",
    );
}

#[test]
fn forms_of_alter_table_that_put_an_expression_into_sqlites_own_statements() {
    check(
        "ALTER TABLE cases ADD CONSTRAINT x CHECK (rank > 0)",
        "RENAME TO, RENAME COLUMN, ADD COLUMN and DROP COLUMN",
        "ALTER TABLE cases ADD COLUMN score INTEGER NOT NULL DEFAULT 1 CHECK (score > 0)",
    );
    check(
        "ALTER TABLE cases ALTER COLUMN rank SET NOT NULL",
        "of ALTER TABLE there are",
        "ALTER TABLE notes RENAME TO n",
    );
}

/// Rewritten, the names of others are just absent.
#[test]
fn tables_of_others_are_not_there() {
    let mut room = Room::new();
    let before = room.foreign();
    for sql in [
        "SELECT * FROM m8__cases",
        "SELECT * FROM \"M8__cases\"",
        "SELECT * FROM tokens",
        "SELECT * FROM modules",
        "INSERT INTO tokens VALUES (2, 'x')",
        "UPDATE m8__cases SET secret = 'x'",
        "DELETE FROM m77__cases",
        "DROP TABLE m8__cases",
        "DROP VIEW m8__seen",
        "DROP INDEX m8__by_secret",
        "DROP TRIGGER m8__log",
        "ALTER TABLE m8__cases RENAME TO x",
        "CREATE INDEX x ON m8__cases (secret)",
        "CREATE TRIGGER x AFTER INSERT ON m8__cases BEGIN SELECT 1; END",
    ] {
        let error = room.run(sql).unwrap_err().to_string();
        assert!(error.contains("no such"), "{sql}: {error}");
        assert!(!error.contains("m7__"), "{sql}: {error}");
    }
    room.ok("ALTER TABLE cases RENAME TO m8__cases");
    room.ok("CREATE VIEW tokens AS SELECT * FROM m8__cases");
    assert_eq!(room.number("SELECT count(*) FROM tokens"), 3);
    assert_eq!(room.foreign(), before);
}
