//! How long an instance lives where the operator says `instances: { mode: reused }`, and that a kept one is in nobody's
//! way.

use crate::station;
use crate::text::{API, RUN, answering, probe, relaying};
use serde_json::json;
use station_testkit::Station;

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
