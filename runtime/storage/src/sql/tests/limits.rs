//! What one statement can cost.

use super::{After, CAPS, Room};
use rusqlite::limits::Limit;
use station_kernel::work::{Caps, SqlError, Value};
use std::{fmt::Write, sync::atomic::Ordering, time::Instant};

#[track_caller]
fn check(room: &mut Room, sql: &str, limit: &str) {
    let started = Instant::now();
    match room.run(sql) {
        Err(SqlError::Limit { name, .. }) => assert_eq!(name, limit, "{:.80}", sql),
        other => panic!("{sql:.80}: {other:?}"),
    }
    assert!(started.elapsed().as_secs() < 5, "{sql:.80}: {:?}", started.elapsed());
}

#[test]
fn texts() {
    let mut room = Room::new();
    let fits = format!("SELECT '{}'", "x".repeat((64 << 10) - 9));
    room.ok(&fits);
    check(&mut room, &format!("{fits} "), "sql_bytes");
    check(&mut room, &format!("SELECT {}1", "1+".repeat(300)), "operators");
    check(&mut room, &format!("SELECT {}1", "1+".repeat(120)), "expression_depth");
    check(&mut room, &format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)), "nesting");
    check(&mut room, &format!("SELECT 1{}", " UNION SELECT 1".repeat(60)), "compound_selects");
    check(&mut room, &format!("SELECT 1{}", " UNION SELECT 1".repeat(3_000)), "selects");
    check(&mut room, &format!("SELECT {}1{}", "(SELECT ".repeat(60), ")".repeat(60)), "nesting");
    check(&mut room, &format!("SELECT coalesce(1{})", ",1".repeat(40)), "function_arguments");
    check(&mut room, "SELECT ?1000", "parameters");
    check(&mut room, &format!("SELECT 'x' LIKE '{}'", "%a".repeat(25_001)), "pattern_bytes");
    check(&mut room, &format!("SELECT 'x' GLOB '{}'", "x".repeat(50_001)), "pattern_bytes");
    room.ok(&format!("SELECT 'x' GLOB '{}'", "x".repeat(50_000)));
    room.ok(&format!("SELECT {}1", "1+".repeat(90)));
    room.ok(&format!("INSERT INTO notes (text) VALUES ('x'){}", ", ('y')".repeat(400)));
}

/// A parser that tries one thing and then another, on each of many levels, takes for ever.
#[test]
fn parsing_takes_no_longer_with_every_level() {
    let mut room = Room::new();
    let pieces = [
        "(",
        "((SELECT 1) UNION ",
        "CASE WHEN ",
        "CASE ",
        "(SELECT * FROM (",
        "EXISTS (",
        "CAST(",
        "f(",
        "x IN (",
        "NOT ",
        "- ",
        "+ -",
        "[",
        "\"",
        "a.",
        "a.b.(",
        "f(x, ",
        "(1, ",
        "x BETWEEN ",
        "x BETWEEN 1 AND ",
        "x LIKE ",
        "INTERVAL ",
        "a -> ",
        "a ->> (",
        "x COLLATE ",
        "FROM (",
        "JOIN (",
        "WITH a AS (",
        "RAISE(",
        "VALUES (",
        "OVER (",
        "f() FILTER (WHERE ",
        "struct(",
        "ARRAY[",
        "{",
        "case x when ",
        "date ",
        "timestamp (",
        "trim(",
        "substring(",
        "position(",
        "(a, b) = ",
        "a AT TIME ZONE ",
        "WHERE ",
        "ON ",
        "x::",
        "x:",
        "?",
        "@",
        ":a ",
        "x'",
        "N'",
        "$",
        "$$",
        "$a$",
        "/*",
        "--",
        "\\",
        "#",
        "`",
        "~",
        "!",
        "!= ",
        "|| ",
        "^ ",
        "& ",
        "; ",
        ", ",
        "ANY (",
        "x = ALL (",
        "LATERAL (",
        "UNNEST(",
        "TABLE(",
        "PIVOT (",
    ];
    for begin in ["SELECT ", "SELECT * FROM ", "INSERT INTO t ", "CREATE TABLE t ("] {
        for piece in pieces {
            for times in [48, 2_000 / piece.len()] {
                let started = Instant::now();
                let sql = format!("{begin}{}1", piece.repeat(times));
                let _ = room.run(&sql);
                assert!(started.elapsed().as_millis() < 1_500, "{:?}: {sql:.80}", started.elapsed());
            }
        }
    }
}

/// Where tokens stand is told in characters, and found in one pass.
#[test]
fn a_long_line_that_is_not_ascii_is_no_slower() {
    let started = Instant::now();
    let sql = format!("SELECT 1 IN ('é'{})", ", 1".repeat(15_000));
    check(&mut Room::new(), &sql, "program_steps");
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
}

/// Left-deep trees are dropped and visited by recursion; a host function may have 256 KiB of stack.
#[test]
fn a_thread_with_little_stack_is_enough() {
    let with_little = |f: fn()| std::thread::Builder::new().stack_size(192 << 10).spawn(f).unwrap().join().unwrap();
    with_little(|| {
        let mut room = stacker::grow(4 << 20, Room::new);
        for sql in [
            format!("SELECT {}1 FROM cases", "1+".repeat(199)),
            format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000)),
            format!("SELECT * FROM {}cases{}", "(SELECT * FROM ".repeat(20), ")".repeat(20)),
            format!("SELECT {}1{}", "CASE WHEN 1 THEN ".repeat(40), " END".repeat(40)),
        ] {
            let _ = room.run(&sql);
        }
        assert_eq!(room.number("SELECT count(*) FROM cases"), 3);
    });
}

#[test]
fn values() {
    let mut room = Room::new();
    check(&mut room, "SELECT zeroblob(5000000)", "value_bytes");
    check(&mut room, "SELECT printf('%5000000d', 1)", "value_bytes");
    check(&mut room, "SELECT replace(hex(zeroblob(1000)), '0', hex(zeroblob(2000)))", "value_bytes");
    check(&mut room, "INSERT INTO notes (text) SELECT randomblob(4194304)", "value_bytes");
    let big = Value::Blob(vec![0; (4 << 20) + 1]);
    let error = room.desk.run(7, "SELECT length(?)", &[big], CAPS).unwrap_err();
    assert!(matches!(error, SqlError::Limit { name: "value_bytes", .. }), "{error:?}");
    room.ok("INSERT INTO notes (text) SELECT zeroblob(4000000)");
    let length = |conn: &mut rusqlite::Connection| conn.limit(Limit::SQLITE_LIMIT_LENGTH);
    assert!(room.desk.station(length).unwrap() > 4 << 20, "the station's own values are longer");
}

#[test]
fn answers() {
    let mut room = Room::new();
    let rows = |rows_max| Caps { rows_max, bytes_max: 1 << 20 };
    let bytes = |bytes_max| Caps { rows_max: 10, bytes_max };
    let all = "SELECT id FROM cases";
    assert_eq!(room.desk.run(7, all, &[], rows(3)).unwrap().rows.len(), 3);
    assert!(matches!(room.desk.run(7, all, &[], rows(2)), Err(SqlError::Limit { name: "rows", max: 2 })));
    room.desk.run(7, all, &[], bytes(3 * (24 + 32))).unwrap();
    let few = room.desk.run(7, all, &[], bytes(3 * 24));
    assert!(matches!(few, Err(SqlError::Limit { name: "result_bytes", max: 72 })), "{few:?}");
    let one = room.desk.run(7, "SELECT hex(zeroblob(500))", &[], bytes(1_000));
    assert!(matches!(one, Err(SqlError::Limit { name: "result_bytes", max: 1_000 })), "{one:?}");
    room.desk.run(7, "SELECT 1 FROM cases WHERE 0", &[], rows(0)).unwrap();
}

#[test]
fn a_statement_without_end_is_interrupted() {
    let mut long = String::from("SELECT count(*) FROM cases AS a");
    (0..12).for_each(|number| write!(long, ", cases AS c{number}").unwrap());
    for sql in [
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO notes (text) SELECT i FROM n",
        long.as_str(),
        &format!("{long} WHERE a.title LIKE '%o%' ORDER BY 1"),
    ] {
        let mut room = Room::new();
        let watch = After::steps(100_000);
        room.desk.watch(Some(watch.clone()));
        assert!(matches!(room.run(sql), Err(SqlError::Interrupted)), "{sql}");
        let steps = watch.steps.load(Ordering::Relaxed);
        assert!((100_000..110_000).contains(&steps), "{steps}");
        assert_eq!(room.desk.run(7, "SELECT 1", &[], CAPS).unwrap().rows.len(), 1, "short ones go on");
        room.desk.watch(None);
        assert_eq!(std::sync::Arc::strong_count(&watch), 1, "nothing of the unit is left");
        assert_eq!(room.number("SELECT count(*) FROM cases"), 3);
    }
}

/// SQLite's own would compare for minutes, in one step.
#[test]
fn a_pattern_that_is_compared_for_long_is_interrupted() {
    let mut room = Room::new();
    room.ok("CREATE TABLE big (a TEXT)");
    room.ok("INSERT INTO big VALUES (replace(hex(zeroblob(2000000)), '0', 'a'))");
    let a = "a".repeat(20_000);
    let sets = "[a-z]".repeat(9_000);
    for pattern in [
        format!("LIKE '%{a}b'"),
        format!("LIKE '%{}b'", "a%".repeat(10_000)),
        format!("LIKE '%{a}!_' ESCAPE '!'"),
        format!("GLOB '*{sets}b'"),
    ] {
        let watch = After::steps(200_000);
        room.desk.watch(Some(watch.clone()));
        let interrupted = room.run(&format!("SELECT a {pattern} FROM big"));
        assert!(matches!(interrupted, Err(SqlError::Interrupted)), "{pattern:.20}: {interrupted:?}");
        let steps = watch.steps.load(Ordering::Relaxed);
        assert!((200_000..210_000).contains(&steps), "{pattern:.20}: {steps} steps");
        room.desk.watch(None);
    }
}

#[test]
fn a_pattern_that_is_too_long_for_sqlite_finds_all_the_same() {
    let mut room = Room::new();
    assert!(room.desk.is_as_new());
    let (like, long) = ("o%".repeat(40), "o".repeat(100));
    room.ok(&format!("CREATE TABLE checked (x CHECK (x LIKE '{like}'))"));
    room.ok(&format!("INSERT INTO notes (text) VALUES ('{long}'), ('x{long}')"));
    assert!(room.desk.is_as_new(), "what is short has SQLite's own");
    let written = room.ok(&format!("UPDATE notes SET text = 'found' WHERE text LIKE '{like}'"));
    assert_eq!((written.changed, room.desk.is_as_new()), (1, false));
    assert_eq!(room.number("SELECT count(*) FROM notes WHERE text = 'found'"), 1);
    assert_eq!(room.number(&format!("SELECT text GLOB '*{long}' FROM notes ORDER BY id DESC LIMIT 1")), 1);
    room.ok(&format!("INSERT INTO checked VALUES ('{long}')"));
    room.run("INSERT INTO checked VALUES ('x')").unwrap_err();
}

#[test]
fn an_interrupted_write_is_interrupted_and_takes_the_transaction_along() {
    let mut room = Room::new();
    room.station("BEGIN IMMEDIATE");
    room.ok("UPDATE cases SET rank = 9");
    room.desk.watch(Some(After::steps(10_000)));
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    assert!(matches!(room.run(endless), Err(SqlError::Interrupted)));
    assert!(room.desk.in_transaction(), "a read leaves the unit as it was");
    let write =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO notes (text) SELECT i FROM n";
    assert!(matches!(room.run(write), Err(SqlError::Interrupted)));
    assert!(matches!(room.run(&format!("{write} RETURNING id")), Err(SqlError::Interrupted)));
    room.desk.watch(None);
    if room.desk.in_transaction() {
        room.station("ROLLBACK");
    }
    assert_eq!(room.number("SELECT max(rank) FROM cases"), 3);
}
