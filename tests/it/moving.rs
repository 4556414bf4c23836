//! What moving values from one module to another costs, what bounds it, and that nothing wrong arrives.

use crate::failures::frames;
use crate::station;
use crate::text::{RUN, exporting};
use serde_json::json;
use station_testkit::{Run, Station, component};

const MIB: u64 = 1 << 20;
/// Bytes in one direction of one call, and all bytes of one tree.
const CALL_BYTES_MAX: u64 = 64 * MIB;
const TREE_BYTES_MAX: u64 = 1024 * MIB;
const RICH: &str = "limits: { fuel: 9_000_000_000_000, memory: 256MiB, deadline: 60s }";
const TAKING: &str = "probe:probe/taking@0.1.0";

/// `payload-source` and `payload-sink`, with more of everything than they need.
fn rich(lane: &str) -> Station {
    let station = station().config(&format!("{RICH}\nengine: {{ lane: {lane} }}")).start();
    station.deploy_all(&["payload-sink", "payload-source"]);
    station
}

/// Has the source send so many bytes so often.
fn send(station: &Station, bytes: u64, times: u64) -> Run {
    station.call_json("payload-source", "fixture:payload/source#send", json!([bytes, times]))
}

#[test]
fn arguments_cost_the_caller_fuel_by_their_size() {
    let mib_fuel = |lane: &str| {
        let station = rich(lane);
        let fuel = |bytes, times| send(&station, bytes, times).ok()["call"]["fuel"].as_u64().unwrap();
        // One more call of the same size, so that what the source does only once is left out.
        let call = |bytes| fuel(bytes, 2) - fuel(bytes, 1);
        call(MIB) - call(1)
    };
    // A unit of fuel moves 32 bytes from memory to memory, and a tenth of a byte as a value. What the sink itself uses to
    // make room differs a little.
    let (raw, dynamic) = (mib_fuel("raw"), mib_fuel("dynamic"));
    assert!((MIB / 33..MIB / 31).contains(&raw), "{raw}");
    assert!(dynamic > 9 * MIB, "{dynamic}");
}

#[test]
fn one_call_moves_only_so_many_bytes() {
    let mut station = rich("raw");
    assert_eq!(send(&station, CALL_BYTES_MAX - 100, 1).result(), json!(CALL_BYTES_MAX - 100));
    limited(&send(&station, CALL_BYTES_MAX + 1, 1), "call_bytes_max", CALL_BYTES_MAX);
    station.is_alive();
}

#[test]
fn one_tree_moves_only_so_many_bytes() {
    let mut station = rich("raw");
    assert_eq!(send(&station, MIB, 1_000).result(), json!(1_000 * MIB));
    limited(&send(&station, MIB, 1_030), "bytes_max", TREE_BYTES_MAX);
    station.is_alive();
}

#[track_caller]
fn limited(run: &Run, name: &str, value: u64) {
    let problem = run.problem("call.resource_limit");
    assert_eq!((&problem["limit"]["name"], &problem["limit"]["value"]), (&json!(name), &json!(value)), "{problem:#}");
}

/// Takes a text and answers 7, if it is called.
fn taker() -> Vec<u8> {
    let items = r#"(memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "run") (param i32 i32) (result i32) (i32.const 7))"#;
    let options = r#"(memory (core memory $i "memory")) (realloc (core func $i "realloc"))"#;
    exporting(TAKING, r#"(param "text" string) (result u32)"#, items, options)
}

/// Hands over the text that these two numbers say, of a memory with an `a`, then a byte that is no text, then an `a`.
fn giver(pointer: &str, len: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
             (import "{TAKING}" (instance $taker (export "run" (func (param "text" string) (result u32)))))
             (alias export $taker "run" (func $imported))
             (core module $memory (memory (export "memory") 1) (data (i32.const 16) "a\ffa"))
             (core instance $memory (instantiate $memory))
             (core func $lowered (canon lower (func $imported) (memory (core memory $memory "memory"))))
             (core module $m
               (import "taker" "run" (func $run (param i32 i32) (result i32)))
               (func (export "run") (param i32) (result i32) (call $run (i32.const {pointer}) (i32.const {len}))))
             (core instance $i (instantiate $m (with "taker" (instance (export "run" (func $lowered))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $api (export "run" (func $run)))
             (export "probe:probe/api@0.1.0" (instance $api)))"#
    ))
}

#[test]
fn an_argument_that_is_wrong_is_the_callers_fault_and_never_arrives() {
    for lane in ["raw", "dynamic"] {
        let mut station = station().config(&format!("engine: {{ lane: {lane} }}")).start();
        station.upload("taker", &taker()).ok();
        let call = |pointer: &str, len: &str| {
            station.upload("giver", &giver(pointer, len)).ok();
            station.call("giver", RUN, "(0)")
        };
        let good = call("16", "1").ok();
        assert_eq!(good["result"], json!(7), "{lane}");
        assert_eq!(frames(&good["call"]), ["giver#run: ok", "taker#run: ok"], "{lane}");
        for (what, pointer, len) in [
            ("no text", "16", "3"),
            ("beyond the memory", "65530", "7"),
            ("far beyond the memory", "-8", "1"),
            ("longer than an address", "16", "-1"),
        ] {
            let problem = call(pointer, len).problem("call.abi");
            assert_eq!(frames(&problem["call"]), ["giver#run: call.abi"], "{lane}: {what}");
        }
        station.is_alive();
    }
}

/// The interface of a module that owns things: `all` takes them, `some` takes options of them, each in lists of lists.
const THINGS: &str = "probe:probe/things@0.1.0";

fn things() -> Vec<u8> {
    component(&format!(
        r#"(component
             (type $thing (resource (rep i32)))
             (core module $m
               (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
               (func (export "take") (param i32 i32) (result i32) (i32.const 7)))
             (core instance $i (instantiate $m))
             (func $all (param "of" (list (list (borrow $thing)))) (result u32)
               (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
             (func $some (param "of" (list (list (option (borrow $thing))))) (result u32)
               (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
             (component $shim
               (import "thing" (type $thing (sub resource)))
               (import "all" (func $all (param "of" (list (list (borrow $thing)))) (result u32)))
               (import "some" (func $some (param "of" (list (list (option (borrow $thing))))) (result u32)))
               (export $named "thing" (type $thing))
               (export "all" (func $all) (func (param "of" (list (list (borrow $named)))) (result u32)))
               (export "some" (func $some)
                 (func (param "of" (list (list (option (borrow $named))))) (result u32))))
             (instance $api (instantiate $shim
               (with "thing" (type $thing)) (with "all" (func $all)) (with "some" (func $some))))
             (export "{THINGS}" (instance $api)))"#
    ))
}

/// Hands over an outer list of `outer` lists, all of them the same `inner` places of a memory of zeros.
fn hoarder() -> Vec<u8> {
    component(&format!(
        r#"(component
             (import "{THINGS}" (instance $things
               (export "thing" (type $thing (sub resource)))
               (export "all" (func (param "of" (list (list (borrow $thing)))) (result u32)))
               (export "some" (func (param "of" (list (list (option (borrow $thing))))) (result u32)))))
             (alias export $things "all" (func $all))
             (alias export $things "some" (func $some))
             (core module $memory (memory (export "memory") 2))
             (core instance $memory (instantiate $memory))
             (core func $all' (canon lower (func $all) (memory (core memory $memory "memory"))))
             (core func $some' (canon lower (func $some) (memory (core memory $memory "memory"))))
             (core module $m
               (import "memory" "memory" (memory 2))
               (import "things" "all" (func $all (param i32 i32) (result i32)))
               (import "things" "some" (func $some (param i32 i32) (result i32)))
               (func $fill (param $outer i32) (param $inner i32) (local $at i32)
                 (loop $next
                   (i32.store (local.get $at) (i32.const 65536))
                   (i32.store offset=4 (local.get $at) (local.get $inner))
                   (local.set $at (i32.add (local.get $at) (i32.const 8)))
                   (br_if $next (i32.lt_u (local.get $at) (i32.mul (local.get $outer) (i32.const 8))))))
               (func (export "all") (param $outer i32) (param $inner i32) (result i32)
                 (call $fill (local.get $outer) (local.get $inner))
                 (call $all (i32.const 0) (local.get $outer)))
               (func (export "some") (param $outer i32) (param $inner i32) (result i32)
                 (call $fill (local.get $outer) (local.get $inner))
                 (call $some (i32.const 0) (local.get $outer))))
             (core instance $i (instantiate $m
               (with "memory" (instance $memory))
               (with "things" (instance (export "all" (func $all')) (export "some" (func $some'))))))
             (func (export "all") (param "outer" u32) (param "inner" u32) (result u32)
               (canon lift (core func $i "all")))
             (func (export "some") (param "outer" u32) (param "inner" u32) (result u32)
               (canon lift (core func $i "some"))))"#
    ))
}

/// In a page of memory there is room for millions of handles, if the same ones count again and again. Looking for them must
/// neither take the memory nor the time that they would.
#[test]
fn lists_that_overlap_hand_over_only_so_many_handles_and_places_for_them() {
    for lane in ["raw", "dynamic"] {
        let mut station = station().config(&format!("engine: {{ lane: {lane} }}")).start();
        station.upload("things", &things()).ok();
        station.upload("hoarder", &hoarder()).ok();
        assert_eq!(station.state("hoarder"), "ready", "{:#}", station.show("hoarder"));
        let call =
            |function: &str, outer: u32, inner: u32| station.call("hoarder", function, &format!("({outer}, {inner})"));
        // Zero is no handle, so a list that is looked through ends as a mistake; one without a handle is good.
        call("all", 10, 10).problem("call.abi");
        assert_eq!(call("some", 100, 100).result(), json!(7), "{lane}");
        let (handles, places) = (call("all", 8_000, 16_000), call("some", 8_000, 8_000));
        if lane == "raw" {
            assert_eq!(call("some", 100, 8_000).result(), json!(7));
            limited(&handles, "handles_max", 10_000);
            limited(&places, "handle_places_max", 1 << 20);
        } else {
            // Here each handle is taken as it is found, the first of them is none, and what has none is a value.
            handles.problem("call.abi");
            places.problem("call.resource_limit");
        }
        assert!(peak_mib(&station) < 500, "{lane}: {} MiB", peak_mib(&station));
        station.is_alive();
    }
}

/// The most memory that the station ever had.
fn peak_mib(station: &Station) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", station.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
