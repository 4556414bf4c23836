//! Opening a case file writes a file in `dossiers` (Rust) and a line in `audit` (Python): in one transaction, so that
//! whatever goes wrong, wherever, leaves both or neither.
//!
//! The real pair is killed by fuel, by time and by a signal at many places. Where a test must say what goes wrong,
//! `unit-journal` stands in for `audit`, and `unit-desk` calls `dossiers`.

use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::{Run, Station, until};
use std::sync::atomic::{AtomicU64, Ordering};

const OPEN: &str = "lexorbital:dossiers/files#open";

/// What opens a case file with this title.
fn opening(title: &str) -> Value {
    let draft = json!({"title": title, "client": "C", "kind": "appeal", "labels": ["a", "b"], "deadline": null});
    json!({"function": OPEN, "args": [draft, "ada"]})
}

/// The ids of all case files.
#[track_caller]
fn files(station: &Station) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = station.call_json("dossiers", "lexorbital:dossiers/files#list", json!([after, 100])).result();
        let found = page["ok"]["dossiers"].as_array().unwrap_or_else(|| panic!("no page: {page}")).clone();
        ids.extend(found.iter().map(|file| file["id"].as_str().unwrap().to_owned()));
        after = page["ok"]["next"].clone();
        if after.is_null() {
            return ids;
        }
    }
}

/// Asserts that there are so many case files, as many lines in the journal, and not a hole in either.
#[track_caller]
fn assert_both(station: &Station, count: u64, when: &str) {
    let ids: Vec<_> = (1..=count).map(|number| format!("LX-{number:06}")).collect();
    assert_eq!(files(station), ids, "the case files {when}");
    assert_eq!(lines(station), count, "the lines of the journal {when}");
}

/// How many lines the journal has, by its own reckoning, which recomputes the chain.
#[track_caller]
fn lines(station: &Station) -> u64 {
    let generous = json!({"function": "lexorbital:audit/journal#verify", "args": [], "fuel": 4_000_000_000_u64});
    let verified = station.call_with("audit", generous).result();
    verified["ok"].as_u64().unwrap_or_else(|| panic!("the journal does not verify: {verified}"))
}

/// `dossiers` and `audit`, with limits that let a test give less.
fn office() -> Station {
    let station = station().config("limits: { fuel: 9_000_000_000, deadline: 30s }").start();
    station.deploy_all(&["dossiers", "audit"]);
    station
}

/// True when a call opened a case file; false when it failed by what it may use.
#[track_caller]
fn opened(run: &Run, code: &str) -> bool {
    match run.code {
        0 => {
            let result = run.result();
            assert!(result["ok"]["id"].is_string(), "neither opened nor failed as a whole: {result}");
            true
        }
        _ => {
            run.problem(code);
            false
        }
    }
}

/// Opens a case file with so much of a resource, and looks whether there is one more of both, or of neither.
struct Sweep<'a> {
    station: &'a Station,
    key: &'static str,
    code: &'static str,
    there: u64,
}

impl<'a> Sweep<'a> {
    fn of(station: &'a Station, key: &'static str, code: &'static str) -> Self {
        Self { station, key, code, there: files(station).len() as u64 }
    }

    #[track_caller]
    fn opens_with(&mut self, given: impl Into<Value>) -> bool {
        let given = given.into();
        let mut body = opening("sweep");
        body[self.key] = given.clone();
        let opened = opened(&self.station.call_with("dossiers", body), self.code);
        self.there += u64::from(opened);
        assert_both(self.station, self.there, &format!("with {} {given}", self.key));
        opened
    }

    /// The smallest fuel that is enough, within a few units.
    fn enough(&mut self) -> u64 {
        let (mut little, mut enough) = (0_u64, 1_000_000);
        while !self.opens_with(enough) {
            (little, enough) = (enough, enough * 2);
        }
        while enough - little > 16 {
            let middle = little.midpoint(enough);
            if self.opens_with(middle) { enough = middle } else { little = middle }
        }
        enough
    }
}

/// One test, because a station compiles Python for half a minute and more where the processors are busy.
#[test]
fn fuel_time_or_a_kill_that_ends_it_anywhere_leaves_both_or_neither() {
    let mut station = office();
    fuel_ends_it_anywhere(&station);
    the_deadline_ends_it_anywhere(&station);
    a_kill_ends_it_at_any_moment(&mut station);
}

fn fuel_ends_it_anywhere(station: &Station) {
    let mut sweep = Sweep::of(station, "fuel", "call.out_of_fuel");
    let enough = sweep.enough();
    let places = 100;
    let failed = (1..places).filter(|step| !sweep.opens_with(enough / places * step)).count();
    assert!(failed > 90, "the call should die nearly everywhere, and did {failed} times");
    for fuel in (1..=20).map(|units| enough.saturating_sub(units * 150)) {
        sweep.opens_with(fuel);
    }
    assert!(sweep.opens_with(2 * enough), "nothing is in the way of the next call");
}

fn the_deadline_ends_it_anywhere(station: &Station) {
    let mut sweep = Sweep::of(station, "deadline", "call.deadline");
    for ms in (1..=20).chain([25, 30, 50, 100]) {
        sweep.opens_with(format!("{ms}ms"));
    }
    assert!(sweep.opens_with("30s"), "nothing is in the way of the next call");
}

/// What was acknowledged must be there besides.
fn a_kill_ends_it_at_any_moment(station: &mut Station) {
    for round in 0..6 {
        let before = files(station).len() as u64;
        let acknowledged = AtomicU64::new(0);
        let open = station.request("POST", "/v1/modules/dossiers/call").json(&opening("killed"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let open = || open.try_send().is_ok_and(|answer| answer.complete && answer.status == 200);
                // With an end, so that a test that fails does not go on forever.
                for _ in (0..1_000).take_while(|_| open()) {
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
            until("enough case files are open", || (acknowledged.load(Ordering::SeqCst) >= 2 * round).then_some(()));
            station.kill();
        });
        station.start();
        let after = files(station).len() as u64;
        let told = before + acknowledged.load(Ordering::SeqCst);
        assert!((told..=told + 1).contains(&after), "{told} were acknowledged, and {after} are there");
        assert_both(station, after, "after the kill");
    }
}

/// `dossiers` with the journal that ends as the title says.
fn office_with_a_stand_in() -> Station {
    let config = "limits: { fuel: 9_000_000_000_000, deadline: 30s }";
    let station = station().config(config).start();
    station.deploy_all(&["unit-journal", "dossiers", "unit-desk"]);
    station
}

#[track_caller]
fn assert_stood_in(station: &Station, count: u64, when: &str) {
    assert_eq!(files(station).len() as u64, count, "the case files {when}");
    assert_eq!(station.call_json("unit-journal", "t:unit/lines#count", json!([])).result(), count, "the lines {when}");
}

#[test]
fn a_journal_that_fails_after_it_wrote_leaves_neither() {
    let station = office_with_a_stand_in();
    assert!(opened(&station.call_with("dossiers", opening("a quiet day")), ""));
    assert_stood_in(&station, 1, "at first");

    let refused = station.call_with("dossiers", opening("the journal refuses")).result();
    assert_eq!(refused, json!({"err": {"invalid": ["it was told to"]}}));
    assert_stood_in(&station, 1, "after a refusal");
    let failed = station.call_with("dossiers", opening("the journal's store fails")).result();
    assert!(failed["err"]["audit"].is_string(), "{failed}");
    assert_stood_in(&station, 1, "after an error");
    let trapped = station.call_with("dossiers", opening("the journal traps")).result();
    assert_eq!(trapped["err"]["failed"]["code"], "call.trap", "{trapped}");
    assert_stood_in(&station, 1, "after a trap");
    for (key, value, code) in
        [("deadline", json!("300ms"), "call.deadline"), ("fuel", json!(20_000_000), "call.out_of_fuel")]
    {
        let mut hangs = opening("the journal hangs");
        hangs[key] = value;
        station.call_with("dossiers", hangs).problem(code);
        assert_stood_in(&station, 1, code);
    }

    assert!(opened(&station.call_with("dossiers", opening("and goes on")), ""));
    assert_stood_in(&station, 2, "at the end");
}

#[test]
fn a_caller_that_fails_after_the_case_file_was_opened_leaves_neither() {
    let station = office_with_a_stand_in();
    let call = |then: &str| json!({"function": "t:unit/desk#open-then", "args": ["a case", then]});
    assert_eq!(station.call_with("unit-desk", call("succeed")).result(), json!({"ok": "LX-000001"}));
    assert_stood_in(&station, 1, "at first");

    assert_eq!(station.call_with("unit-desk", call("refuse")).result(), json!({"err": {"closed": "LX-000002"}}));
    assert_stood_in(&station, 1, "after a refusal");
    station.call_with("unit-desk", call("trap")).problem("call.trap");
    assert_stood_in(&station, 1, "after a trap");
    for (key, value, code) in
        [("deadline", json!("300ms"), "call.deadline"), ("fuel", json!(20_000_000), "call.out_of_fuel")]
    {
        let mut hangs = call("hang");
        hangs[key] = value;
        station.call_with("unit-desk", hangs).problem(code);
        assert_stood_in(&station, 1, code);
    }
    assert_eq!(station.call_with("unit-desk", call("succeed")).result(), json!({"ok": "LX-000002"}));
}

#[test]
fn a_journal_that_goes_away_keeps_the_case_files_closed() {
    let station = started();
    station.deploy_all(&["unit-journal", "dossiers"]);
    station.cli(&["rm", "unit-journal"]).ok();
    station.call_with("dossiers", opening("nobody writes it down")).problem("call.not_ready");
    station.deploy_all(&["unit-journal"]);
    assert_stood_in(&station, 0, "when it is back");
}
