//! A module whose `realloc` calls an import, which the component model forbids: the engine ends it there, and nobody is
//! called. Of the two modules of a call it is the one whose `realloc` it was that fails.

use crate::failures::frames;
use crate::station;
use crate::text::{RUN, exporting};
use serde_json::json;
use station_testkit::{Station, component};

const GIVING: &str = "probe:probe/giving@0.1.0";
const GROUND: &str = "probe:probe/ground@0.1.0";

/// An import of the host's own, and one that another module serves.
const DOORS: [(&str, &str); 2] = [("wasi:clocks/monotonic-clock@0.2.0", "now"), (GROUND, "run")];

const CALL_ERROR: &str = r#"(record (field "code" string) (field "retryable" bool) (field "call-id" string))"#;

/// What the function between the two modules answers with: a text, or a `result` of it that has a place for a failure.
#[derive(Clone, Copy)]
enum Answer {
    Text,
    Result,
}

impl Answer {
    /// Its type, where the error has this name.
    fn ty(self, error: &str) -> String {
        match self {
            Self::Text => "string".to_owned(),
            Self::Result => format!("(result string (error {error}))"),
        }
    }

    /// Where it begins in memory, so that pointer and length of the text are at 20.
    fn at(self) -> u32 {
        match self {
            Self::Text => 20,
            Self::Result => 16,
        }
    }
}

/// A memory and its `realloc`, which first calls the import, once in the life of the instance.
fn memory(door: Option<(&str, &str)>) -> String {
    let (mut import, mut with, mut core, mut leave) = (String::new(), "", "", "");
    if let Some((interface, function)) = door {
        import = format!(
            r#"(import "{interface}" (instance $door (export "{function}" (func (result u64)))))
            (core func $leave (canon lower (func $door "{function}")))"#
        );
        with = r#"(with "door" (instance (export "leave" (func $leave))))"#;
        core = r#"(import "door" "leave" (func $leave (result i64)))"#;
        leave = "(if (i32.eqz (global.get $left)) (then (global.set $left (i32.const 1)) (drop (call $leave))))";
    }
    format!(
        r#"{import}
        (core module $mem
            {core}
            (memory (export "memory") 1)
            (global $left (mut i32) (i32.const 0))
            (global $top (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                {leave}
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3)))))
        (core instance $mem (instantiate $mem {with}))
        (alias core export $mem "memory" (core memory $memory))
        (alias core export $mem "realloc" (core func $realloc))"#
    )
}

/// A component that answers with the text that it is given.
fn giver(answer: Answer, door: Option<(&str, &str)>) -> Vec<u8> {
    let (memory, at) = (memory(door), answer.at());
    let (inside, imported, exported) = (answer.ty("$e"), answer.ty("$imported"), answer.ty("$exported"));
    component(&format!(
        r#"(component
             {memory}
             (core module $m
               (import "mem" "memory" (memory 1))
               (func (export "run") (param $at i32) (param $len i32) (result i32)
                 (i32.store (i32.const 20) (local.get $at))
                 (i32.store (i32.const 24) (local.get $len))
                 (i32.const {at})))
             (core instance $i (instantiate $m (with "mem" (instance $mem))))
             (type $e {CALL_ERROR})
             (func $run (param "text" string) (result {inside})
               (canon lift (core func $i "run") (memory $memory) (realloc $realloc)))
             (component $api
               (type $e {CALL_ERROR})
               (import "call-error" (type $imported (eq $e)))
               (import "run" (func $run (param "text" string) (result {imported})))
               (export $exported "call-error" (type $imported))
               (export "run" (func $run) (func (param "text" string) (result {exported}))))
             (instance $api (instantiate $api (with "call-error" (type $e)) (with "run" (func $run))))
             (export "{GIVING}" (instance $api)))"#
    ))
}

/// A component that asks the giver twice, and answers with the length of both texts together. That of an error is that of
/// its code, and a thousand more.
fn taker(answer: Answer, door: Option<(&str, &str)>) -> Vec<u8> {
    let (memory, at, ty) = (memory(door), answer.at(), answer.ty("$error"));
    component(&format!(
        r#"(component
             (import "{GIVING}" (instance $giving
               (type $e {CALL_ERROR})
               (export "call-error" (type $error (eq $e)))
               (export "run" (func (param "text" string) (result {ty})))))
             {memory}
             (core func $give (canon lower (func $giving "run") (memory $memory) (realloc $realloc)))
             (core module $m
               (import "mem" "memory" (memory 1))
               (import "giving" "give" (func $give (param i32 i32 i32)))
               (data (i32.const 8) "hello")
               (func $once (result i32)
                 (call $give (i32.const 8) (i32.const 5) (i32.const {at}))
                 (i32.add (i32.load (i32.const 24)) (i32.mul (i32.load8_u (i32.const 16)) (i32.const 1000))))
               (func (export "run") (param i32) (result i32) (i32.add (call $once) (call $once))))
             (core instance $i (instantiate $m
               (with "mem" (instance $mem))
               (with "giving" (instance (export "give" (func $give))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $api (export "run" (func $run)))
             (export "probe:probe/api@0.1.0" (instance $api)))"#
    ))
}

/// A station for each lane, with what a `realloc` must not reach.
fn in_each_lane(check: impl Fn(&Station)) {
    for lane in ["raw", "dynamic"] {
        let mut station = station().config(&format!("engine: {{ lane: {lane} }}")).start();
        let ground = r#"(func (export "run") (result i64) (i64.const 1))"#;
        station.upload("ground", &exporting(GROUND, "(result u64)", ground, "")).ok();
        check(&station);
        station.is_alive();
    }
}

fn deploy(station: &Station, giver: &[u8], taker: &[u8]) {
    station.upload("giver", giver).ok();
    station.upload("taker", taker).ok();
}

#[test]
fn a_callee_whose_realloc_calls_an_import_fails_and_a_caller_that_can_take_it_lives_on() {
    in_each_lane(|station| {
        for door in DOORS {
            deploy(station, &giver(Answer::Result, Some(door)), &taker(Answer::Result, None));
            let answer = station.call("taker", RUN, "(0)").ok();
            // "call.abi", twice: the second call reached another instance, whose realloc did it again.
            assert_eq!(answer["result"], json!(2 * (1000 + 8)), "{door:?}");
            let expect = ["taker#run: ok", "giver#run: call.abi", "giver#run: call.abi"];
            assert_eq!(frames(&answer["call"]), expect, "{door:?}");
        }
    });
}

#[test]
fn a_callee_whose_realloc_calls_an_import_ends_a_caller_that_has_no_place_for_a_failure() {
    in_each_lane(|station| {
        for door in DOORS {
            deploy(station, &giver(Answer::Text, Some(door)), &taker(Answer::Text, None));
            let problem = station.call("taker", RUN, "(0)").problem("call.abi");
            assert_eq!(frames(&problem["call"]), ["taker#run: call.abi", "giver#run: call.abi"], "{door:?}");
        }
    });
}

#[test]
fn a_caller_whose_realloc_calls_an_import_ends_though_its_callee_has_answered() {
    for answer in [Answer::Result, Answer::Text] {
        in_each_lane(|station| {
            for door in DOORS {
                deploy(station, &giver(answer, None), &taker(answer, Some(door)));
                let problem = station.call("taker", RUN, "(0)").problem("call.abi");
                // The stack down to the one that failed: the giver is not on it.
                assert_eq!(frames(&problem["call"]), ["taker#run: call.abi"], "{door:?}");
            }
            deploy(station, &giver(answer, None), &taker(answer, None));
            assert_eq!(station.call("taker", RUN, "(0)").result(), json!(2 * 5));
        });
    }
}
