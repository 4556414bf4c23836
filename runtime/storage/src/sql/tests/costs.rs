//! What statements cost, to be printed and written down: `cargo test -p station-storage costs -- --ignored --nocapture`.

#![allow(clippy::print_stderr, reason = "figures are what these are for")]

use super::{CAPS, Room};
use station_kernel::work::Watch;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A table of as many rows as a module of some use has, twice what a unit's connection keeps of it.
const FILL: &str = "
    CREATE TABLE items (id INTEGER PRIMARY KEY, kind INTEGER, value INTEGER, word TEXT, body TEXT);
    CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE copies (id INTEGER PRIMARY KEY, word TEXT);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
    INSERT INTO items SELECT i, i % 100, i * 7919 % 50021, hex(i * 104729), '{\"a\":{\"b\":' || i || '},\"c\":[1,2,3]}' FROM n;
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99) INSERT INTO kinds SELECT i, 'kind ' || i FROM n;
    CREATE INDEX by_word ON items (word);
";

const STATEMENTS: [(&str, &str); 9] = [
    ("point lookups", "SELECT count((SELECT word FROM items AS other WHERE other.id = items.value)) FROM items"),
    (
        "point lookups by index",
        "SELECT count((SELECT id FROM items AS o WHERE o.word = hex(items.id * 104729))) FROM items",
    ),
    ("scan", "SELECT count(*) FROM items WHERE value % 7 = 3"),
    ("join", "SELECT count(*) FROM items JOIN kinds ON kinds.id = items.kind WHERE kinds.name <> 'kind 7'"),
    ("aggregate", "SELECT sum(s) FROM (SELECT kind, sum(value) AS s FROM items GROUP BY kind)"),
    ("sort", "SELECT max(value) FROM (SELECT value FROM items ORDER BY word DESC, value LIMIT 49999)"),
    ("JSON", "SELECT sum(json_extract(body, '$.a.b')) FROM items"),
    ("LIKE", "SELECT count(*) FROM items WHERE body LIKE '%77%'"),
    ("insert", "INSERT INTO copies SELECT id, word FROM items"),
];

#[test]
#[ignore = "measures"]
fn nanoseconds_per_step() {
    let mut room = Room::new();
    room.desk.script(7, FILL).unwrap();
    room.station("PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512");
    for (name, sql) in STATEMENTS {
        let mut rounds: Vec<_> = (0..7).map(|_| round(&mut room, sql)).collect();
        rounds.sort_by(f64::total_cmp);
        eprintln!("{name}: {:.0} ns per step ({:.0} to {:.0})", rounds[3], rounds[0], rounds[6]);
    }
}

fn round(room: &mut Room, sql: &str) -> f64 {
    let watch = Arc::new(super::After { steps_max: u64::MAX, steps: AtomicU64::new(0) });
    room.station("SAVEPOINT round");
    room.desk.watch(Some(watch.clone()));
    let started = Instant::now();
    room.desk.run(7, sql, &[], CAPS).unwrap();
    let took = started.elapsed();
    room.desk.watch(None);
    room.station("ROLLBACK TO round; RELEASE round");
    took.as_nanos() as f64 / watch.steps.load(Ordering::Relaxed) as f64
}

/// Nothing is asked while one of these runs, so none may take long.
#[test]
#[ignore = "measures"]
fn the_longest_steps() {
    let mut room = Room::new();
    room.ok("CREATE TABLE big (a TEXT)");
    room.ok("INSERT INTO big VALUES (replace(hex(zeroblob(2000000)), '0', 'a'))");
    let a = "a".repeat(super::super::pattern::SHORT_BYTES_MAX as usize - 3);
    for sql in [
        format!("SELECT a LIKE '%{a}b' FROM big"),
        format!("SELECT a LIKE '%{a}_b' FROM big"),
        format!("SELECT a GLOB '*{a}b' FROM big"),
        format!("SELECT a GLOB '*[a]{}b' FROM big", a.get(4..).unwrap()),
        format!("SELECT a LIKE '%{}b' FROM big", "a%".repeat(a.len() / 2)),
        "SELECT trim(a, 'ab') FROM big".to_owned(),
        "SELECT instr(a, substr(a, 1, 2000000) || 'b') FROM big".to_owned(),
        "SELECT length(replace(a, 'aa', 'b')) FROM big".to_owned(),
        "SELECT length(upper(a)) FROM big".to_owned(),
        "SELECT length(json_array(a)) FROM big".to_owned(),
    ] {
        let times = (0..3).map(|_| took(&mut room, &sql));
        eprintln!("{:?} for {}", times.min().unwrap(), sql.get(..sql.len().min(40)).unwrap());
    }
}

/// SQLite finds a prefix by an index only while `GLOB` is its own.
#[test]
#[ignore = "measures"]
fn what_an_index_is_worth_to_a_pattern() {
    let mut room = Room::new();
    room.desk.script(7, FILL).unwrap();
    let mut best = |what: &str| {
        let times = (0..9).map(|_| took(&mut room, "SELECT count(*) FROM items WHERE word GLOB '3177*'"));
        eprintln!("{:?} {what}", times.min().unwrap());
        room.ok(&format!("SELECT 'x' GLOB '{}'", "x".repeat(100)));
    };
    best("with SQLite's own");
    best("with ours");
}

fn took(room: &mut Room, sql: &str) -> Duration {
    let started = Instant::now();
    let _ = room.run(sql);
    started.elapsed()
}

/// Remembers the longest time between two questions, in which nobody could have ended the statement.
struct Pauses(Mutex<(Instant, Duration)>);

impl Watch for Pauses {
    fn step(&self, _: u64) -> bool {
        let mut last = self.0.lock().unwrap();
        *last = (Instant::now(), last.1.max(last.0.elapsed()));
        false
    }
}

/// What is sorted goes to a temporary file, which nothing counts but time; and merging it is one step.
#[test]
#[ignore = "measures"]
fn how_fast_sorting_spills_and_for_how_long_nobody_is_asked() {
    let mut room = Room::new();
    room.station("PRAGMA cache_size = -512");
    room.ok("CREATE TABLE big (a TEXT)");
    for (rows, bytes) in [(500, 4_000_000), (20_000, 100_000), (200_000, 10_000), (2_000_000, 100)] {
        room.ok("DELETE FROM big");
        room.ok(&format!("INSERT INTO big VALUES (zeroblob({bytes}))"));
        let watch = Arc::new(Pauses(Mutex::new((Instant::now(), Duration::ZERO))));
        room.desk.watch(Some(watch.clone()));
        let numbers = format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
        let sorted = "SELECT a, i FROM n, big ORDER BY i * 7919 % 1000003 DESC LIMIT -1 OFFSET 1";
        let took = took(&mut room, &format!("{numbers} SELECT count(a) FROM ({sorted})"));
        room.desk.watch(None);
        let (rate, longest) = (rows as f64 * bytes as f64 / 1e6 / took.as_secs_f64(), watch.0.lock().unwrap().1);
        eprintln!(
            "{rows} rows of {bytes} bytes sorted in {took:.1?}: {rate:.0} MB/s; for {longest:.1?} nobody was asked"
        );
    }
}
