//! What happens when a module fails: to itself, to its caller, to its neighbours, and what the operator finds.

use crate::text::{API, RUN, exporting, relaying};
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::{Station, component, until};
use std::time::{Duration, Instant};

const CALLEE: &str = "fixture:fail/callee#";
const CALLER: &str = "fixture:fail/caller#";

/// A station with `fail-callee` and `fail-caller`.
fn failing() -> Station {
    let station = started();
    station.deploy_all(&["fail-callee", "fail-caller"]);
    station
}

/// What `fail-caller` says about a call whose failure reaches it as a value.
#[track_caller]
fn value(station: &Station, function: &str, args: &str) -> String {
    let run = station.call("fail-caller", &format!("{CALLER}{function}"), args);
    run.result().as_str().expect("words").to_owned()
}

/// The problem of a call whose failure ends the caller, too.
#[track_caller]
fn plain(station: &Station, function: &str, args: &str, code: &str) -> Value {
    station.call("fail-caller", &format!("{CALLER}{function}"), args).problem(code)
}

/// `module#function: outcome` of each frame.
pub(crate) fn frames(call: &Value) -> Vec<String> {
    let text = |frame: &Value, name: &str| frame[name].as_str().unwrap().to_owned();
    let line = |frame| format!("{}#{}: {}", text(frame, "module"), text(frame, "function"), text(frame, "outcome"));
    call["frames"].as_array().expect("frames").iter().map(line).collect()
}

/// The line of a fixture's source that contains this text after a line with the other text.
fn line_of(fixture: &str, after: &str, text: &str) -> u64 {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-modules/fixtures").join(fixture);
    let source = std::fs::read_to_string(path.join("src/lib.rs")).expect("the fixture's source");
    let mut lines = source.lines().enumerate().skip_while(|(_, line)| !line.contains(after));
    lines.find(|(_, line)| line.contains(text)).expect("the text is in the source").0 as u64 + 1
}

#[test]
fn a_failure_of_the_callee_is_a_value_to_a_caller_that_can_take_it_and_the_caller_lives_on() {
    let mut station = failing();
    for function in ["value-trap", "value-panic", "value-divide-by-zero", "value-bad-pointer", "value-case-trap"] {
        assert_eq!(value(&station, function, "()"), "err(call.trap, retryable: false) alive: 2", "{function}");
    }
    assert_eq!(value(&station, "value-bad-index", "(7)"), "err(call.trap, retryable: false) alive: 2");
    assert_eq!(value(&station, "value-bad-index", "(1)"), "ok(2) alive: 2");
    assert_eq!(value(&station, "value-recurse-forever", "()"), "err(call.stack_overflow, retryable: false) alive: 2");
    assert_eq!(value(&station, "value-exit", "(0)"), "err(call.exit, retryable: false) alive: 2");
    assert_eq!(value(&station, "value-exit", "(3)"), "err(call.exit, retryable: false) alive: 2");
    assert_eq!(value(&station, "value-ok", "(5)"), "ok(5) alive: 2");
    assert_eq!(value(&station, "value-case-ok", "(5)"), "ok(5) alive: 2");
    station.is_alive();
}

#[test]
fn after_a_trap_the_same_caller_reaches_a_new_instance_of_the_callee() {
    let station = failing();
    let answer = value(&station, "value-trap-then-ok", "(7)");
    assert_eq!(answer, "err(call.trap, retryable: false) alive: 2; ok(7) alive: 4");
}

#[test]
fn an_error_that_the_callee_chose_is_no_failure_of_the_call() {
    let station = failing();
    assert_eq!(value(&station, "value-case-refuse", "()"), "err(refused: no) alive: 2");
    let answer = station.call("fail-callee", &format!("{CALLEE}case-refuse"), "()").ok();
    assert_eq!(answer["result"], json!({"err": {"refused": "no"}}));
    assert_eq!(frames(&answer["call"]), ["fail-callee#case-refuse: ok"]);
}

#[test]
fn without_a_place_for_it_the_failure_ends_the_caller_too_and_the_frames_are_root_first() {
    let mut station = failing();
    let cases = [
        ("trap", "()", "call.trap"),
        ("panic", "()", "call.trap"),
        ("divide-by-zero", "()", "call.trap"),
        ("bad-index", "(3)", "call.trap"),
        ("bad-pointer", "()", "call.trap"),
        ("recurse-forever", "()", "call.stack_overflow"),
        ("exit", "(0)", "call.exit"),
        ("exit", "(1)", "call.exit"),
    ];
    for (function, args, code) in cases {
        let problem = plain(&station, &format!("plain-{function}"), args, code);
        let expect = [format!("fail-caller#plain-{function}: {code}"), format!("fail-callee#{function}: {code}")];
        assert_eq!(frames(&problem["call"]), expect);
        assert_eq!(problem["status"], 500);
        assert_eq!(problem["retryable"], false);
    }
    assert_eq!(station.call("fail-caller", &format!("{CALLER}plain-ok"), "(4)").result(), json!(4));
    station.is_alive();
}

#[test]
fn the_trace_of_a_trap_names_file_and_line_of_the_guest() {
    let station = failing();
    let problem = plain(&station, "plain-trap", "()", "call.trap");
    let id = problem["call"]["id"].as_str().unwrap();
    let record = station.get(&format!("/v1/calls/{id}"));
    assert_eq!(frames(&record), ["fail-caller#plain-trap: call.trap", "fail-callee#trap: call.trap"]);
    assert_eq!(record["failure"]["code"], "call.trap");
    let places = record["frames"][1]["at"].as_array().expect("places");
    let line = line_of("fail-callee", "fn trap()", "unreachable()");
    let found = places.iter().any(|at| {
        at["file"].as_str().is_some_and(|file| file.ends_with("fail-callee/src/lib.rs")) && at["line"] == line
    });
    assert!(found, "no place is at line {line} of fail-callee: {places:#?}");

    let text = station.text(&["trace", id]);
    assert_eq!(text.code, 0, "{text:#?}");
    let place = format!("fail-callee/src/lib.rs:{line}");
    assert!(text.stdout.contains(&place) && text.stdout.contains("fail-caller"), "{}", text.stdout);
    assert_eq!(station.cli(&["trace", id]).ok()["id"], id);
    station.cli(&["trace", "call-00000000000000000000000000000000"]).problem("admin.not_found");
}

#[test]
fn the_last_calls_can_be_listed_and_the_failed_ones_alone() {
    let station = failing();
    station.call("fail-caller", &format!("{CALLER}plain-ok"), "(1)").ok();
    plain(&station, "plain-trap", "()", "call.trap");
    station.call("fail-callee", &format!("{CALLEE}ok"), "(1)").ok();
    let outcomes = |list: Value| -> Vec<String> {
        let calls = list["calls"].as_array().expect("calls").clone();
        calls
            .iter()
            .map(|call| format!("{} {}", call["module"].as_str().unwrap(), call["outcome"].as_str().unwrap()))
            .collect()
    };
    let all = ["fail-callee ok", "fail-caller call.trap", "fail-caller ok"];
    assert_eq!(outcomes(station.get("/v1/calls")), all);
    assert_eq!(outcomes(station.cli(&["trace"]).ok()), all);
    assert_eq!(outcomes(station.cli(&["trace", "--failed"]).ok()), ["fail-caller call.trap"]);
    assert_eq!(outcomes(station.cli(&["trace", "--limit", "1"]).ok()), ["fail-callee ok"]);
    let first = &station.get("/v1/calls")["calls"][0];
    assert!(first["principal"].as_str().unwrap().starts_with("admin:"), "{first:#}");
}

#[test]
fn the_caller_learns_the_id_of_the_call_and_nothing_of_the_callees_message() {
    let station = failing();
    let answer = station.call("fail-caller", &format!("{CALLER}failed-call-id"), "()").ok();
    assert_eq!(answer["result"], answer["call"]["id"]);
    // What the callee wrote when it panicked is in its own log, and not in the caller's.
    assert!(!value(&station, "value-panic", "()").contains("on purpose"));
    let log = |module: &str| station.get(&format!("/v1/modules/{module}/logs")).to_string();
    assert!(log("fail-callee").contains("on purpose"), "{}", log("fail-callee"));
    assert!(!log("fail-caller").contains("on purpose"), "{}", log("fail-caller"));
}

#[test]
fn a_runaway_loop_ends_with_its_fuel_and_takes_its_caller_along() {
    let mut station = failing();
    let problem = plain(&station, "plain-loop-forever", "()", "call.out_of_fuel");
    let expect = ["fail-caller#plain-loop-forever: call.out_of_fuel", "fail-callee#loop-forever: call.out_of_fuel"];
    assert_eq!(frames(&problem["call"]), expect);
    assert_eq!(problem["limit"]["name"], "fuel");
    assert!(problem["call"]["fuel"].as_u64().unwrap() >= 199_000_000, "{problem:#}");
    station.is_alive();
}

#[test]
fn a_callee_with_a_fuel_limit_of_its_own_leaves_the_caller_something_to_go_on_with() {
    let station = failing();
    let limits = station.request("PUT", "/v1/modules/fail-callee/limits").json(&json!({"fuel": 1_000_000})).send();
    assert_eq!(limits.status, 200, "{}", limits.text());
    assert_eq!(value(&station, "value-loop-forever", "()"), "err(call.out_of_fuel, retryable: false) alive: 2");
    assert_eq!(value(&station, "value-case-loop-forever", "()"), "err(call.out_of_fuel, retryable: false) alive: 2");
}

#[test]
fn the_fuel_of_a_call_can_be_limited_and_calling_others_buys_no_more() {
    let station = failing();
    let looping = json!({"function": format!("{CALLER}plain-loop-forever"), "fuel": 3_000_000});
    let problem = station.call_with("fail-caller", looping).problem("call.out_of_fuel");
    assert_eq!(problem["limit"]["value"], 3_000_000);
    let used = problem["call"]["fuel"].as_u64().unwrap();
    assert!((2_000_000..=3_000_000).contains(&used), "{used} of 3,000,000 were used");
    station.cli(&["call", "fail-callee", &format!("{CALLEE}ok"), "(1)", "--fuel", "1"]).problem("call.out_of_fuel");
    assert_eq!(station.cli(&["call", "fail-callee", &format!("{CALLEE}ok"), "(1)", "--fuel", "1_000_000"]).result(), 1);
}

#[test]
fn a_caller_that_cannot_pay_for_an_answer_is_not_asked_to_make_room_for_it() {
    let giving = "probe:probe/giving@0.1.0";
    // A byte costs a thirty-second of a unit from memory to memory and ten units as a value. The first list can be paid
    // for, the second cannot.
    for (lane, bytes, little, enough) in [("raw", 1 << 20, 50_000, 1_000_000), ("dynamic", 1 << 14, 250_000, 1_000_000)]
    {
        let list = format!(
            r#"(memory (export "memory") 17)
            (func (export "run") (result i32) (i32.store (i32.const 4) (i32.const {bytes})) (i32.const 0))"#
        );
        let station = station().config(&format!("engine: {{ lane: {lane} }}")).start();
        let giver = exporting(giving, "(result (list u8))", &list, r#"(memory (core memory $i "memory"))"#);
        station.upload("giver", &giver).ok();
        station.upload("taker", &taking_with_room_for_one(giving)).ok();
        let take = |fuel: u64| station.call_with("taker", json!({"function": RUN, "args": [0], "fuel": fuel}));
        let problem = take(little).problem("call.out_of_fuel");
        assert_eq!(frames(&problem["call"]), ["taker#run: call.out_of_fuel"], "{lane}");
        take(enough).problem("call.trap");
    }
}

/// A component that asks for a list of bytes twice, and traps when it is to make room for the second. That one is there
/// before the next tick, which would look at the fuel, too: the tick that the first call takes is over by then.
fn taking_with_room_for_one(from: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
             (import "{from}" (instance $giver (export "run" (func (result (list u8))))))
             (core module $room
               (memory (export "memory") 18)
               (global $taken (mut i32) (i32.const 0))
               (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                 (if (global.get $taken) (then unreachable))
                 (global.set $taken (i32.const 1))
                 (i32.const 1024)))
             (core instance $room (instantiate $room))
             (core func $take (canon lower (func $giver "run")
               (memory (core memory $room "memory")) (realloc (core func $room "realloc"))))
             (core module $m
               (import "giver" "take" (func $take (param i32)))
               (func (export "run") (param i32) (result i32)
                 (call $take (i32.const 0)) (call $take (i32.const 0)) (i32.const 7)))
             (core instance $i (instantiate $m (with "giver" (instance (export "take" (func $take))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $api (export "run" (func $run)))
             (export "{API}" (instance $api)))"#
    ))
}

#[test]
fn memory_is_refused_at_the_limit_of_the_module() {
    let mut station = failing();
    let grown = |station: &Station| {
        let run = station.call("fail-callee", &format!("{CALLEE}grow-memory"), "()");
        run.result().as_u64().expect("MiB")
    };
    assert!((40..64).contains(&grown(&station)), "{} MiB of 64", grown(&station));
    let limits = json!({"memory_bytes": 16 << 20});
    assert_eq!(station.request("PUT", "/v1/modules/fail-callee/limits").json(&limits).send().status, 200);
    assert!((4..16).contains(&grown(&station)), "{} MiB of 16", grown(&station));
    assert!(value(&station, "value-grow-memory", "()").starts_with("ok("));
    station.is_alive();
}

#[test]
fn a_call_that_sleeps_ends_at_its_deadline() {
    let station = started();
    station.deploy("time-sleep");
    let sleep = "fixture:time-sleep/time#sleep";
    assert!(station.call("time-sleep", sleep, "(20)").result().as_u64().unwrap() >= 20);
    let start = Instant::now();
    let run = station.cli(&["call", "time-sleep", sleep, "(60000)", "--deadline", "300ms"]);
    let problem = run.problem("call.deadline");
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    assert_eq!(problem["status"], 504);
    assert_eq!(problem["retryable"], true);
    assert!(problem["call"]["duration_us"].as_u64().unwrap() >= 300_000, "{problem:#}");
    // The station's own limit holds for a call that asks for more.
    let patch = json!({"deadline_ms": 200});
    assert_eq!(station.request("PUT", "/v1/modules/time-sleep/limits").json(&patch).send().status, 200);
    let body = json!({"function": sleep, "wave": "(60000)", "deadline": "1m"});
    station.call_with("time-sleep", body).problem("call.deadline");
}

#[test]
fn a_loop_that_has_fuel_enough_ends_at_its_deadline_too() {
    let station = crate::station().config("limits: { fuel: 9_000_000_000_000 }").start();
    station.deploy("fail-callee");
    let start = Instant::now();
    let body = json!({"function": format!("{CALLEE}loop-forever"), "wave": "()", "deadline": "300ms"});
    station.call_with("fail-callee", body).problem("call.deadline");
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn neighbours_are_served_while_modules_loop() {
    let mut station = crate::station().config("limits: { fuel: 9_000_000_000_000, deadline: 3s }").start();
    station.deploy_all(&["fail-callee", "plain-echo"]);
    std::thread::scope(|scope| {
        let looping = || station.call("fail-callee", &format!("{CALLEE}loop-forever"), "()").problem("call.deadline");
        let loops: Vec<_> = (0..4).map(|_| scope.spawn(looping)).collect();
        for n in 0..20 {
            let echoed = station.call("plain-echo", "fixture:plain/echo#echo-u8", &format!("({n})"));
            assert_eq!(echoed.result(), json!(n));
        }
        assert!(loops.iter().any(|one| !one.is_finished()), "the loops were over before the neighbour was called");
    });
    station.is_alive();
}

#[test]
fn the_metrics_count_calls_and_failures_by_module() {
    let station = failing();
    plain(&station, "plain-trap", "()", "call.trap");
    let callee = until("the counts", || {
        let shown = station.show("fail-callee");
        (shown["failures"] == 1).then_some(shown)
    });
    assert_eq!(callee["calls"], 1, "{callee:#}");
    let metrics = station.request("GET", "/metrics").send().text();
    assert!(metrics.contains("fail-callee"), "{metrics}");
}

/// A component that waits for so many nanoseconds in the host and then traps.
fn waits_and_traps(ns: u64) -> Vec<u8> {
    component(&format!(
        r#"(component
             (import "wasi:io/poll@0.2.0" (instance $poll
               (export "pollable" (type $p (sub resource)))
               (export "[method]pollable.block" (func (param "self" (borrow $p))))))
             (alias export $poll "pollable" (type $pollable))
             (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
               (alias outer 1 $pollable (type $outer))
               (export "pollable" (type $p (eq $outer)))
               (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
             (core func $after (canon lower (func $clock "subscribe-duration")))
             (core func $block (canon lower (func $poll "[method]pollable.block")))
             (core module $m
               (import "host" "after" (func $after (param i64) (result i32)))
               (import "host" "block" (func $block (param i32)))
               (func (export "run") (param i32) (result i32)
                 (call $block (call $after (i64.const {ns})))
                 unreachable))
             (core instance $i (instantiate $m (with "host" (instance
               (export "after" (func $after)) (export "block" (func $block))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $api (export "run" (func $run)))
             (export "{API}" (instance $api)))"#
    ))
}

/// After a failure a call is charged for the time that it took, but not for time in which it used no processor.
#[test]
fn a_callee_that_waits_and_fails_costs_its_caller_little() {
    let mut station = started();
    station.upload("sleeper", &waits_and_traps(1_000_000_000)).ok();
    station.upload("relay", &relaying(API)).ok();
    let start = Instant::now();
    let call = station.call("relay", "probe:probe/relay#run", "(0)").problem("call.trap")["call"].clone();
    assert!(start.elapsed() >= Duration::from_secs(1), "it did not wait");
    // A second is worth 400 million, so without the exception all of the 200 million that were lent would be gone.
    let fuel = call["fuel"].as_u64().unwrap();
    assert!(fuel < 100_000_000, "waiting was charged: {call:#}");
    assert_eq!(frames(&call), ["relay#run: call.trap", "sleeper#run: call.trap"]);
    station.is_alive();
}
