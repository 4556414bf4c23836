//! Every operation on a file fails once, one after the other: whatever the station says then must be true.

use super::client::Client;
use super::workload::{History, Mark, Outcome, Workload};
use super::{WORKLOADS, assert_no_panic, disk, prepared, seed};
use station_testkit::{Files, Harm, How, NotStarted, Of, Seed, Station, Trace, read_files, write_files};

/// Nothing that is harmed here does half as many.
const OPERATIONS_MAX: u64 = 2_000;
/// And nothing does as few.
const OPERATIONS_MIN: u64 = 20;

/// Ways to harm, and whether it goes on.
const HARMS: [(How, bool); 7] = [
    (How::Kill, false),
    (How::Io, false),
    (How::Io, true),
    (How::Full, false),
    (How::Full, true),
    (How::Short, false),
    (How::Short, true),
];

/// What a station is harmed at.
struct Stage<'a> {
    name: &'a str,
    workload: &'a dyn Workload,
    /// The files that it starts with.
    before: Files,
    /// How many writes it is asked for.
    writes: u32,
    /// Of so many operations one is harmed, unless everything is asked for.
    step: u64,
}

#[test]
fn the_nth_file_operation_of_a_first_start_fails() {
    let (_, workload) = WORKLOADS[0];
    let mut station = prepared(workload);
    let mut before = read_files(&station.data());
    // Only the key of the cache that all tests share.
    before.retain(|path, _| path == "cache.key");
    harm_everywhere(&mut station, &Stage { name: "a first start", workload, before, writes: 0, step: 2 });
}

#[test]
fn the_nth_file_operation_fails() {
    for (name, workload) in WORKLOADS {
        let mut station = prepared(workload);
        let before = read_files(&station.data());
        let writes = if workload.weight() > 1 { 1 } else { 4 };
        harm_everywhere(&mut station, &Stage { name, workload, before, writes, step: 1 });
    }
}

/// Each operation in turn, until a run needs none of that number. All in all ways where everything is asked for, else
/// each in one way.
fn harm_everywhere(station: &mut Station, stage: &Stage<'_>) {
    let full = std::env::var_os("STATION_CRASH_FULL").is_some();
    let (mut seed, step) = (seed(), if full { 1 } else { stage.step });
    let first = 1 + seed.below(step);
    let mut points = (first..OPERATIONS_MAX).step_by(step as usize);
    let end = points.find(|at| !harm_in_some_ways(station, stage, *at, full, &mut seed));
    let end = end.expect("the bound on operations is above what is done");
    eprintln!("{}: harmed the operations from {first} to {end} in steps of {step}", stage.name);
    assert!(end > OPERATIONS_MIN, "{}: only {end} operations, so most are not seen", stage.name);
}

/// Harms the operation with this number. False when there were not so many.
fn harm_in_some_ways(station: &mut Station, stage: &Stage<'_>, at: u64, all: bool, seed: &mut Seed) -> bool {
    let chosen = [HARMS[seed.below(HARMS.len() as u64) as usize]];
    let harms = if all { &HARMS[..] } else { &chosen };
    let harms = harms.iter().map(|(how, on)| Harm { at, of: Of::All, how: *how, on: *on });
    harms.filter(|harmed| harm(station, stage, *harmed)).count() > 0
}

/// Works on a disk that fails, and looks at what is there on one that does not.
fn harm(station: &mut Station, stage: &Stage<'_>, harm: Harm) -> bool {
    let when = format!("{}, {harm:?}", stage.name);
    let trace = station.folder().join("trace");
    write_files(&stage.before, &station.data());
    station.set_disk(Some(disk().harming(harm).traced(&trace)));
    let history = match station.try_start() {
        Ok(_) => work(station, stage, harm, &when),
        Err(ended) => told_why(&ended, harm, &when),
    };
    station.kill();
    station.set_disk(Some(disk()));
    station.start();
    look(station, stage, &history, &when);
    station.kill();
    assert_no_panic(station);
    Trace::read(&trace).harmed()
}

/// Everything may be refused. What was acknowledged must be there already now.
fn work(station: &mut Station, stage: &Stage<'_>, harm: Harm, when: &str) -> History {
    let (client, workload) = (Client::of(station), stage.workload);
    let mut history = History::default();
    for number in 0..stage.writes {
        let mark = Mark { round: 0, writer: number % 2, number };
        history.record(mark, &workload.write(&client, mark));
    }
    for mark in history.acknowledged.keys() {
        let read = workload.read(&client, *mark);
        assert!(read.is_none_or(|(there, _)| there), "{when}: {mark} was acknowledged and is not there");
    }
    if harm.how != How::Kill {
        station.is_alive();
    }
    history
}

/// A station that cannot start says so; it does not just end.
#[track_caller]
fn told_why(ended: &NotStarted, harm: Harm, when: &str) -> History {
    match harm.how {
        How::Kill => assert_eq!(ended.code, None, "{when}: {ended:#?}"),
        How::Io | How::Full | How::Short => {
            assert_eq!(ended.code, Some(2), "{when}: {ended:#?}");
            assert!(ended.stderr.contains("the station cannot start: "), "{when}: {ended:#?}");
        }
    }
    History::default()
}

/// The disk is well again: what was said was true, and what could not be done can be done.
fn look(station: &Station, stage: &Stage<'_>, history: &History, when: &str) {
    let workload = stage.workload;
    if stage.writes > 0 {
        history.check(&workload.there(station, 0), when);
        let again = workload.write(&Client::of(station), Mark { round: 1, writer: 0, number: 0 });
        assert!(matches!(again, Outcome::Acknowledged(_)), "{when}: the station still refuses to write");
    }
}
