//! How long an instance lives where the operator says `instances: { mode: reused }`, spares where not, and that an idle
//! one is in nobody's way.

use crate::station;
use crate::text::{API, RUN, answering, probe, relaying};
use serde_json::json;
use station_testkit::{Station, component, until};

/// A component whose `run` answers how often it was called with 0, and traps for any other number.
fn counting() -> Vec<u8> {
    probe(
        r#"(global $count (mut i32) (i32.const 0))
           (func (export "run") (param i32) (result i32)
             (if (local.get 0) (then unreachable))
             (global.set $count (i32.add (global.get $count) (i32.const 1)))
             (global.get $count))"#,
    )
}

/// A station with counting modules of these names, whose instances are reused; `more` are further keys of each.
fn keeping(engine: &str, names: &[&str], more: &str) -> Station {
    let module = |name: &&str| format!("  {name}:\n    instances: {{ mode: reused }}\n    {more}\n");
    let modules: String = names.iter().map(module).collect();
    let station = station().config(&format!("engine: {{ {engine} }}\nmodules:\n{modules}")).start();
    names.iter().for_each(|name| drop(station.upload(name, &counting()).ok()));
    station
}

#[track_caller]
fn counts(station: &Station, module: &str, count: u32, why: &str) {
    assert_eq!(station.call(module, RUN, "(0)").result(), json!(count), "{why}");
}

#[test]
fn memory_lives_on_where_the_operator_lets_instances_be_reused() {
    let source = station_testkit::guest("state-counter").display().to_string();
    let yaml = format!(
        "modules:\n  state-counter:\n    source: {source:?}\n    instances: {{ mode: reused, calls-max: 3, idle-max: 60s }}"
    );
    let station = station().config(&yaml).start();
    let bump = || station.call("state-counter", "fixture:state/counter#bump", "()").result();
    assert_eq!([bump(), bump(), bump(), bump()], [1, 2, 3, 1].map(|n| json!(n)), "an instance serves three calls");
}

#[test]
fn a_trap_ends_an_instance_that_would_be_reused() {
    let mut station = keeping("", &["count"], "");
    counts(&station, "count", 1, "the first call");
    counts(&station, "count", 2, "it is kept");
    station.call("count", RUN, "(1)").problem("call.trap");
    counts(&station, "count", 1, "one that trapped is not kept");
    station.is_alive();
}

#[test]
fn a_tree_that_fails_keeps_none_of_its_instances() {
    let station = keeping("", &["count", "relay"], "");
    station.upload("relay", &relaying(API)).ok();
    let relay = |n: u32| station.call("relay", "probe:probe/relay#run", &format!("({n})"));
    assert_eq!([relay(0).result(), relay(0).result()], [json!(1), json!(2)], "a nested instance is kept as well");
    relay(1).problem("call.trap");
    assert_eq!(relay(0).result(), json!(1));
}

#[test]
fn a_kept_instance_of_the_revision_before_takes_no_place_of_the_new_one() {
    let station = keeping("", &["count"], "limits: { instances: 1 }");
    counts(&station, "count", 1, "the one instance that it may have is kept now");
    station.upload("count", &answering(7)).ok();
    counts(&station, "count", 7, "the new revision has a place");
}

#[test]
fn where_the_engine_is_full_of_kept_instances_the_longest_idle_gives_way() {
    let mut station = keeping("instances: 2", &["one", "two"], "");
    station.upload("fresh", &answering(42)).ok();
    for (module, count) in [("one", 1), ("two", 1), ("one", 2)] {
        counts(&station, module, count, "both are kept");
    }
    counts(&station, "fresh", 42, "there is room for a third module");
    counts(&station, "one", 3, "the one that was used last is still there");
    counts(&station, "two", 1, "the one that was idle longest had to go");
    station.is_alive();
}

/// The instances of a module that exist now, by the metrics.
fn existing(station: &Station, module: &str) -> u64 {
    let metrics = station.request("GET", "/metrics").send().text();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix(&format!("station_instances{{module=\"{module}\"}} ")));
    line.expect("a gauge of the module").parse().unwrap()
}

/// A station where this component is `one` and has room for a single instance: a call that does not get the spare
/// finds no place.
fn with_room_for_one(component: &[u8]) -> Station {
    let station = station().config("modules:\n  one:\n    limits: { instances: 1 }\n").start();
    station.upload("one", component).ok();
    station
}

fn spare(station: &Station) {
    until("a spare", || (existing(station, "one") == 1).then_some(()));
}

#[test]
fn a_spare_is_made_ahead_and_has_never_worked_for_anybody() {
    let station = with_room_for_one(&counting());
    assert_eq!(existing(&station, "one"), 0, "nobody has called it");
    for _ in 0..3 {
        counts(&station, "one", 1, "its memory is as fresh as that of one made for the call");
        spare(&station);
    }
    station.upload("one", &answering(7)).ok();
    counts(&station, "one", 7, "a spare of the revision before is not called, and takes no place");
    spare(&station);
    let limits = station.request("PUT", "/v1/modules/one/limits").json(&json!({"fuel": 1_000_000})).send();
    assert_eq!(limits.status, 200, "{}", limits.text());
    counts(&station, "one", 7, "nor is one with the limits before");
}

/// A component whose start counts so far, and whose `run` answers 7.
fn starting_slowly(rounds: u32) -> Vec<u8> {
    probe(&format!(
        r#"(func $start (local $n i32)
             (loop $again
               (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {rounds})))))
           (start $start)
           (func (export "run") (param i32) (result i32) (i32.const 7))"#
    ))
}

/// While a spare is made, it has the only place that there is.
#[test]
fn calls_that_follow_each_other_closely_find_a_place_each_time() {
    let mut station = with_room_for_one(&counting());
    (0..300).for_each(|_| counts(&station, "one", 1, "the call before has ended"));
    station.upload("one", &starting_slowly(20_000_000)).ok();
    (0..4).for_each(|_| counts(&station, "one", 7, "the spare is worth waiting for"));
    station.is_alive();
}

/// The engine has room for one instance, and it is used by another module in each call. What is thrown away takes longer
/// than the next call takes to come.
#[test]
fn what_is_thrown_away_after_an_answer_keeps_nobody_out_of_a_full_engine() {
    let large = probe(
        r#"(memory 900)
           (func (export "run") (param i32) (result i32) (local $at i32)
             (loop $again
               (i32.store (local.get $at) (i32.const 1))
               (br_if $again
                 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 58982400))))
             (i32.const 1))"#,
    );
    let mut station = station().config("engine: { instances: 1 }\n").start();
    ["one", "two"].iter().for_each(|name| drop(station.upload(name, &large).ok()));
    for _ in 0..10 {
        counts(&station, "one", 1, "there is room for one");
        counts(&station, "two", 1, "and then for the other");
    }
    station.is_alive();
}

#[test]
fn whoever_gets_a_spare_pays_for_its_start() {
    let busy = starting_slowly(100_000);
    let station = with_room_for_one(&busy);
    let fuel = || station.call("one", RUN, "(0)").ok()["call"]["fuel"].as_u64().unwrap();
    let first = fuel();
    assert!(first > 100_000, "{first}");
    for _ in 0..3 {
        spare(&station);
        assert_eq!(fuel(), first);
    }
    let answer = station.call_with("one", json!({"function": RUN, "args": [0], "fuel": first / 2}));
    answer.problem("call.out_of_fuel");
}

#[test]
fn a_module_whose_start_asks_for_its_call_gets_no_spares() {
    let station = station().start();
    station.upload("one", &logging_at_start()).ok();
    for _ in 0..4 {
        let answer = station.call("one", RUN, "(0)").ok();
        let lines = station.cli(&["logs", "one"]).ok()["lines"].clone();
        let told = lines.as_array().unwrap().iter().any(|line| line["call"] == answer["call"]["id"]);
        assert!(told, "the instance that served {answer} started within another call or none: {lines:#}");
    }
    assert_eq!(existing(&station, "one"), 0);
}

/// A component that writes to its log when it starts.
fn logging_at_start() -> Vec<u8> {
    component(&format!(
        r#"(component
             (import "wasi:logging/logging@0.1.0-draft" (instance $logging
               (type $names (enum "trace" "debug" "info" "warn" "error" "critical"))
               (export "level" (type $level (eq $names)))
               (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
             (core module $text (memory (export "memory") 1) (data (i32.const 0) "starting"))
             (core instance $text (instantiate $text))
             (alias core export $text "memory" (core memory $memory))
             (core func $log (canon lower (func $logging "log") (memory $memory)))
             (core module $m
               (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
               (func $start (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)))
               (start $start)
               (func (export "run") (param i32) (result i32) (i32.const 7)))
             (core instance $i (instantiate $m (with "host" (instance (export "log" (func $log))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $api (export "run" (func $run)))
             (export "{API}" (instance $api)))"#
    ))
}
