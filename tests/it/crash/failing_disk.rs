//! Every operation on a file fails once, one after the other: whatever the station says then must be true.

use super::client::{Client, Reply};
use super::workload::{History, Mark, Outcome, Workload};
use super::{WORKLOADS, assert_no_panic, disk, keyvalue, prepared, seed, syncs_of_a_start};
use serde_json::json;
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
        station.is_up();
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

/// The first sync after a start is that of the log's new head, within the commit; the second is the one for which all
/// that committed wait.
#[test]
fn after_a_flush_that_failed_the_station_is_not_ready_and_its_log_says_why_once() {
    let (_, workload) = WORKLOADS[0];
    for after in [1, 2] {
        let mut station = prepared(workload);
        let at = syncs_of_a_start(&mut station) + after;
        station.set_disk(Some(disk().harming(Harm { at, of: Of::Syncs, how: How::Io, on: true })));
        station.start();
        assert_eq!(station.request("GET", "/readyz").send().status, 200);
        let (client, mark) = (Client::of(&station), |number| Mark { round: 0, writer: 0, number });
        assert!(matches!(workload.write(&client, mark(0)), Outcome::Failed | Outcome::Refused));
        let refused = station.request("GET", "/readyz").send().problem(503, "station.read_only");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("refused to flush") && detail.contains("start the station again"), "{detail}");
        let said = errors(&station);
        assert!(said.iter().filter(|line| line.contains("refused to flush")).count() == 1, "{said:#?}");
        assert!(after == 1 || said.len() == 1, "{said:#?}");
        for number in 1..4 {
            let config = json!({ "config": { "number": number.to_string() } });
            station
                .request("PUT", "/v1/modules/kv-draft/config")
                .json(&config)
                .send()
                .problem(503, "station.read_only");
            assert_refused(&keyvalue::put(&client, mark(number)));
            assert_refused(&keyvalue::look_for(&client, mark(number)));
        }
        assert_eq!(errors(&station), said, "what is refused later is not told again");
        station.is_up();
    }
}

#[track_caller]
fn assert_refused(reply: &Reply) {
    assert!(matches!(reply, Reply::Problem { code } if code == "station.read_only"), "{reply:?}");
}

/// The errors in the station's log.
fn errors(station: &Station) -> Vec<String> {
    station.stderr().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect()
}
