//! Every operation on a file fails once, one after the other: whatever the station says then must be true.

use super::client::Client;
use super::workload::{History, Mark, Workload};
use super::{WORKLOADS, assert_no_panic, prepared, seed};
use station_testkit::{Disk, Files, Harm, How, NotStarted, Of, Seed, Station, Trace, read_files, write_files};

/// Nothing that is harmed here does half as many.
const OPERATIONS_MAX: u64 = 2_000;

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
struct Stage {
    name: &'static str,
    /// The files that it starts with.
    before: Files,
    /// Whether it is asked to deploy what the workload needs.
    deploys: bool,
    /// How many writes it is asked for.
    writes: u32,
    /// Of so many operations one is harmed. A deployment takes long and writes much of one kind.
    step: u64,
    /// It does more than this, or it does not do its files with what is preloaded.
    operations_min: u64,
}

#[test]
fn the_nth_file_operation_fails() {
    // All operations in all ways, or some of them, each in one way.
    let full = std::env::var_os("STATION_CRASH_FULL").is_some();
    for (name, workload) in WORKLOADS {
        let (mut seed, mut station) = (seed(), prepared(workload));
        for stage in stages(&mut station) {
            let step = if full { 1 } else { stage.step };
            let first = 1 + seed.below(step);
            let mut points = (first..OPERATIONS_MAX).step_by(step as usize);
            let end = points.find(|at| !harm_in_some_ways(&mut station, workload, &stage, *at, full, &mut seed));
            let end = end.expect("the bound on operations is above what is done");
            eprintln!("{name}, {}: harmed every operation from {first} to {end} in steps of {step}", stage.name);
            assert!(end > stage.operations_min, "{}: the station did only {end} operations on its files", stage.name);
        }
    }
}

/// Of a station that has been prepared.
fn stages(station: &mut Station) -> [Stage; 3] {
    let deployed = read_files(&station.data());
    let key = deployed.get_key_value("cache.key").expect("the key of the cache that all tests share");
    let nothing = Files::from([(key.0.clone(), key.1.clone())]);
    write_files(&nothing, &station.data());
    station.start();
    station.kill();
    let started = read_files(&station.data());
    let stage = |name, before, deploys, writes, step, operations_min| Stage {
        name,
        before,
        deploys,
        writes,
        step,
        operations_min,
    };
    [
        stage("a first start", nothing, false, 0, 2, 50),
        stage("a deployment", started, true, 1, 8, 30),
        stage("writes", deployed, false, 4, 1, 30),
    ]
}

/// Harms the operation with this number. False when there were not so many.
fn harm_in_some_ways(
    station: &mut Station,
    workload: &dyn Workload,
    stage: &Stage,
    at: u64,
    all: bool,
    seed: &mut Seed,
) -> bool {
    let chosen = [HARMS[seed.below(HARMS.len() as u64) as usize]];
    let harms = if all { &HARMS[..] } else { &chosen };
    let harms = harms.iter().map(|(how, on)| Harm { at, of: Of::All, how: *how, on: *on });
    harms.filter(|harmed| harm(station, workload, stage, *harmed)).count() > 0
}

/// Works on a disk that fails, and looks at what is there on one that does not.
fn harm(station: &mut Station, workload: &dyn Workload, stage: &Stage, harm: Harm) -> bool {
    let when = format!("{}, {harm:?}", stage.name);
    let trace = station.folder().join("trace");
    drop(std::fs::remove_file(&trace));
    write_files(&stage.before, &station.data());
    station.set_disk(Some(Disk::harming(harm).traced(&trace)));
    let history = match station.try_start() {
        Ok(_) => work(station, workload, stage, harm, &when),
        Err(ended) => told_why(&ended, harm, &when),
    };
    station.kill();
    station.set_disk(None);
    station.start();
    look(station, workload, stage, &history, &when);
    station.kill();
    assert_no_panic(station);
    Trace::read(&trace).harmed()
}

/// Everything may be refused. What was acknowledged must be there already now.
fn work(station: &mut Station, workload: &dyn Workload, stage: &Stage, harm: Harm, when: &str) -> History {
    let client = Client::of(station);
    let mut history = History::default();
    if !stage.deploys || workload.prepare(&client) {
        for number in 0..stage.writes {
            let mark = Mark { round: 0, writer: number % 2, number };
            history.record(mark, &workload.write(&client, mark));
        }
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

/// The disk is well again: what could not be done can be done, and what was said was true.
fn look(station: &Station, workload: &dyn Workload, stage: &Stage, history: &History, when: &str) {
    let client = Client::of(station);
    if stage.deploys {
        assert!(workload.prepare(&client), "{when}: what failed once cannot be deployed");
    }
    if stage.writes > 0 {
        history.check(&workload.there(&client, 0), when);
    }
}
