//! Every type of WIT, through an isolated module and back.
//!
//! `plain-relay` forwards every value to `plain-echo`: what comes back went from text into one module, from there by
//! the broker into another, and the same way back. A wrong answer names the type.

use crate::started;
use serde_json::{Value, json};
use station_testkit::Station;

const RELAY: &str = "fixture:plain/relay#";

fn relay() -> Station {
    let station = started();
    station.deploy_all(&["plain-echo", "plain-relay"]);
    station
}

/// Sends a JSON value and expects another one back.
#[track_caller]
fn check(station: &Station, function: &str, value: Value, expect: Value) {
    let run = station.call_json("plain-relay", &format!("{RELAY}{function}"), json!([value]));
    assert_eq!(run.result(), expect, "{function}({value})");
}

/// Sends JSON values and expects the same ones back.
#[track_caller]
fn same(station: &Station, function: &str, values: &[Value]) {
    values.iter().for_each(|value| check(station, function, value.clone(), value.clone()));
}

/// Sends WAVE and expects JSON back.
#[track_caller]
fn wave(station: &Station, function: &str, args: &str, expect: Value) {
    let run = station.call("plain-relay", &format!("{RELAY}{function}"), args);
    assert_eq!(run.result(), expect, "{function}{args}");
}

#[test]
fn whole_numbers_keep_every_bit() {
    let station = relay();
    same(&station, "echo-bool", &[json!(true), json!(false)]);
    same(&station, "echo-u8", &[json!(0), json!(u8::MAX)]);
    same(&station, "echo-s8", &[json!(i8::MIN), json!(-1), json!(i8::MAX)]);
    same(&station, "echo-u16", &[json!(0), json!(u16::MAX)]);
    same(&station, "echo-s16", &[json!(i16::MIN), json!(i16::MAX)]);
    same(&station, "echo-u32", &[json!(0), json!(u32::MAX)]);
    same(&station, "echo-s32", &[json!(i32::MIN), json!(i32::MAX)]);
    same(&station, "echo-u64", &[json!(0), json!(9_007_199_254_740_991_u64)]);
    same(&station, "echo-s64", &[json!(-9_007_199_254_740_991_i64), json!(9_007_199_254_740_991_i64)]);
    wave(&station, "echo-bool", "(true)", json!(true));
    wave(&station, "echo-s8", "(-128)", json!(-128));
    wave(&station, "echo-u16", "(65535)", json!(65535));
}

#[test]
fn numbers_beyond_two_to_the_53_are_strings_and_both_are_accepted() {
    let station = relay();
    same(&station, "echo-u64", &[json!("18446744073709551615"), json!("9007199254740992")]);
    same(&station, "echo-s64", &[json!("-9223372036854775808"), json!("9223372036854775807")]);
    check(&station, "echo-u64", json!(u64::MAX), json!("18446744073709551615"));
    check(&station, "echo-u64", json!("7"), json!(7));
    check(&station, "echo-s64", json!(i64::MIN), json!("-9223372036854775808"));
    wave(&station, "echo-u64", "(18446744073709551615)", json!("18446744073709551615"));
    wave(&station, "echo-s64", "(-9223372036854775808)", json!("-9223372036854775808"));
}

#[test]
fn floats_keep_their_value_and_the_special_ones_have_names() {
    let station = relay();
    same(&station, "echo-f64", &[json!(0.1), json!(-1.5e300), json!(5e-324), json!(f64::MAX)]);
    same(&station, "echo-f32", &[json!(0.5), json!(-2.25)]);
    for function in ["echo-f32", "echo-f64"] {
        same(&station, function, &[json!("NaN"), json!("Infinity"), json!("-Infinity")]);
        wave(&station, function, "(nan)", json!("NaN"));
        wave(&station, function, "(inf)", json!("Infinity"));
        wave(&station, function, "(-inf)", json!("-Infinity"));
    }
    wave(&station, "echo-f64", "(0.1)", json!(0.1));
}

#[test]
fn characters_and_strings_keep_every_code_point() {
    let station = relay();
    same(&station, "echo-char", &[json!("a"), json!("é"), json!("\u{10FFFF}"), json!("\u{0}")]);
    same(&station, "echo-string", &[json!(""), json!("naïve ☃ 🦀 \" \\ \n \u{0} end")]);
    check(&station, "echo-string", json!("x".repeat(100_000)), json!("x".repeat(100_000)));
    wave(&station, "echo-char", "('☃')", json!("☃"));
    wave(&station, "echo-string", r#"("a \"quoted\" \u{1F980}")"#, json!("a \"quoted\" 🦀"));
}

#[test]
fn lists_of_anything_keep_their_order() {
    let station = relay();
    same(&station, "echo-bytes", &[json!([]), json!([0, 1, 255])]);
    same(&station, "echo-strings", &[json!([]), json!(["", "b", "a"])]);
    same(&station, "echo-matrix", &[json!([[], [1], [2, 3]])]);
    same(&station, "echo-points", &[json!([{"x": -1, "y": 2}, {"x": 3, "y": -4}])]);
    same(&station, "echo-options", &[json!([null, "a", null, ""])]);
    same(&station, "echo-flags-list", &[json!([[], ["read"], ["read", "exec"]])]);
    let line = json!({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}, "label": "l"});
    same(&station, "echo-lines", &[json!([line, {"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}, "label": null}])]);
    same(&station, "echo-shapes", &[json!(["empty", {"dot": 7}, {"circle": 0.5}, {"named": "n"}])]);
    wave(&station, "echo-matrix", "([[], [1], [2, 3]])", json!([[], [1], [2, 3]]));
    wave(&station, "echo-options", r#"([none, some("a")])"#, json!([null, "a"]));
}

#[test]
fn records_and_tuples_nest() {
    let station = relay();
    same(&station, "echo-point", &[json!({"x": i32::MIN, "y": i32::MAX})]);
    same(&station, "echo-line", &[json!({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}, "label": "l"})]);
    same(&station, "echo-pair", &[json!([255, "p"])]);
    same(&station, "echo-triple", &[json!([-5, 0.25, [1, 2]])]);
    wave(&station, "echo-point", "({x: -1, y: 2})", json!({"x": -1, "y": 2}));
    let line = json!({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}, "label": null});
    wave(&station, "echo-line", "({start: {x: 1, y: 2}, end: {x: 3, y: 4}})", line.clone());
    check(&station, "echo-line", json!({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}}), line);
    wave(&station, "echo-pair", r#"((255, "p"))"#, json!([255, "p"]));
}

#[test]
fn every_case_of_a_variant_keeps_its_payload() {
    let station = relay();
    let segment = json!({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}, "label": "s"});
    let shapes = [
        json!("empty"),
        json!({"circle": 2.5}),
        json!({"dot": 255}),
        json!({"polygon": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}),
        json!({"named": "name"}),
        json!({"segment": segment}),
        json!({"tinted": ["blue", 0.5]}),
    ];
    same(&station, "echo-shape", &shapes);
    check(&station, "echo-shape", json!({"tag": "dot", "val": 7}), json!({"dot": 7}));
    check(&station, "echo-shape", json!({"empty": null}), json!("empty"));
    same(&station, "echo-colour", &[json!("red"), json!("green"), json!("blue")]);
    wave(&station, "echo-shape", "(tinted((green, 1.5)))", json!({"tinted": ["green", 1.5]}));
    wave(&station, "echo-shape", "(empty)", json!("empty"));
    wave(&station, "echo-colour", "(blue)", json!("blue"));
}

#[test]
fn options_tell_none_from_some_none() {
    let station = relay();
    same(&station, "echo-option", &[json!(null), json!(0)]);
    same(&station, "echo-option-string", &[json!(null), json!("")]);
    same(&station, "echo-option-option", &[json!(null), json!({"some": null}), json!({"some": 7})]);
    wave(&station, "echo-option-option", "(none)", json!(null));
    wave(&station, "echo-option-option", "(some(none))", json!({"some": null}));
    wave(&station, "echo-option-option", "(some(some(7)))", json!({"some": 7}));
}

#[test]
fn results_of_every_shape_say_ok_or_err() {
    let station = relay();
    same(&station, "echo-result", &[json!({"ok": 1}), json!({"err": "why"})]);
    same(&station, "echo-result-ok", &[json!({"ok": 1}), json!({"err": null})]);
    same(&station, "echo-result-err", &[json!({"ok": null}), json!({"err": "why"})]);
    same(&station, "echo-result-bare", &[json!({"ok": null}), json!({"err": null})]);
    let line = json!({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}, "label": null});
    same(&station, "echo-result-deep", &[json!({"ok": [line]}), json!({"err": {"polygon": [{"x": 1, "y": 2}]}})]);
    wave(&station, "echo-result", "(ok(1))", json!({"ok": 1}));
    wave(&station, "echo-result-bare", "(err)", json!({"err": null}));
}

#[test]
fn flags_of_one_two_and_four_bytes_keep_every_bit() {
    let station = relay();
    let names = |letter: &str, n: usize| (0..n).map(|at| format!("{letter}{at}")).collect::<Vec<_>>();
    same(&station, "echo-few", &[json!([]), json!(["read", "write", "exec"])]);
    same(&station, "echo-several", &[json!([]), json!(["m11"]), json!(names("m", 12))]);
    same(&station, "echo-many", &[json!([]), json!(["f0", "f31"]), json!(names("f", 32))]);
    check(&station, "echo-few", json!({"read": true, "write": false}), json!(["read"]));
    check(&station, "echo-few", json!(["exec", "read"]), json!(["read", "exec"]));
    wave(&station, "echo-many", "({f31, f8})", json!(["f8", "f31"]));
    wave(&station, "echo-few", "({})", json!([]));
}

/// A value of `wide`, whose fields are also the parameters of `spilled`.
fn wide() -> Value {
    json!({
        "a": 255, "b": -128, "c": 65535, "d": -32768, "e": u32::MAX, "f": i32::MIN, "g": "18446744073709551615",
        "h": "-9223372036854775808", "i": 0.5, "j": 0.1, "k": "☃", "l": true, "m": "text", "n": [1, 65535],
        "o": {"x": -1, "y": 1}, "p": "green", "q": 7
    })
}

#[test]
fn a_wide_record_and_seventeen_parameters_are_spilled_to_memory_and_arrive() {
    let station = relay();
    same(&station, "echo-wide", &[wide()]);
    let args: Vec<Value> = wide().as_object().unwrap().values().cloned().collect();
    assert_eq!(args.len(), 17);
    let run = station.call_json("plain-relay", &format!("{RELAY}spilled"), json!(args));
    assert_eq!(run.result(), wide());
}

#[test]
fn a_function_without_anything_answers_null() {
    let station = relay();
    let nothing = format!("{RELAY}nothing");
    assert_eq!(station.call("plain-relay", &nothing, "()").result(), json!(null));
    assert_eq!(station.call_json("plain-relay", &nothing, json!([])).result(), json!(null));
    assert_eq!(station.call_with("plain-relay", json!({ "function": nothing })).result(), json!(null));
}

#[test]
fn a_wrong_argument_is_refused_with_its_place() {
    let station = relay();
    let refused = |function: &str, args: Value, place: &str| {
        let run = station.call_json("plain-relay", &format!("{RELAY}{function}"), args.clone());
        let problem = run.problem("call.bad_argument");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(place), "{function} {args}: {detail:?} does not name {place:?}");
    };
    refused("echo-u8", json!([256]), "at /0: ");
    refused("echo-u8", json!([-1]), "at /0: ");
    refused("echo-u8", json!([1.5]), "at /0: ");
    refused("echo-bool", json!([1]), "at /0: ");
    refused("echo-char", json!(["ab"]), "at /0: ");
    refused("echo-string", json!([7]), "at /0: ");
    refused("echo-colour", json!(["purple"]), "purple");
    refused("echo-few", json!([["read", "fly"]]), "fly");
    refused("echo-point", json!([{"x": 1}]), "y");
    refused("echo-point", json!([{"x": 1, "y": 2, "zz": 3}]), "zz");
    refused("echo-matrix", json!([[[1], [2, "x"]]]), "at /0/1/1: ");
    refused("echo-line", json!([{"start": {"x": 1, "y": "no"}, "end": {"x": 1, "y": 1}}]), "at /0/start/y: ");
    refused("echo-shape", json!([{"round": 1}]), "round");
    refused("echo-result", json!([{"maybe": 1}]), "maybe");
    refused("echo-u8", json!([]), "0 arguments");
    refused("echo-u8", json!([1, 2]), "2 arguments");
}

#[test]
fn wrong_wave_is_refused_with_its_place() {
    let station = relay();
    let refused = |args: &str, place: &str| {
        let problem = station.call("plain-relay", &format!("{RELAY}echo-point"), args).problem("call.bad_argument");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(place), "{args}: {detail:?} does not name {place:?}");
    };
    refused("({x: 1, y: oops})", "11..15");
    refused("({x: 1, y: 2}", "13..13");
    refused("(1, 2, 3)", "value: record");
    refused("", "value: record");
}

#[test]
fn a_function_that_is_not_there_is_told_with_those_that_are() {
    let station = relay();
    let problem = station.call("plain-relay", &format!("{RELAY}echo-u128"), "(1)").problem("call.no_such_function");
    assert!(problem["detail"].as_str().unwrap().contains("echo-u128"), "{problem:#}");
    station.call("plain-relay", "fixture:plain/relay@9.9.9#nothing", "()").problem("call.no_such_function");
    station.call("plain-relay", "nothing", "()").problem("call.no_such_function");
    station.call("plain-rely", &format!("{RELAY}nothing"), "()").problem("call.no_such_module");
    assert_eq!(station.call("plain-relay", "fixture:plain/relay@1.0.0#echo-u8", "(3)").result(), json!(3));
}

#[test]
fn the_command_line_takes_wave_json_and_files() {
    let station = relay();
    let point = format!("{RELAY}echo-point");
    let expect = json!({"x": 1, "y": -2});
    assert_eq!(station.cli(&["call", "plain-relay", &point, "({x: 1, y: -2})"]).result(), expect);
    assert_eq!(station.cli(&["call", "plain-relay", &point, r#"[{"x":1,"y":-2}]"#, "--args-json"]).result(), expect);
    let file = station.folder().join("args.json");
    std::fs::write(&file, r#"[{"x": 1, "y": -2}]"#).unwrap();
    let from_file = format!("@{}", file.display());
    assert_eq!(station.cli(&["call", "plain-relay", &point, &from_file, "--args-json"]).result(), expect);
    let answer = station.cli(&["call", "plain-relay", &point, "({x: 1, y: -2})"]).ok();
    let call = &answer["call"];
    assert!(call["fuel"].as_u64().unwrap() > 0 && call["duration_us"].as_u64().unwrap() > 0, "{call:#}");
    let modules: Vec<_> = call["frames"].as_array().unwrap().iter().map(|frame| &frame["module"]).collect();
    assert_eq!(modules, ["plain-relay", "plain-echo"]);
    station.cli(&["call", "plain-relay", &point, "[1", "--args-json"]);
    assert_eq!(station.cli(&["call", "plain-relay", &point, "nonsense"]).problem("call.bad_argument")["status"], 422);
}

#[test]
fn many_bytes_and_many_calls_cross_in_one_tree() {
    let station = started();
    station.deploy_all(&["payload-sink", "payload-source"]);
    let source = |function: &str, args: &str| {
        station.call("payload-source", &format!("fixture:payload/source#{function}"), args).result()
    };
    assert_eq!(source("send", "(1000000, 3)"), json!(3_000_000));
    assert_eq!(source("round", "(100000, 3)"), json!(300_000));
    assert_eq!(source("send", "(0, 2)"), json!(0));
    assert!(source("loop-add", "(1000)").as_u64().is_some());
    let made = station.call("payload-sink", "fixture:payload/sink#make", "(10000)").result();
    assert_eq!(made.as_array().unwrap().len(), 10_000);
}
