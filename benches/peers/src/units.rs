//! Durable writes: callers of a station's gateway, each waiting for its commit, against plain SQLite on the same disk.
//!
//! One unit is one row inserted. Plain SQLite has WAL and `synchronous = FULL`, once with a connection per thread and
//! once with one connection for all; the better of the two is the reference. With one caller there is a third: the same
//! SQLite behind HTTP, as one would write it by hand with axum, since a caller of the gateway pays for HTTP as well. With
//! them the cost of a flush is measured: on a disk that does not wait for its flushes there is nothing to share.
//!
//! What a flush costs depends on two things that have nothing to do with who asks for it. A log that grows needs its
//! new length written as well, one that is written over does not; so nothing is measured before the logs are as long
//! as they get. And a disk that others use is slow for seconds at a time; so the two with one caller, which are
//! compared by what a single flush costs, take turns that are much shorter.

use crate::http::{serve, workers};
use crate::load::{Answers, Load};
use crate::stats::{median, percentile};
use anyhow::{Result, ensure};
use axum::{Router, routing::get};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const TABLE: &str = "CREATE TABLE t (x)";
const INSERT: &str = "INSERT INTO t VALUES (1)";
/// Of the two with one caller, each in turn, as often as makes a round.
const TURN: Duration = Duration::from_millis(50);
const TURNS: usize = 20;
const FLUSHES: usize = 50;
const PAGE: [u8; 4096] = [1; 4096];
/// Rounds until the logs are as long as they get: a station's takes some 4,000 commits, SQLite's 1,000.
const WARM_UP: std::ops::RangeInclusive<usize> = 3..=15;
/// What plain SQLite writes to.
const LOGS: [&str; 3] = ["each.db-wal", "shared.db-wal", "by_hand.db-wal"];
/// Where SQLite begins a log anew.
const LOG_BYTES: u64 = 4_000_000;

type Side<'a> = Box<dyn FnMut() -> Result<Answers> + 'a>;

/// All sides, round by round.
pub fn measure(rounds: usize, folder: &Path, url: &str) -> Result<Value> {
    let runtime = workers(2)?;
    let own: Vec<_> = (0..CALLERS).map(|_| connect(&folder.join("each.db"))).collect::<Result<_>>()?;
    let own: Vec<_> = own.into_iter().map(Mutex::new).collect();
    let shared = [Mutex::new(connect(&folder.join("shared.db"))?)];
    let server = workers(2)?;
    let by_hand = serve(&server, by_hand(connect(&folder.join("by_hand.db"))?))?;
    let by_hand = format!("http://{by_hand}/insert");
    let mut sides: Vec<(&str, Side<'_>)> = vec![
        ("station, 64 callers", by_http(&runtime, url, CALLERS, ROUND)?),
        ("SQLite, 64 threads, a connection each", Box::new(|| by_sqlite(&own, CALLERS, ROUND))),
        ("SQLite, 64 threads, one connection", Box::new(|| by_sqlite(&shared, CALLERS, ROUND))),
        ("axum and SQLite, 64 callers", by_http(&runtime, &by_hand, CALLERS, ROUND)?),
    ];
    for round in 1..=*WARM_UP.end() {
        sides.iter_mut().try_for_each(|(_, side)| side().map(drop))?;
        let grown = |name: &&str| folder.join(name).metadata().is_ok_and(|file| file.len() >= LOG_BYTES);
        if round >= *WARM_UP.start() && LOGS.iter().all(grown) {
            break;
        }
    }
    let mut found = rounds_of(rounds, &mut sides)?;
    // Not before: a connection on which nobody asks is closed.
    let mut one: Vec<(&str, Side<'_>)> = vec![
        ("station, one caller", by_http(&runtime, url, 1, TURN)?),
        ("SQLite, one thread", Box::new(|| by_sqlite(&shared, 1, TURN))),
        ("axum and SQLite, one caller", by_http(&runtime, &by_hand, 1, TURN)?),
    ];
    found.extend(rounds_of(rounds * TURNS, &mut one)?);
    sides.append(&mut one);
    let row = |((name, _), (rates, waited)): (&(&str, Side<'_>), (Vec<f64>, Vec<f64>))| {
        let of = |part| percentile(waited.clone(), part);
        json!({ "by": name, "per_second": median(rates), "p50_ms": of(0.5), "p99_ms": of(0.99) })
    };
    let rows: Vec<Value> = sides.iter().zip(found).map(row).collect();
    let (grows, stays) = (flush_ms(folder, 0)?, flush_ms(folder, FLUSHES * PAGE.len())?);
    Ok(json!({
        "rounds": rounds, "callers": CALLERS, "flush_ms": stays, "flush_growing_ms": grows, "sides": rows,
    }))
}

/// Rates and times of each side, in turn.
fn rounds_of(rounds: usize, sides: &mut [(&str, Side<'_>)]) -> Result<Vec<(Vec<f64>, Vec<f64>)>> {
    let mut found: Vec<_> = sides.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for _ in 0..rounds {
        for ((_, side), (rates, waited)) in sides.iter_mut().zip(&mut found) {
            let answers = side()?;
            rates.push(answers.per_second());
            waited.extend(answers.waited_ms);
        }
    }
    Ok(found)
}

fn by_http<'a>(runtime: &'a Runtime, url: &str, callers: usize, how_long: Duration) -> Result<Side<'a>> {
    let mut load = Load::connect(runtime, url, callers)?;
    Ok(Box::new(move || load.run(runtime, how_long)))
}

/// A service that inserts a row for each request: one connection, and a thread that may wait, as axum's documentation has it.
fn by_hand(connection: Connection) -> Router {
    let connection = Arc::new(Mutex::new(connection));
    let insert = move || {
        let connection = Arc::clone(&connection);
        async move {
            let inserted = tokio::task::spawn_blocking(move || insert(&connection)).await;
            inserted
                .is_ok_and(|inserted| inserted.is_ok())
                .then_some("ok")
                .ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    Router::new().route("/insert", get(insert))
}

/// Callers share what connections there are.
fn by_sqlite(connections: &[Mutex<Connection>], callers: usize, how_long: Duration) -> Result<Answers> {
    let start = Instant::now();
    let waited_ms = std::thread::scope(|scope| {
        let one = |at: usize| scope.spawn(move || insert_until(&connections[at % connections.len()], start + how_long));
        let callers: Vec<_> = (0..callers).map(one).collect();
        let joined =
            callers.into_iter().map(|caller| caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))?);
        joined.collect::<Result<Vec<_>>>()
    })?;
    Ok(Answers { took: start.elapsed(), waited_ms: waited_ms.concat() })
}

fn insert_until(connection: &Mutex<Connection>, end: Instant) -> Result<Vec<f64>> {
    let mut waited = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        insert(connection)?;
        waited.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(waited)
}

fn insert(connection: &Mutex<Connection>) -> Result<()> {
    let connection = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    ensure!(connection.prepare_cached(INSERT)?.execute([])? == 1, "no row was written");
    Ok(())
}

fn connect(file: &Path) -> Result<Connection> {
    let is_new = !file.exists();
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    if is_new {
        connection.execute_batch(TABLE)?;
    }
    Ok(connection)
}

/// A page is written and flushed, so often, to a file of this length.
fn flush_ms(folder: &Path, bytes: usize) -> Result<f64> {
    let mut file = File::create(folder.join("flush"))?;
    file.write_all(&vec![0; bytes])?;
    file.sync_all()?;
    file.rewind()?;
    let mut flush = || {
        let start = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        anyhow::Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    Ok(median((0..FLUSHES).map(|_| flush()).collect::<Result<_>>()?))
}
