//! SQL as a module sees it: values, pages, errors, and everything that is not its own.
//!
//! What a call tree commits and undoes is in `unit_of_work`.

use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::{Run, Station};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Calls a function of `t:sql/run`.
#[track_caller]
pub(crate) fn run(station: &Station, module: &str, function: &str, args: Value) -> Value {
    station.call_json(module, &format!("t:sql/run#{function}"), args).result()
}

/// Runs statements that must succeed.
#[track_caller]
pub(crate) fn execute(station: &Station, module: &str, statements: &[&str]) {
    let done = run(station, module, "execute-then", json!([statements, "succeed"]));
    assert_eq!(done, json!({"ok": null}), "{statements:?}");
}

/// The rows of a query, each as its list of values.
#[track_caller]
pub(crate) fn rows(station: &Station, module: &str, sql: &str) -> Value {
    let table = run(station, module, "query", json!([sql, []]));
    let rows = table["ok"]["rows"].as_array().unwrap_or_else(|| panic!("{sql}: {table}"));
    rows.iter().map(|row| row["values"].clone()).collect()
}

/// The only value of a query that counts.
#[track_caller]
pub(crate) fn count(station: &Station, module: &str, sql: &str) -> u64 {
    rows(station, module, sql)[0][0]["integer"].as_u64().expect("a number")
}

/// What the database said to a statement that fails, the case and its payload.
#[track_caller]
fn refused(station: &Station, module: &str, sql: &str) -> (String, Value) {
    let answer = run(station, module, "query", json!([sql, []]));
    let Some(error) = answer["err"].get("sql") else { panic!("it was not refused: {sql}: {answer}") };
    match error.as_object().and_then(|error| error.iter().next()) {
        Some((case, payload)) => (case.clone(), payload.clone()),
        None => (error.as_str().unwrap_or_default().to_owned(), Value::Null),
    }
}

/// A station with `sql-runner`.
fn running() -> Station {
    let station = started();
    station.deploy_all(&["sql-runner"]);
    station
}

const ME: &str = "sql-runner";

#[test]
fn values_of_every_type_come_back_as_they_went_in() {
    let station = running();
    execute(&station, ME, &["CREATE TABLE v (n INTEGER PRIMARY KEY, a)"]);
    let same = [
        json!("null"),
        json!({"integer": 0}),
        json!({"integer": "9223372036854775807"}),
        json!({"integer": "-9223372036854775808"}),
        json!({"real": 1.5}),
        json!({"real": -1e308}),
        json!({"real": "Infinity"}),
        json!({"text": ""}),
        json!({"text": "snow ☃, 'quote', a\u{0}b"}),
        json!({"blob": []}),
        json!({"blob": [0, 127, 255]}),
    ];
    for (n, value) in same.iter().enumerate() {
        let sql = "INSERT INTO v (n, a) VALUES (?1, ?2)";
        assert_eq!(run(&station, ME, "execute", json!([sql, [{"integer": n}, value]])), json!({"ok": 1}), "{value}");
        let found = rows(&station, ME, &format!("SELECT a FROM v WHERE n = {n}"));
        assert_eq!(found, json!([[value]]));
    }
    // SQLite has no NaN: it is stored as NULL.
    let found = run(&station, ME, "query", json!(["SELECT ?1 AS x, typeof(?1)", [{"real": "NaN"}]]));
    assert_eq!(found["ok"]["rows"][0]["values"], json!(["null", {"text": "null"}]));
    assert_eq!(found["ok"]["columns"][0], "x");
}

#[test]
fn parameters_are_values_and_never_text_of_the_statement() {
    let station = running();
    execute(&station, ME, &["CREATE TABLE notes (text TEXT)", "INSERT INTO notes VALUES ('kept')"]);
    for evil in ["'); DROP TABLE notes; --", "x' OR '1'='1", "?1", ":name", "\"notes\""] {
        let put = run(&station, ME, "execute", json!(["INSERT INTO notes VALUES (:t)", [{"text": evil}]]));
        assert_eq!(put, json!({"ok": 1}));
        let found = run(&station, ME, "query", json!(["SELECT text FROM notes WHERE text = ?", [{"text": evil}]]));
        assert_eq!(found["ok"]["rows"], json!([{"values": [{"text": evil}]}]));
    }
    assert_eq!(count(&station, ME, "SELECT count(*) FROM notes"), 6);
    let ordered = json!(["SELECT :b, ?, :a, :b", [{"integer": 1}, {"integer": 2}, {"integer": 3}]]);
    let found = run(&station, ME, "query", ordered);
    let values = json!([{"integer": 1}, {"integer": 2}, {"integer": 3}, {"integer": 1}]);
    assert_eq!(found["ok"]["rows"][0]["values"], values, "names count in the order of their first use");
    for wrong in [json!([]), json!([{"integer": 1}, {"integer": 2}])] {
        let answer = run(&station, ME, "query", json!(["SELECT ?1", wrong]));
        assert!(answer["err"]["sql"]["other"].is_string(), "a wrong number of parameters: {answer}");
    }
}

const NUMBERS: &str = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 2500) SELECT x FROM n";

#[test]
fn rows_are_read_in_pages_that_are_bounded() {
    let station = running();
    let pages = |sql: &str, max: u32| run(&station, ME, "pages", json!([sql, max]))["ok"].clone();
    assert_eq!(pages(NUMBERS, 2_000), json!([1_000, 1_000, 500]));
    assert_eq!(pages(&NUMBERS.replace("2500", "5"), 2), json!([2, 2, 1]));
    assert_eq!(pages("SELECT 1 WHERE 0", 10), json!([]));
    let big = NUMBERS.replace("SELECT x FROM", "SELECT zeroblob(400000) FROM").replace("2500", "5");
    assert_eq!(pages(&big, 10), json!([2, 2, 1]), "a page has at most a mebibyte");
    let empty = run(&station, ME, "query", json!(["SELECT 1 AS one, 2 AS two WHERE 0", []]));
    assert_eq!(empty, json!({"ok": {"columns": ["one", "two"], "rows": []}}));
}

#[test]
fn a_result_that_is_too_big_is_an_error_that_says_the_bound() {
    let config = "limits: { fuel: 9_000_000_000_000, deadline: 30s }";
    let station = station().config(config).start();
    station.deploy_all(&["sql-runner"]);
    let (case, limit) = refused(&station, ME, &NUMBERS.replace("2500", "100001"));
    assert_eq!((case.as_str(), limit), ("limit", json!({"name": "rows", "max": 100_000})));
    let big = NUMBERS.replace("SELECT x FROM", "SELECT zeroblob(400000) FROM");
    let (case, limit) = refused(&station, ME, &big);
    assert_eq!((case.as_str(), limit), ("limit", json!({"name": "result-bytes", "max": 16 << 20})));
    let held = run(&station, ME, "hold", json!([NUMBERS.replace("2500", "90000"), 3]));
    let limit = json!({"name": "live-rows", "max": 200_000});
    assert_eq!(held, json!({"ok": {"limit": limit}}), "what is not read leaves less, what is dropped leaves more");
    let fits = run(&station, ME, "hold", json!([NUMBERS.replace("2500", "90000"), 2]));
    assert_eq!(fits, json!({"ok": null}));
}

#[test]
fn a_module_that_has_as_many_rows_as_it_may_is_told_and_can_delete() {
    let station = station().config("unit: { rows: 1_000 }").start();
    station.deploy_all(&["sql-runner"]);
    let numbers = NUMBERS.replace("2500", "1000");
    execute(&station, ME, &["CREATE TABLE t (x)", &format!("INSERT INTO t {numbers}")]);
    let (case, limit) = refused(&station, ME, "INSERT INTO t VALUES (0)");
    assert_eq!((case.as_str(), limit), ("limit", json!({"name": "data-rows", "max": 1_000})));
    assert_eq!(rows(&station, ME, "SELECT count(*) FROM t"), json!([[{"integer": 1_000}]]));
    execute(&station, ME, &["DELETE FROM t WHERE x = 1", "INSERT INTO t VALUES (0)"]);
    let listed = station.cli(&["db", "tables"]).ok();
    assert_eq!(listed["tables"][0]["rows"], json!(1_000));
}

#[test]
fn a_constraint_that_does_not_hold_is_told_by_kind_and_undoes_only_its_statement() {
    let station = running();
    execute(
        &station,
        ME,
        &[
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT NOT NULL, age INTEGER CHECK (age > 0))",
            "CREATE TABLE posts (id TEXT PRIMARY KEY, user INTEGER REFERENCES users (id))",
            "CREATE TABLE exact (n INTEGER) STRICT",
            "INSERT INTO users VALUES (1, 'a@b.c', 'A', 1)",
            "INSERT INTO posts VALUES ('p', 1)",
        ],
    );
    let cases = [
        ("unique", "INSERT INTO users VALUES (2, 'a@b.c', 'B', 1)", "users.email"),
        ("primary-key", "INSERT INTO users VALUES (1, 'x', 'B', 1)", "users.id"),
        ("primary-key", "INSERT INTO posts VALUES ('p', 1)", "posts.id"),
        ("not-null", "INSERT INTO users VALUES (3, 'y', NULL, 1)", "users.name"),
        ("check", "INSERT INTO users VALUES (4, 'z', 'C', 0)", "age > 0"),
        ("foreign-key", "INSERT INTO posts VALUES ('q', 99)", "FOREIGN KEY"),
        ("data-type", "INSERT INTO exact VALUES ('x')", "exact.n"),
    ];
    for (kind, sql, named) in cases {
        let (case, told) = refused(&station, ME, sql);
        assert_eq!((case.as_str(), &told["kind"]), ("constraint", &json!(kind)), "{sql}: {told}");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(named) && !message.contains("__"), "{sql}: {message}");
        let went_on = run(&station, ME, "go-on", json!([sql, "UPDATE users SET age = age + 1"]));
        assert!(went_on["ok"]["constraint"].is_object(), "the call goes on after {sql}: {went_on}");
    }
    let several = "INSERT INTO users VALUES (7, 'n', 'N', 1), (8, 'a@b.c', 'O', 1)";
    assert_eq!(refused(&station, ME, several).0, "constraint");
    assert_eq!(
        rows(&station, ME, "SELECT id, age FROM users"),
        json!([[{"integer": 1}, {"integer": 1 + cases.len()}]])
    );
}

#[test]
fn a_mistake_in_a_statement_is_told_with_its_place() {
    let station = running();
    execute(&station, ME, &["CREATE TABLE cases (id INTEGER PRIMARY KEY)"]);
    for sql in ["SELECT * FORM cases", "SELEC 1", "SELECT 'open", "SELECT 1; SELECT 2", "", "-- nothing"] {
        let (case, told) = refused(&station, ME, sql);
        assert_eq!(case, "syntax", "{sql}: {told}");
        assert!(told["offset"].as_u64().is_none_or(|at| at <= sql.len() as u64), "{sql}: {told}");
    }
    let (_, told) = refused(&station, ME, "SELECT * FORM cases");
    assert!(told["offset"].is_u64(), "{told}");
    for (sql, name) in [("SELECT * FROM nothing", "nothing"), ("SELECT missing FROM cases", "missing")] {
        let (case, told) = refused(&station, ME, sql);
        assert_eq!(case, "syntax");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(name) && !message.contains("__"), "{message}");
    }
}

#[test]
fn the_last_row_id_is_that_of_the_modules_own_last_insert() {
    let station = running();
    let statements = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
        "INSERT INTO t (a) VALUES ('x')",
        "INSERT INTO t VALUES (50, 'y')",
        "UPDATE t SET a = 'z' WHERE id = 1",
        "INSERT OR IGNORE INTO t VALUES (50, 'y')",
        "WITH n (x) AS (SELECT 70) INSERT INTO t (id) SELECT x FROM n",
        "DELETE FROM t",
    ];
    let ids = run(&station, ME, "inserted", json!([statements]));
    assert_eq!(ids, json!({"ok": [0, 1, 50, 50, 50, 70, 70]}));
    assert_eq!(run(&station, ME, "inserted", json!([["DELETE FROM t"]])), json!({"ok": [0]}), "in another call");
}

#[test]
fn sql_needs_a_grant() {
    let station = started();
    station.deploy_with(ME, ME, &[]).ok();
    assert!(station.waits_for(ME).contains("station:sql/database@0.1.0: not_granted"));
    station.call_json(ME, "t:sql/run#query", json!(["SELECT 1", []])).problem("call.not_ready");
    station.cli(&["grant", ME, "station:sql"]).ok();
    assert_eq!(rows(&station, ME, "SELECT 1"), json!([[{"integer": 1}]]));
    station.cli(&["revoke", ME, "station:sql"]).ok();
    station.call_json(ME, "t:sql/run#query", json!(["SELECT 1", []])).problem("call.not_ready");
}

#[test]
fn the_same_text_is_one_modules_right_and_not_the_others() {
    let station = started();
    station.deploy_as(ME, "one");
    station.deploy_as(ME, "two");
    execute(&station, "one", &["CREATE TABLE secret (a)", "INSERT INTO secret VALUES ('of one')"]);
    let sql = "SELECT a FROM secret";
    for _ in 0..2 {
        assert_eq!(rows(&station, "one", sql), json!([[{"text": "of one"}]]));
        assert_eq!(refused(&station, "two", sql).0, "syntax", "there is no such table");
    }
    execute(&station, "two", &["CREATE TABLE secret (a)", "INSERT INTO secret VALUES ('of two')"]);
    assert_eq!(rows(&station, "two", sql), json!([[{"text": "of two"}]]));
    assert_eq!(rows(&station, "one", sql), json!([[{"text": "of one"}]]));
    execute(&station, "two", &["DROP TABLE secret"]);
    assert_eq!(refused(&station, "two", sql).0, "syntax");
    assert_eq!(rows(&station, "one", sql), json!([[{"text": "of one"}]]));
}

/// What a module is refused that has a table `mine`, while another has `theirs`. Tables of others and of the station
/// are not there for it, by whatever name; everything else is denied.
const REFUSED: &[&str] = &[
    // Other modules' tables, by their names and by what the storage may call them.
    "SELECT * FROM theirs",
    "SELECT * FROM m1__theirs",
    "SELECT * FROM m2__theirs",
    "SELECT * FROM main.m1__theirs",
    "SELECT * FROM \"m1__theirs\"",
    "SELECT * FROM [m1__theirs]",
    "SELECT (SELECT a FROM m1__theirs) FROM mine",
    "WITH x AS (SELECT * FROM m1__theirs) SELECT * FROM x",
    "INSERT INTO m1__theirs VALUES (1)",
    "INSERT INTO mine SELECT a FROM m1__theirs",
    "UPDATE m1__theirs SET a = 1",
    "UPDATE mine SET a = t.a FROM m1__theirs AS t",
    "DELETE FROM m1__theirs",
    "DROP TABLE m1__theirs",
    "ALTER TABLE m1__theirs ADD COLUMN b",
    "ALTER TABLE theirs RENAME TO mine2",
    "CREATE INDEX i ON m1__theirs (a)",
    // The station's.
    "SELECT * FROM modules",
    "SELECT * FROM main.modules",
    "SELECT * FROM revisions",
    "SELECT * FROM tokens",
    "DELETE FROM audit",
    "SELECT * FROM kv",
    "SELECT * FROM unit",
    "UPDATE module_migrations SET version = 0",
    // SQLite's.
    "SELECT * FROM sqlite_master",
    "SELECT * FROM main.sqlite_master",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM sqlite_sequence",
    "SELECT * FROM dbstat",
    "UPDATE sqlite_master SET sql = ''",
    "DELETE FROM sqlite_sequence",
    // What reaches outside, or changes how the database works.
    "ATTACH DATABASE 'other.db' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH DATABASE main",
    "PRAGMA table_list",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = 1",
    "PRAGMA foreign_keys = 0",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "ANALYZE",
    "REINDEX",
    "EXPLAIN SELECT * FROM mine",
    "SELECT load_extension('x.so')",
    "SELECT load_extension('x.so', 'entry')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('x', 'y')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT last_insert_rowid()",
    "CREATE VIRTUAL TABLE x USING fts5 (y)",
    // What outlives the call on the connection.
    "CREATE TEMP TABLE x (a)",
    "CREATE TEMPORARY TABLE x (a)",
    "CREATE TABLE temp.x (a)",
    "CREATE TEMP VIEW x AS SELECT 1",
    "CREATE TEMP TRIGGER x AFTER INSERT ON mine BEGIN SELECT 1; END",
    // Triggers and views over what is not its own.
    "CREATE TRIGGER x AFTER INSERT ON m1__theirs BEGIN SELECT 1; END",
    "CREATE TRIGGER x AFTER INSERT ON theirs BEGIN SELECT 1; END",
    // Table-valued functions.
    "SELECT * FROM pragma_table_list",
    "SELECT * FROM pragma_table_info('m1__theirs')",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM generate_series(1, 3)",
    "SELECT * FROM json_each('[1]')",
    // Transactions: each call is one.
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE x",
    "ROLLBACK TO x",
    "INSERT OR ROLLBACK INTO mine VALUES (1)",
];

/// What may be made, because SQLite looks inside only when it is used, and must then be refused.
const REFUSED_WHEN_USED: &[(&str, &str)] = &[
    ("CREATE VIEW v AS SELECT * FROM m1__theirs", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT * FROM sqlite_master", "SELECT * FROM v"),
    ("CREATE VIEW v AS SELECT * FROM pragma_table_list", "SELECT * FROM v"),
    ("CREATE TRIGGER x AFTER INSERT ON mine BEGIN DELETE FROM m1__theirs; END", "INSERT INTO mine VALUES (1)"),
    (
        "CREATE TRIGGER x AFTER INSERT ON mine BEGIN INSERT INTO mine SELECT a FROM m1__theirs; END",
        "INSERT INTO mine VALUES (1)",
    ),
    ("CREATE TABLE x (a REFERENCES m1__theirs (a))", "INSERT INTO x VALUES (1)"),
    ("CREATE TABLE x (a DEFAULT (load_extension('x')))", "INSERT INTO x DEFAULT VALUES"),
];

#[test]
fn a_module_reaches_nothing_that_is_not_its_own() {
    let mut station = started();
    station.deploy_as(ME, "other");
    station.deploy_as(ME, "evil");
    execute(&station, "other", &["CREATE TABLE theirs (a UNIQUE)", "INSERT INTO theirs VALUES ('secret')"]);
    execute(&station, "evil", &["CREATE TABLE mine (a)", "INSERT INTO mine VALUES ('m')"]);
    for sql in REFUSED {
        let (case, told) = refused(&station, "evil", sql);
        let is_not_there = case == "syntax" && told["message"].as_str().is_some_and(|why| why.starts_with("no such "));
        assert!(case == "denied" || is_not_there, "{sql}: {case} {told}");
        assert!(!told.to_string().contains("secret"), "{sql}: {told}");
    }
    for (make, then) in REFUSED_WHEN_USED {
        let used = run(&station, "evil", "execute-then", json!([[make, then], "succeed"]));
        assert!(used["err"]["sql"].is_object(), "{make}; {then}: {used}");
    }
    let names = "SELECT a FROM theirs";
    assert_eq!(rows(&station, "other", names), json!([[{"text": "secret"}]]));
    assert_eq!(rows(&station, "evil", "SELECT a FROM mine"), json!([[{"text": "m"}]]));
    assert!(!station.folder().join("copy.db").exists() && !station.data().join("copy.db").exists());
    station.is_alive();
}

const RUNAWAY: [&str; 3] = [
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
    "SELECT count(*) FROM t a, t b, t c, t d, t e",
    "INSERT INTO t SELECT a.x FROM t a, t b, t c, t d, t e",
];

#[test]
fn a_statement_that_runs_away_ends_in_time_and_keeps_nobody_waiting() {
    let mut station = station().config("limits: { fuel: 9_000_000_000_000, deadline: 30s }").start();
    station.deploy_as(ME, "away");
    station.deploy_as(ME, "calm");
    execute(&station, "away", &["CREATE TABLE t (x)", &format!("INSERT INTO t {}", NUMBERS.replace("2500", "300"))]);
    execute(&station, "calm", &["CREATE TABLE c (x)"]);
    for sql in RUNAWAY {
        let begin = Barrier::new(2);
        let start = Instant::now();
        let away = std::thread::scope(|scope| {
            let away = scope.spawn(|| {
                begin.wait();
                let body = json!({"function": "t:sql/run#query", "args": [sql, []], "deadline": "1s"});
                station.call_with("away", body)
            });
            begin.wait();
            for _ in 0..20 {
                assert_eq!(rows(&station, "calm", "SELECT count(*) FROM c"), json!([[{"integer": 0}]]));
            }
            away.join().expect("the runaway call is answered")
        });
        let codes = ["call.deadline", "unit.too_long"];
        assert!(codes.contains(&code(&away).as_str()), "{sql}: {away:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{sql} took {:?}", start.elapsed());
        assert_eq!(count(&station, "away", "SELECT count(*) FROM t"), 300);
    }
    station.is_alive();
}

#[test]
fn what_the_database_computes_costs_fuel() {
    let station = running();
    let cost = |rows: &str| {
        let sql = NUMBERS.replace("2500", rows).replace("SELECT x FROM", "SELECT sum(x) FROM");
        let answer = station.call_json(ME, "t:sql/run#query", json!([sql, []])).ok();
        answer["call"]["fuel"].as_u64().unwrap()
    };
    let (few, many) = (cost("10"), cost("20000"));
    assert!(many > few + 100_000, "{few} and {many}");
    let run =
        station.call_with(ME, json!({"function": "t:sql/run#query", "args": [RUNAWAY[0], []], "fuel": 5_000_000}));
    assert_eq!(code(&run), "call.out_of_fuel");
}

/// The code of a call that failed.
#[track_caller]
/// SQLite compares a long pattern for minutes, and where nobody can end it; and it finds a prefix by an index only while
/// the comparing is its own.
#[test]
fn a_long_pattern_finds_what_it_should_ends_at_the_deadline_and_costs_nobody_the_index() {
    let station = station().config("limits: { fuel: 9_000_000_000_000, deadline: 30s }").start();
    station.deploy_all(&[ME]);
    let rows_of = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
    execute(
        &station,
        ME,
        &[
            "CREATE TABLE t (x)",
            "CREATE INDEX by_x ON t (x)",
            &format!("INSERT INTO t {rows_of} SELECT 'key ' || i FROM n"),
            "INSERT INTO t VALUES (replace(hex(zeroblob(2000000)), '0', 'a'))",
        ],
    );
    let prefix = json!(["SELECT count(*) FROM t WHERE x GLOB 'key 77*'", []]);
    let fuel = || station.call_json(ME, "t:sql/run#query", prefix.clone()).ok()["call"]["fuel"].as_u64().unwrap();
    let by_index = fuel();
    let sought = format!("{}key 4321{}", "%".repeat(60), "%".repeat(60));
    let found = format!("SELECT count(*) FROM t WHERE x LIKE '{sought}'");
    assert_eq!(count(&station, ME, &found), 1);
    let scanned = station.call_json(ME, "t:sql/run#query", json!([found, []])).ok()["call"]["fuel"].as_u64().unwrap();
    assert_eq!(fuel(), by_index);
    assert!(scanned > 20 * by_index, "{by_index} by the index, {scanned} by reading all");

    let endless = format!("SELECT count(*) FROM t WHERE x LIKE '%{}b'", "a".repeat(20_000));
    let asked = Instant::now();
    let body = json!({"function": "t:sql/run#query", "args": [endless, []], "deadline": "300ms"});
    station.call_with(ME, body).problem("call.deadline");
    assert!(asked.elapsed() < Duration::from_secs(10), "it ended after {:?}", asked.elapsed());
    assert_eq!(fuel(), by_index);
}

fn code(run: &Run) -> String {
    run.json()["code"].as_str().unwrap_or_else(|| panic!("it should have failed: {run:?}")).to_owned()
}
