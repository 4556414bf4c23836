//! Durable commits of small units of work: the station beside plain SQLite, in the same run and on the same disk.
//!
//! `cargo bench -p station-storage --bench units [-- <folder> [<seconds>]]`. A folder on the disk that matters; by
//! default one in the current directory, because `/tmp` may be memory.
//!
//! Both sides run the same three statements in a transaction and wait until it is on the disk. The station's threads
//! take the fair lock that the kernel has, and share flushes; plain SQLite has `synchronous = FULL` and its defaults
//! otherwise, once with a connection per thread and once with one for all behind a mutex. The ratio is against the
//! better of the two. What a flush costs is measured beside it, because on a disk that does not wait for its flushes
//! sharing them wins nothing. To see one that does, run this with a library preloaded that makes `fdatasync` slow;
//! it applies to both sides.
//!
//! `STATION_BENCH_SAVE=FILE` writes the figures, `STATION_BENCH_ROUNDS=N` makes more or fewer rounds.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a program for people")]

use rusqlite::Connection;
use serde_json::json;
use station_kernel::{
    Change, Registry as _,
    state::{AuditEntry, Migration},
    work::{Caps, Units as _, Value, Watch},
};
use station_model::ModuleName;
use station_storage::{Settings, Storage};
use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, sync::Semaphore};

const THREADS: usize = 64;
const ROWS: i64 = 1_000;

const TABLES: &str = "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE entry (id INTEGER PRIMARY KEY, account INTEGER NOT NULL, amount INTEGER NOT NULL);
    INSERT INTO account (id, balance)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, 0 FROM n;";
const READ: &str = "SELECT balance FROM account WHERE id = ?1";
const UPDATE: &str = "UPDATE account SET balance = balance + 1 WHERE id = ?1";
const INSERT: &str = "INSERT INTO entry (account, amount) VALUES (?1, 1)";

/// Does one unit of work for a row, and returns when it is on the disk.
type Do<'a> = Box<dyn FnMut(i64) + Send + 'a>;

/// One of those that are compared; each thread gets its own [`Do`].
trait Side: Sync {
    fn name(&self) -> &'static str;
    fn worker(&self) -> Do<'_>;
}

struct Patient;

impl Watch for Patient {
    fn step(&self, _: u64) -> bool {
        false
    }
}

struct Station {
    storage: Storage,
    module: ModuleName,
    kernel: Semaphore,
    runtime: Runtime,
}

impl Station {
    fn open(data: &Path) -> Self {
        let settings = Settings { units_max: THREADS, ..Settings::default() };
        let storage = Storage::open_with(data, settings).unwrap();
        let module: ModuleName = "bench".parse().unwrap();
        let tables = Migration { version: 1, name: "tables".into(), sql: TABLES.into() };
        let changes = [Change::AddModule(module.clone()), Change::Migrate(module.clone(), vec![tables])];
        storage.commit(&changes, &nobody()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { storage, module, kernel: Semaphore::new(1), runtime }
    }

    fn unit(&self, row: i64) {
        let caps = Caps { rows_max: 100, bytes_max: 1 << 20 };
        let params = [Value::Integer(row)];
        let turn = self.runtime.handle().block_on(self.kernel.acquire()).unwrap();
        let mut unit = self.storage.begin(true, Arc::new(Patient)).unwrap();
        for sql in [READ, UPDATE, INSERT] {
            unit.run(&self.module, sql, &params, caps).unwrap();
        }
        let mark = unit.commit().unwrap();
        drop(turn);
        self.runtime.handle().block_on(self.storage.durable(mark)).unwrap();
    }
}

fn nobody() -> AuditEntry {
    let text = String::new();
    AuditEntry {
        at_ms: 0,
        principal: text.clone(),
        action: text.clone(),
        subject: text,
        detail: Vec::<u8>::new().into(),
    }
}

impl Side for Station {
    fn name(&self) -> &'static str {
        "station"
    }

    fn worker(&self) -> Do<'_> {
        Box::new(|row| self.unit(row))
    }
}

/// Plain SQLite with a connection per thread.
struct Each(PathBuf);

/// Plain SQLite with one connection.
struct Shared(Mutex<Connection>);

fn plain(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    connection.execute_batch("PRAGMA synchronous = FULL").unwrap();
    connection
}

fn with_tables(file: &Path) -> Connection {
    let connection = plain(file);
    connection.execute_batch(TABLES).unwrap();
    connection
}

fn transaction(connection: &Connection, row: i64) {
    let run = |sql| connection.prepare_cached(sql).unwrap().execute([]).map(|_| ()).unwrap();
    run("BEGIN IMMEDIATE");
    let _: i64 = connection.prepare_cached(READ).unwrap().query_row([row], |row| row.get(0)).unwrap();
    for sql in [UPDATE, INSERT] {
        connection.prepare_cached(sql).unwrap().execute([row]).unwrap();
    }
    run("COMMIT");
}

impl Side for Each {
    fn name(&self) -> &'static str {
        "sqlite, a connection each"
    }

    fn worker(&self) -> Do<'_> {
        let connection = plain(&self.0);
        Box::new(move |row| transaction(&connection, row))
    }
}

impl Side for Shared {
    fn name(&self) -> &'static str {
        "sqlite, one connection"
    }

    fn worker(&self) -> Do<'_> {
        Box::new(|row| transaction(&self.0.lock().unwrap(), row))
    }
}

/// How long each unit took, from all threads together.
fn drive(side: &dyn Side, threads: usize, length: Duration) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    let work = |thread: usize| {
        let (mut unit, mut row, mut took) = (side.worker(), thread as i64, vec![]);
        while !stop.load(Ordering::Relaxed) {
            row = (row + 7) % ROWS;
            let began = Instant::now();
            unit(row + 1);
            took.push(began.elapsed());
        }
        took
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn at(mut took: Vec<Duration>, share: f64) -> Duration {
    took.sort();
    took[((took.len() - 1) as f64 * share) as usize]
}

/// What one side did in one round, or in the middle of all.
#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    half: Duration,
    most: Duration,
}

fn round(side: &dyn Side, threads: usize, length: Duration) -> Figures {
    let began = Instant::now();
    let took = drive(side, threads, length);
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    Figures { rate, half: at(took.clone(), 0.5), most: at(took, 0.99) }
}

/// How many rounds to make.
fn rounds() -> usize {
    env::var("STATION_BENCH_ROUNDS").map_or(9, |text| text.parse().unwrap())
}

/// The sides in turn, round by round, because the disk has moods. Answers with the median of each figure.
fn compare(sides: &[&dyn Side], threads: usize, length: Duration) -> Vec<Figures> {
    let (mut all, count) = (vec![vec![]; sides.len()], rounds());
    for _ in 0..count {
        sides.iter().zip(&mut all).for_each(|(side, rounds)| rounds.push(round(*side, threads, length)));
    }
    println!("\n{threads} thread(s), median of {count} rounds of {} s", length.as_secs_f64());
    sides.iter().zip(all).map(|(side, rounds)| report(side.name(), &rounds)).collect()
}

fn report(name: &str, rounds: &[Figures]) -> Figures {
    let mut rates: Vec<f64> = rounds.iter().map(|round| round.rate).collect();
    rates.sort_by(f64::total_cmp);
    let rate = rates[rates.len() / 2];
    let half = at(rounds.iter().map(|round| round.half).collect(), 0.5);
    let most = at(rounds.iter().map(|round| round.most).collect(), 0.5);
    let (low, high) = (rates[0], rates[rates.len() - 1]);
    println!("  {name:26} {rate:7.0} commits/s ({low:.0} to {high:.0})   p50 {half:.1?}   p99 {most:.1?}");
    Figures { rate, half, most }
}

fn saved(found: Figures, by: &str, threads: usize) -> serde_json::Value {
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    json!({ "by": by, "threads": threads, "per_second": found.rate, "p50_ms": ms(found.half), "p99_ms": ms(found.most) })
}

fn flush_time(folder: &Path) -> Duration {
    let path = folder.join("raw");
    let mut file = File::create(&path).unwrap();
    let took = (0..200).map(|_| {
        file.write_all(&[7; 4096]).unwrap();
        let began = Instant::now();
        file.sync_data().unwrap();
        began.elapsed()
    });
    let took = at(took.collect(), 0.5);
    fs::remove_file(path).unwrap();
    took
}

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let above = arguments.next().map_or_else(|| env::current_dir().unwrap(), PathBuf::from);
    let length = Duration::from_secs_f64(arguments.next().map_or(1.0, |text| text.parse().unwrap()));
    let folder = tempfile::tempdir_in(above).unwrap();
    println!(
        "in {}: one write of 4 KiB and fdatasync, median {:.1?}",
        folder.path().display(),
        flush_time(folder.path())
    );
    let station = Station::open(&folder.path().join("station"));
    let (each, shared) = (folder.path().join("each.db"), folder.path().join("shared.db"));
    let _open = with_tables(&each);
    let (each, shared) = (Each(each), Shared(Mutex::new(with_tables(&shared))));
    let mut figures = vec![];
    for threads in [1, THREADS] {
        let found = compare(&[&station, &each, &shared], threads, length);
        figures.extend(found.iter().zip(["station", "each", "shared"]).map(|(found, by)| saved(*found, by, threads)));
        let [station, each, shared] = found[..] else { return };
        let (rate, half) = (each.rate.max(shared.rate), each.half.min(shared.half));
        println!("  against the better sqlite: {:.2} times the commits", station.rate / rate);
        if threads == 1 {
            println!("  and {:.2} times the latency", station.half.as_secs_f64() / half.as_secs_f64());
        }
    }
    if let Some(file) = env::var_os("STATION_BENCH_SAVE") {
        fs::write(file, json!({ "sides": figures }).to_string()).unwrap();
    }
    println!("\nafterwards: one write of 4 KiB and fdatasync, median {:.1?}", flush_time(folder.path()));
}
