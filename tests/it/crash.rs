//! Durability: a station that is killed, whose disk fails, or whose power goes, against what it acknowledged.
//!
//! Everything is black box: the real binary, a preloaded library for the disk (`station_testkit::Disk`), and clients who
//! remember what they were told. What is written is a [`Workload`]; the tests know nothing of it.
//!
//! The machine's own disk is never waited for: what a killed process has written is in the system's memory, and a power
//! cut is made from what the library tells. So a test takes as long on a disk that others keep busy.
//!
//! All choices come from a seed that is printed; `STATION_CRASH_SEED=N` has them again. The numbers are for every change;
//! CONTRIBUTING.md says how to run the full version.

#![allow(clippy::print_stderr, reason = "what was harmed how often belongs to the result")]

mod client;
mod deployments;
mod events;
mod failing_disk;
mod keyvalue;
mod killed;
mod load;
mod recorded;
mod transfers;
mod workload;

use crate::station;
use client::Client;
use station_testkit::{Disk, Seed, Station, Trace, What, read_files, write_files};
use std::path::Path;
use workload::Workload;

const DATABASE: &str = "station.db";
pub(crate) const WAL: &str = "station.db-wal";

/// What is tested on. The next workload is one line here and one file beside this one.
const WORKLOADS: [(&str, &dyn Workload); 4] = [
    ("batches of keys", &keyvalue::Batches),
    ("transfers", &transfers::Transfers),
    ("events", &events::Told),
    ("deployments", &deployments::Deployments),
];

fn seed() -> Seed {
    Seed::from_env("STATION_CRASH_SEED")
}

/// A number from the environment, for the full version of a test.
fn setting(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// A disk that behaves well, and is not the machine's.
pub(crate) fn disk() -> Disk {
    Disk::default().without_syncing()
}

/// A station that has what the workload needs, stopped.
fn prepared(workload: &dyn Workload) -> Station {
    let mut station = station().config("limits: { deadline: 1m }").stopped();
    station.set_disk(Some(disk()));
    station.start();
    assert!(workload.prepare(&Client::of(&station)), "a healthy station refuses the workload");
    station.kill();
    station
}

/// How many syncs a station that is stopped makes until it is ready. Its files are as before then, and its empty folders
/// gone, which a start makes anew.
pub(crate) fn syncs_of_a_start(station: &mut Station) -> u64 {
    let (before, file) = (read_files(&station.data()), station.folder().join("trace"));
    write_files(&before, &station.data());
    station.set_disk(Some(disk().traced(&file)));
    station.start();
    station.kill();
    station.set_disk(Some(disk()));
    write_files(&before, &station.data());
    Trace::read(&file).events.iter().filter(|event| matches!(event.what, What::Sync { .. })).count() as u64
}

/// Looks at a copy, because who opens the database tidies it.
#[track_caller]
fn assert_sound(data: &Path) {
    let copy = tempfile::tempdir().unwrap();
    for file in [DATABASE, WAL] {
        if data.join(file).exists() {
            std::fs::copy(data.join(file), copy.path().join(file)).unwrap();
        }
    }
    let database = rusqlite::Connection::open(copy.path().join(DATABASE)).unwrap();
    let found: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

#[track_caller]
fn assert_no_panic(station: &Station) {
    let log = station.stderr();
    assert!(!log.contains("panicked at"), "something panicked:\n{log}");
}
