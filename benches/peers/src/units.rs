//! Durable writes: callers of a station's gateway, each waiting for its commit, against plain SQLite on the same disk.
//!
//! One unit is one row inserted. Plain SQLite has WAL and `synchronous = FULL`, once with a connection per thread and
//! once with one connection for all; the better of the two is the reference. With it the cost of a flush is measured:
//! on a disk that does not wait for its flushes there is nothing to share.

use crate::http::workers;
use crate::load::{Answers, Load};
use crate::stats::{median, percentile};
use anyhow::{Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const TABLE: &str = "CREATE TABLE t (x)";
const INSERT: &str = "INSERT INTO t VALUES (1)";
const FLUSHES: usize = 50;
/// Until every log has reached the size at which it is written over instead of growing, which is quicker to flush.
const WARM_UP: usize = 3;

type Side<'a> = Box<dyn FnMut() -> Result<Answers> + 'a>;

/// All sides, round by round.
pub fn measure(rounds: usize, folder: &Path, url: &str) -> Result<Value> {
    let runtime = workers(2)?;
    let own: Vec<_> = (0..CALLERS).map(|_| connect(&folder.join("each.db"))).collect::<Result<_>>()?;
    let own: Vec<_> = own.into_iter().map(Mutex::new).collect();
    let shared = [Mutex::new(connect(&folder.join("shared.db"))?)];
    let mut sides: Vec<(&str, Side<'_>)> = vec![
        ("station, 64 callers", by_station(&runtime, url, CALLERS)?),
        ("SQLite, 64 threads, a connection each", Box::new(|| by_sqlite(&own, CALLERS))),
        ("SQLite, 64 threads, one connection", Box::new(|| by_sqlite(&shared, CALLERS))),
        ("station, one caller", by_station(&runtime, url, 1)?),
        ("SQLite, one thread", Box::new(|| by_sqlite(&shared, 1))),
    ];
    for _ in 0..WARM_UP {
        sides.iter_mut().try_for_each(|(_, side)| side().map(drop))?;
    }
    let mut found: Vec<_> = sides.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for _ in 0..rounds {
        for ((_, side), (rates, waited)) in sides.iter_mut().zip(&mut found) {
            let answers = side()?;
            rates.push(answers.per_second());
            waited.extend(answers.waited_ms);
        }
    }
    let row = |((name, _), (rates, waited)): (&(&str, Side<'_>), (Vec<f64>, Vec<f64>))| {
        let of = |part| percentile(waited.clone(), part);
        json!({ "by": name, "per_second": median(rates), "p50_ms": of(0.5), "p99_ms": of(0.99) })
    };
    let rows: Vec<Value> = sides.iter().zip(found).map(row).collect();
    Ok(json!({ "rounds": rounds, "callers": CALLERS, "flush_ms": flush_ms(folder)?, "sides": rows }))
}

fn by_station<'a>(runtime: &'a Runtime, url: &str, callers: usize) -> Result<Side<'a>> {
    let mut load = Load::connect(runtime, url, callers)?;
    Ok(Box::new(move || load.run(runtime, ROUND)))
}

/// Callers share what connections there are.
fn by_sqlite(connections: &[Mutex<Connection>], callers: usize) -> Result<Answers> {
    let start = Instant::now();
    let waited_ms = std::thread::scope(|scope| {
        let one = |at: usize| scope.spawn(move || insert_until(&connections[at % connections.len()], start + ROUND));
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
        let connection = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ensure!(connection.prepare_cached(INSERT)?.execute([])? == 1, "no row was written");
        drop(connection);
        waited.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(waited)
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

/// A page is written and flushed, so often.
fn flush_ms(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("flush"))?;
    let mut flush = || {
        let start = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        anyhow::Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    Ok(median((0..FLUSHES).map(|_| flush()).collect::<Result<_>>()?))
}
