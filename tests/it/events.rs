//! Events: told by a call that succeeds, and by any call where they must be known.
//!
//! `events-runner` and `events-caller` do what a script says, from left to right.

use crate::crash::{disk, syncs_of_a_start};
use crate::gateway::{record, route_to};
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::http::Answer;
use station_testkit::{Harm, How, Of, Station};

const RUNNER: &str = "events-runner";
const CALLER: &str = "events-caller";

/// Both modules, and the runner behind the gateway.
fn pair(station: Station) -> Station {
    station.deploy_all(&[RUNNER, CALLER]);
    route_to(&station, RUNNER, &json!({"path": "/"}));
    station
}

fn list(station: &Station, query: &str) -> Vec<Value> {
    station.get(&format!("/v1/events{query}"))["events"].as_array().expect("events").clone()
}

/// The topics of all events, in order.
fn topics(station: &Station) -> Vec<String> {
    list(station, "?after=0&limit=1000")
        .iter()
        .map(|event| event["topic"].as_str().expect("a topic").to_owned())
        .collect()
}

#[track_caller]
fn both(station: &Station, mine: &str, theirs: &str, then: &str) -> Value {
    station.call_json(CALLER, "t:events/call#both", json!([mine, theirs, then])).result()
}

fn act(script: &str) -> Value {
    json!({"function": "t:events/act#act", "args": [script]})
}

#[track_caller]
fn get(station: &Station, path: &str) -> Answer {
    station.gateway("GET", path).send()
}

#[test]
fn events_commit_with_the_tree_of_their_call_and_vanish_with_it() {
    let mut station = pair(started());
    assert_eq!(both(&station, "publish=a.one", "publish=b.one/row", ""), json!({"ok": "ok"}));
    assert_eq!(topics(&station), ["a.one", "b.one"]);
    assert_eq!(both(&station, "publish=a.two", "publish=b.two/row/refuse", ""), json!({"ok": "refused"}));
    assert_eq!(both(&station, "publish=a.three", "publish=b.three/row/trap", ""), json!({"ok": "call.trap"}));
    assert_eq!(topics(&station), ["a.one", "b.one", "a.two", "a.three"], "what a callee that failed has said is gone");
    assert_eq!(both(&station, "publish=a.four", "publish=b.four/row", "refuse"), json!({"err": "as the script says"}));
    assert_eq!(topics(&station).len(), 4);
    let rows = station.get(&format!("/v1/tables?module={RUNNER}"))["tables"][0]["rows"].clone();
    assert_eq!(rows, 1, "rows and events are of one mind");
    let answer = get(&station, "/publish=c.one/row/answer=500");
    assert_eq!(answer.status, 500);
    assert_eq!(get(&station, "/publish=c.two/row/answer=404").status, 404);
    assert_eq!(topics(&station)[4..], ["c.two"]);
    station.kill();
    station.start();
    assert_eq!(topics(&station), ["a.one", "b.one", "a.two", "a.three", "c.two"]);
    let first = &list(&station, "?after=0&limit=1")[0];
    let said = (first["offset"].as_u64(), first["module"].as_str(), first["key"].as_str(), first["text"].as_str());
    assert_eq!(said, (Some(1), Some(CALLER), Some("k"), Some("a.one")), "{first:#}");
}

#[test]
fn what_must_be_known_is_told_however_the_call_ends() {
    let config = "limits: { fuel: 9_000_000_000_000, deadline: 30s }";
    let mut station = pair(station().config(config).start());
    let ends = ["refuse", "trap", "spin"];
    for (end, code) in ends.into_iter().zip(["", "call.trap", "call.deadline"]) {
        let mut body = act(&format!("row/publish=lost/always=known.{end}/{end}"));
        body["deadline"] = json!("300ms");
        let run = station.call_with(RUNNER, body);
        match code {
            "" => drop(run.result()),
            code => drop(run.problem(code)),
        }
    }
    let mut poor = act("row/always=known.poor/spin");
    poor["fuel"] = json!(20_000_000);
    station.call_with(RUNNER, poor).problem("call.out_of_fuel");
    assert_eq!(topics(&station), ["known.refuse", "known.trap", "known.spin", "known.poor"]);
    assert_eq!(both(&station, "", "always=deep/trap", ""), json!({"ok": "call.trap"}));
    assert_eq!(both(&station, "", "always=deeper", "always=mine/refuse"), json!({"err": "as the script says"}));
    assert_eq!(topics(&station)[4..], ["deep", "deeper", "mine"]);
    station.kill();
    station.start();
    assert_eq!(topics(&station).len(), 7, "what was answered is on the disk");
    station.call_with(RUNNER, act("row/always=with.it")).result();
    assert_eq!(topics(&station)[7..], ["with.it"]);
}

#[test]
fn a_refused_login_is_known_before_its_answer_leaves() {
    let station = pair(started());
    for (path, status) in [("/always=refused/answer=401", 401), ("/always=broken/answer=503", 503)] {
        let answer = get(&station, path);
        assert_eq!((answer.status, answer.complete), (status, true));
        let unit = &record(&station, answer.header("station-call").unwrap())["unit"];
        assert_eq!(unit["always"], 1, "{unit:#}");
    }
    assert_eq!(topics(&station), ["refused", "broken"]);
    let answer = get(&station, "/row/always=both/answer=200");
    assert_eq!((answer.status, topics(&station)[2..].to_vec()), (200, vec!["both".to_owned()]));
    let late = get(&station, "/answer=200/flush/always=late");
    assert!(late.status == 500 || !late.complete, "it comes too late, and nobody takes that for an answer");
    let code = &record(&station, late.header("station-call").unwrap())["outcome"];
    assert_eq!(code, "unit.response_started");
    assert_eq!(topics(&station).len(), 3);
}

/// The first sync after a start is that of the log's new head, within the commit of what must be known; the second is the
/// one that its answer waits for. Without either nobody may hear that the login was refused.
#[test]
fn without_a_flush_of_what_must_be_known_there_is_no_answer() {
    for (after, status, code) in [(1, 503, "station.read_only"), (2, 500, "station.internal")] {
        let mut station = pair(started());
        get(&station, "/always=first/answer=401");
        station.kill();
        let at = syncs_of_a_start(&mut station) + after;
        station.set_disk(Some(disk().harming(Harm { at, of: Of::Syncs, how: How::Io, on: true })));
        station.start();
        get(&station, "/always=second/answer=401").problem(status, code);
    }
}

#[test]
fn a_component_is_told_what_it_may_not_publish() {
    let station = pair(started());
    let refused = |script: &str| station.call_with(RUNNER, act(script)).result()["err"]["refused"].to_string();
    assert!(refused("publish=No Topic").contains("a topic is words"));
    assert!(refused("big=1025").contains("payload-bytes"));
    assert!(refused("hoard=257").contains("events-always"));
    assert_eq!(topics(&station).len(), 256, "what was published always is known although the call refused");
    station.call_with(RUNNER, act("big=1024")).result();
    station.cli(&["revoke", RUNNER, "station:events/publisher@0.1.0"]).ok();
    assert_eq!(station.state(RUNNER), "waiting", "publishing needs a grant");
}

#[test]
fn the_operator_reads_events_and_forgets_old_ones() {
    let station = pair(started());
    for topic in ["a", "b", "c"] {
        station.call_with(RUNNER, act(&format!("publish={topic}"))).result();
    }
    both(&station, "publish=d", "", "");
    let shown = station.text(&["events", "tail"]).stdout;
    assert!(shown.contains("events-runner a \"k\" a\n") && shown.contains("events-caller d"), "{shown}");
    assert_eq!(list(&station, "?limit=2").len(), 2);
    assert_eq!(list(&station, "?limit=1")[0]["topic"], "d", "the last ones");
    assert_eq!(list(&station, &format!("?module={CALLER}")).len(), 1);
    assert_eq!(list(&station, "?topic=b")[0]["offset"], 2);
    station.cli(&["events", "prune", "--through", "2"]).ok();
    assert_eq!(topics(&station), ["c", "d"]);
    let audit = station.get("/v1/audit");
    assert_eq!(audit["entries"][0]["action"], "events.prune", "{audit:#}");
    let page = station.cli(&["events", "tail", "--after", "3"]).json();
    assert_eq!(page["events"][0]["offset"], 4, "{page:#}");
}

/// Another module's SQL does not reach them.
#[test]
fn no_module_reaches_events_by_sql() {
    let station = pair(started());
    station.deploy("sql-runner");
    station.call_with(RUNNER, act("publish=secret")).result();
    for sql in ["SELECT * FROM events", "DELETE FROM events", "UPDATE events SET topic = 'x'"] {
        let asked = json!({"function": "t:sql/run#execute", "args": [sql, []]});
        let answer = station.call_with("sql-runner", asked).result();
        assert!(answer["err"]["sql"].is_object(), "{sql}: {answer}");
    }
    assert_eq!(topics(&station), ["secret"]);
}
