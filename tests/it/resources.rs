//! Handles that cross modules: `resource-counter` owns them, `resource-user` uses them, `resource-third` gets them from
//! a module that does not own them.

use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::{Station, component};

const OWNER: &str = "fixture:res/counters@1.0.0";

/// A station for each lane, with the three.
fn in_each_lane(check: impl Fn(&mut Station)) {
    for lane in ["raw", "dynamic"] {
        let mut station = station().config(&format!("engine: {{ lane: {lane} }}")).start();
        station.deploy_all(&["resource-user", "resource-third", "resource-counter"]);
        check(&mut station);
        station.is_alive();
    }
}

/// Calls a function of `resource-user` and expects this result.
#[track_caller]
fn check(station: &Station, function: &str, args: &str, expect: Value) {
    let run = station.call("resource-user", &format!("fixture:res/users#{function}"), args);
    assert_eq!(run.result(), expect, "{function}{args}");
}

#[test]
fn constructors_methods_and_statics_reach_the_owner() {
    in_each_lane(|station| {
        check(station, "run-methods", "(10)", json!(15));
        check(station, "run-merge", "(3, 4)", json!(7));
    });
}

#[test]
fn handles_are_lent_and_given_away_alone_and_in_lists() {
    in_each_lane(|station| {
        check(station, "run-borrow", "(5)", json!(15));
        check(station, "run-borrow-list", "(4)", json!(6));
        check(station, "run-borrow-list", "(0)", json!(0));
        check(station, "run-own", "(9)", json!(9));
        check(station, "run-make", "(4)", json!(5));
        check(station, "run-list", "(3)", json!(6));
        check(station, "run-list", "(1000)", json!(500_500));
    });
}

#[test]
fn handles_travel_inside_records_options_and_results() {
    in_each_lane(|station| {
        check(station, "run-record", r#"("box", 4)"#, json!("box 5"));
        check(station, "run-option", "(4)", json!(4));
        check(station, "run-option", "(5)", json!(null));
        check(station, "run-result", "(7)", json!({"ok": 7}));
        check(station, "run-result", "(101)", json!({"err": "101 is above 100"}));
    });
}

#[test]
fn dropping_a_handle_runs_the_owners_destructor() {
    in_each_lane(|station| {
        check(station, "run-drop", "(5)", json!(5));
        check(station, "run-drop", "(0)", json!(0));
    });
}

#[test]
fn a_third_module_uses_keeps_and_gives_back_a_handle_that_it_did_not_make() {
    in_each_lane(|station| {
        check(station, "run-third", "(5)", json!(11));
        check(station, "run-third-keeps", "(5)", json!(6));
    });
}

#[test]
fn handles_that_are_left_open_end_with_the_call() {
    in_each_lane(|station| {
        for _ in 0..20 {
            check(station, "run-leak", "(500)", json!(500));
        }
        check(station, "run-methods", "(1)", json!(6));
    });
}

#[test]
fn too_many_handles_end_the_call_with_its_limit() {
    in_each_lane(|station| {
        let run = station.call("resource-user", "fixture:res/users#run-leak", "(1000000)");
        let problem = run.json();
        let code = problem["code"].as_str().unwrap_or_else(|| panic!("it has no limit: {problem}"));
        assert!(["call.resource_limit", "call.memory_limit", "call.out_of_fuel"].contains(&code), "{problem:#}");
        let run = station.call("resource-user", "fixture:res/users#run-leak", "(20000)");
        run.problem("call.resource_limit");
        check(station, "run-methods", "(1)", json!(6));
    });
}

#[test]
fn a_handle_does_not_survive_its_owners_end() {
    in_each_lane(|station| {
        let run = station.call("resource-user", "fixture:res/users#run-after-trap", "()");
        let problem = run.problem("call.trap");
        let culprit = problem["call"]["frames"].as_array().unwrap().last().unwrap();
        assert_eq!(culprit["module"], "resource-counter");
        check(station, "run-methods", "(1)", json!(6));
    });
}

#[test]
fn functions_with_handles_cannot_be_called_from_outside() {
    in_each_lane(|station| {
        for (function, args) in [("make", "(1)"), ("peek", "(1)"), ("[method]counter.value", "(1)")] {
            let run = station.call("resource-counter", &format!("{OWNER}#{function}"), args);
            assert_eq!(run.problem("call.bad_argument")["status"], 422, "{function}");
        }
        assert_eq!(station.call("resource-counter", &format!("{OWNER}#dropped"), "()").result(), json!(0));
    });
}

#[test]
fn a_forged_handle_is_an_error_of_the_forger() {
    in_each_lane(|station| {
        let forger = component(&format!(
            r#"(component
                 (import "{OWNER}" (instance $api
                   (export "counter" (type $counter (sub resource)))
                   (export "[method]counter.value" (func (param "self" (borrow $counter)) (result u32)))
                   (export "consume" (func (param "c" (own $counter)) (result u32)))))
                 (alias export $api "[method]counter.value" (func $value))
                 (alias export $api "consume" (func $consume))
                 (core func $value' (canon lower (func $value)))
                 (core func $consume' (canon lower (func $consume)))
                 (core module $m
                   (import "api" "value" (func $value (param i32) (result i32)))
                   (import "api" "consume" (func $consume (param i32) (result i32)))
                   (func (export "lend") (param i32) (result i32) (call $value (local.get 0)))
                   (func (export "give") (param i32) (result i32) (call $consume (local.get 0))))
                 (core instance $i (instantiate $m
                   (with "api" (instance (export "value" (func $value')) (export "consume" (func $consume'))))))
                 (func (export "lend") (param "n" u32) (result u32) (canon lift (core func $i "lend")))
                 (func (export "give") (param "n" u32) (result u32) (canon lift (core func $i "give"))))"#
        ));
        assert_eq!(station.upload("forger", &forger).ok()["state"], "ready");
        for function in ["lend", "give"] {
            for handle in [0, 1, 2, 77, u32::MAX] {
                let problem = station.call("forger", function, &format!("({handle})")).json();
                let code = problem["code"].as_str().unwrap_or_else(|| panic!("{function}({handle}) worked: {problem}"));
                assert!(["call.trap", "call.abi"].contains(&code), "{function}({handle}): {problem:#}");
            }
        }
        check(station, "run-methods", "(1)", json!(6));
    });
}

#[test]
fn a_handle_of_one_provider_cannot_be_given_to_another() {
    let station = started();
    station.deploy("resource-counter");
    station.deploy("resource-third");
    assert_eq!(station.state("resource-third"), "ready");
    station.deploy_as("resource-counter", "counter2");
    // The user would give counters of `counter2` to `resource-third`, which knows those of `resource-counter`.
    let run =
        station.deploy_with("resource-user", "resource-user", &["--grant-all", "--link", &format!("{OWNER}=counter2")]);
    let problem = run.problem("link.type_mismatch");
    assert!(problem["detail"].as_str().unwrap().contains("counter"), "{problem:#}");
    let run = station.deploy_with(
        "resource-user",
        "resource-user",
        &["--grant-all", "--link", &format!("{OWNER}=resource-counter")],
    );
    assert_eq!(run.ok()["state"], "ready");
    check(&station, "run-third", "(5)", json!(11));
}

#[test]
fn a_method_whose_owner_is_on_the_stack_cannot_be_entered_again() {
    let mut station = started();
    station.deploy_all(&["reenter-start", "reenter-back", "reenter-owner"]);
    let call = |function: &str| station.call("reenter-start", &format!("fixture:reenter/start#{function}"), "()");
    assert_eq!(call("run-value").result(), json!("call.reentered"));
    assert_eq!(call("run-allowed").result(), json!(7));
    for function in ["run-plain", "run-drop"] {
        let problem = call(function).problem("call.reentered");
        let modules: Vec<_> =
            problem["call"]["frames"].as_array().unwrap().iter().map(|f| f["module"].clone()).collect();
        assert_eq!(modules[..3], ["reenter-start", "reenter-owner", "reenter-back"], "{function}: {problem:#}");
    }
    station.is_alive();
}

/// A module that owns things: `die` ends its instance in a way that its caller survives.
fn mortal() -> Vec<u8> {
    component(
        r#"(component
             (type $thing' (resource (rep i32)))
             (core func $new (canon resource.new $thing'))
             (core module $m
               (import "host" "new" (func $new (param i32) (result i32)))
               (memory (export "memory") 1)
               (func (export "make") (result i32) (call $new (i32.const 5)))
               (func (export "value") (param i32) (result i32) (local.get 0))
               (func (export "die") (result i32) unreachable)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
             (core instance $i (instantiate $m (with "host" (instance (export "new" (func $new))))))
             (func $make (result (own $thing')) (canon lift (core func $i "make")))
             (func $value (param "self" (borrow $thing')) (result u32) (canon lift (core func $i "value")))
             (type $call-error' (record (field "code" string) (field "retryable" bool) (field "call-id" string)))
             (func $die (result (result (error $call-error')))
               (canon lift (core func $i "die") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
             (component $shim
               (import "thing" (type $thing (sub resource)))
               (import "make" (func $make (result (own $thing))))
               (import "value" (func $value (param "self" (borrow $thing)) (result u32)))
               (type $error' (record (field "code" string) (field "retryable" bool) (field "call-id" string)))
               (import "call-error" (type $error (eq $error')))
               (import "die" (func $die (result (result (error $error)))))
               (export $thing2 "thing" (type $thing))
               (export $error2 "call-error" (type $error))
               (export "[static]thing.make" (func $make) (func (result (own $thing2))))
               (export "[method]thing.value" (func $value) (func (param "self" (borrow $thing2)) (result u32)))
               (export "die" (func $die) (func (result (result (error $error2))))))
             (instance $api (instantiate $shim
               (with "thing" (type $thing')) (with "make" (func $make)) (with "value" (func $value))
               (with "call-error" (type $call-error')) (with "die" (func $die))))
             (export "probe:mortal/api@0.1.0" (instance $api)))"#,
    )
}

/// A module that makes a thing, lets its owner die, and uses the thing.
fn mourner() -> Vec<u8> {
    component(
        r#"(component
             (import "probe:mortal/api@0.1.0" (instance $api
               (export "thing" (type $thing (sub resource)))
               (type $error' (record (field "code" string) (field "retryable" bool) (field "call-id" string)))
               (export "call-error" (type $error (eq $error')))
               (export "[static]thing.make" (func (result (own $thing))))
               (export "[method]thing.value" (func (param "self" (borrow $thing)) (result u32)))
               (export "die" (func (result (result (error $error)))))))
             (alias export $api "[static]thing.make" (func $make'))
             (alias export $api "[method]thing.value" (func $value'))
             (alias export $api "die" (func $die'))
             (core module $libc (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
             (core instance $libc (instantiate $libc))
             (core func $make (canon lower (func $make')))
             (core func $value (canon lower (func $value')))
             (core func $die (canon lower (func $die')
               (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
             (core module $m
               (import "api" "make" (func $make (result i32)))
               (import "api" "value" (func $value (param i32) (result i32)))
               (import "api" "die" (func $die (param i32)))
               (func (export "alive") (result i32) (call $value (call $make)))
               (func (export "gone") (result i32) (local i32)
                 (local.set 0 (call $make)) (call $die (i32.const 8)) (call $value (local.get 0)))
               (func (export "anew") (result i32) (call $die (i32.const 8)) (call $value (call $make))))
             (core instance $i (instantiate $m (with "api" (instance
               (export "make" (func $make)) (export "value" (func $value)) (export "die" (func $die))))))
             (func (export "alive") (result u32) (canon lift (core func $i "alive")))
             (func (export "gone") (result u32) (canon lift (core func $i "gone")))
             (func (export "anew") (result u32) (canon lift (core func $i "anew"))))"#,
    )
}

#[test]
fn a_handle_whose_owner_died_in_the_tree_is_gone_and_a_new_one_works() {
    let mut station = started();
    station.upload("mortal", &mortal()).ok();
    assert_eq!(station.upload("mourner", &mourner()).ok()["state"], "ready");
    assert_eq!(station.call("mourner", "alive", "()").result(), json!(5));
    assert_eq!(station.call("mourner", "anew", "()").result(), json!(5));
    let problem = station.call("mourner", "gone", "()").problem("call.resource_gone");
    assert_eq!(problem["call"]["frames"][0]["module"], "mourner", "{problem:#}");
    station.is_alive();
}
