//! Components made to do harm: each gets its typed code, the station stays the same process, and a good module answers
//! right afterwards. The catalogue is in `docs/threat-model.md`.

use crate::text::{RUN, answer, answering, exporting, probe};
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::{Cache, Run, Station, component, until};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A station with a good module on it.
fn with_good() -> Station {
    let station = started();
    station.upload("good", &answering(42)).ok();
    station
}

/// The postconditions of every case.
#[track_caller]
fn survives(station: &mut Station, what: &str) {
    let good = station.call("good", RUN, "(0)");
    assert_eq!(good.result(), json!(42), "after {what}");
    station.is_alive();
}

/// Uploads it and expects to be refused with one of these codes, which leaves no module.
#[track_caller]
fn refused(station: &mut Station, what: &str, bytes: &[u8], codes: &[&str]) -> Value {
    let run = station.upload("evil", bytes);
    let problem = failed(what, &run, codes);
    station.cli(&["show", "evil"]).problem("admin.not_found");
    survives(station, what);
    problem
}

/// Uploads it, calls its `run`, and expects one of these codes; the same module, repaired, works at once.
#[track_caller]
fn fails(station: &mut Station, what: &str, bytes: &[u8], codes: &[&str]) -> Value {
    let function = "probe:probe/api#run";
    let uploaded = station.upload("evil", bytes);
    assert_eq!(uploaded.code, 0, "{what} was not even accepted: {uploaded:#?}");
    let start = Instant::now();
    let run = station.call_with("evil", json!({ "function": function, "wave": "(1)" }));
    assert!(start.elapsed() < Duration::from_secs(8), "{what} took {:?}", start.elapsed());
    let problem = failed(what, &run, codes);
    survives(station, what);
    station.upload("evil", &answering(1)).ok();
    assert_eq!(station.call("evil", RUN, "(0)").result(), json!(1), "{what}, repaired");
    problem
}

#[track_caller]
fn failed(what: &str, run: &Run, codes: &[&str]) -> Value {
    let problem = run.json();
    let code = problem["code"].as_str().unwrap_or_else(|| panic!("{what} worked: {problem:#}"));
    assert!(codes.contains(&code), "{what}: one of {codes:?} was expected: {problem:#}");
    problem
}

/// A core function `run` with this body.
fn body(instructions: &str) -> String {
    format!(r#"(func (export "run") (param i32) (result i32) {instructions})"#)
}

/// Exports `run` with this result; the core function answers this number.
fn lifted(result: &str, items: &str, number: &str) -> Vec<u8> {
    let items = format!(
        r#"(memory (export "memory") 1) {items} (func (export "run") (param i32) (result i32) (i32.const {number}))"#
    );
    exporting(
        "probe:probe/api@0.1.0",
        &format!(r#"(param "n" u32) (result {result})"#),
        &items,
        r#"(memory (core memory $i "memory"))"#,
    )
}

#[test]
fn what_is_not_a_component_is_refused_by_its_kind() {
    let mut station = with_good();
    let good = answering(1);
    let mut machine_code = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 200];
    machine_code.resize(16, 0);
    machine_code.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    machine_code.resize(48, 0);
    machine_code.extend([2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let own = std::fs::read(env!("CARGO_BIN_EXE_station")).unwrap();
    let cases: [(&str, &[u8], &str); 12] = [
        ("nothing", b"", "upload.truncated"),
        ("half of the first word", b"\0as", "upload.truncated"),
        ("the first word", b"\0asm", "upload.truncated"),
        ("an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "upload.not_wasm"),
        ("a compressed file", b"\x1f\x8b\x08\0\0\0\0\0", "upload.not_wasm"),
        ("a web page", b"<!doctype html><p>hello", "upload.not_wasm"),
        ("a program", &own[..100_000], "upload.not_wasm"),
        ("text", b"(component)", "upload.not_wasm"),
        ("UTF-16", b"\xff\xfe(\0c\0o\0", "upload.not_wasm"),
        ("a core module", &component("(module)"), "upload.not_a_component"),
        ("machine code", &machine_code, "upload.precompiled_refused"),
        ("an unknown version", b"\0asm\x63\0\x01\0", "upload.invalid"),
    ];
    for (what, bytes, code) in cases {
        refused(&mut station, what, bytes, &[code]);
    }
    let mut broken = good.clone();
    for at in (8..good.len()).step_by(7) {
        broken[at] = !good[at];
        let run = station.upload("evil", &broken);
        assert!(run.code == 0 || run.json()["code"].as_str().is_some(), "byte {at}: {run:#?}");
        broken[at] = good[at];
    }
    survives(&mut station, "flipped bytes");
}

#[test]
fn a_component_that_was_cut_off_is_told_as_such() {
    let mut station = with_good();
    let whole = station_testkit::guest_bytes("plain-echo");
    for (what, len) in [("the last byte is missing", whole.len() - 1), ("half is missing", whole.len() / 2)] {
        refused(&mut station, what, &whole[..len], &["upload.truncated"]);
    }
}

#[test]
fn what_does_not_arrive_as_announced_is_refused() {
    let mut station = with_good();
    let bytes = answering(1);
    let put = |query: &str| {
        let request = station.request("PUT", &format!("/v1/modules/evil{query}"));
        request.header("content-type", "application/wasm").body(bytes.clone())
    };
    let exchange = put("").start_claiming(bytes.len() + 10);
    exchange.shut();
    if let Ok(answer) = exchange.answer() {
        assert_eq!(answer.json()["code"], "upload.truncated", "{}", answer.text());
    }
    let zeros = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    put(&format!("?digest={zeros}")).send().problem(400, "upload.digest_mismatch");
    put("?digest=nonsense").send().problem(400, "admin.bad_request");
    put("?unknown=1").send().problem(400, "admin.bad_request");
    station.cli(&["show", "evil"]).problem("admin.not_found");
    let digest = station.upload("same", &bytes).ok()["digest"].as_str().unwrap().to_owned();
    assert_eq!(station.upload_with("evil", &format!("?digest={digest}"), &bytes).code, 0);
    assert_eq!(std::fs::read_dir(station.data().join("uploads")).unwrap().count(), 0, "something was left");
    survives(&mut station, "broken uploads");
}

#[test]
fn a_giant_upload_is_refused_before_it_is_read() {
    let mut station = station().config("upload: { size: 1MiB }").start();
    station.upload("good", &answering(42)).ok();
    let big = vec![0_u8; (1 << 20) + 1];
    station.upload("evil", &big).problem("upload.too_large");
    let request = station.request("PUT", "/v1/modules/evil").header("content-type", "application/wasm").body("\0asm");
    let start = Instant::now();
    let exchange = request.start_claiming(1 << 40);
    exchange.shut();
    let answer = exchange.answer().expect("an answer");
    answer.problem(413, "upload.too_large");
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for the bytes");
    assert_eq!(std::fs::read_dir(station.data().join("uploads")).unwrap().count(), 0, "something was left");
    survives(&mut station, "giant uploads");
}

#[test]
fn structures_beyond_the_caps_are_refused_before_they_are_compiled() {
    let mut station = with_good();
    let nested = |levels: usize| component(&format!("{}{}", "(component ".repeat(levels), ")".repeat(levels)));
    let limit = ["upload.limit"];
    let problem = refused(&mut station, "100 nested components", &nested(100), &limit);
    assert!(problem["limit"]["name"].as_str().is_some(), "{problem:#}");
    let many = |item: &str, n: usize| component(&format!("(component {})", item.repeat(n)));
    refused(&mut station, "20,000 types", &many("(type (list u8))", 20_000), &limit);
    refused(&mut station, "1,000 components", &many("(component)", 1_000), &limit);
    refused(&mut station, "1,000 modules", &many("(core module)", 1_000), &limit);
    let functions = probe(&(answer(1) + &"(func)".repeat(150_000)));
    refused(&mut station, "150,000 functions", &functions, &limit);
    let giant = probe(&(answer(1) + &format!("(func {})", "nop ".repeat(3 << 20))));
    refused(&mut station, "a function of 3 MiB", &giant, &limit);
    let locals = probe(&format!("{} (func (local {}))", answer(1), "i64 ".repeat(40_000)));
    let problem = refused(&mut station, "40,000 locals", &locals, &limit);
    assert_eq!(problem["limit"], json!({"name": "locals_max", "value": 2_000, "used": 40_000}), "{problem:#}");
    let blocks = format!(
        "{} (br_table {} (i32.const 0)) {}",
        "block ".repeat(1_000),
        "0 ".repeat(100_000),
        "end ".repeat(1_000)
    );
    let jumps = probe(&format!("{} (func {blocks})", answer(1)));
    refused(&mut station, "a jump table of 100,000 targets", &jumps, &limit);
    let name = component(&format!(r#"(component (import "{}" (func)))"#, "a".repeat(100_000)));
    refused(&mut station, "a name of 100,000 bytes", &name, &limit);
    let imports: String = (0..12_000).map(|n| format!(r#"(import "f{n}" (func))"#)).collect();
    refused(&mut station, "12,000 imports", &component(&format!("(component {imports})")), &limit);
    let deep = format!("{}u8{}", "(list ".repeat(60), ")".repeat(60));
    let deep = component(&format!(r#"(component (import "a:b/c" (instance (export "f" (func (param "x" {deep}))))))"#));
    refused(&mut station, "a type of 60 levels", &deep, &limit);
}

#[test]
fn instances_that_double_at_each_level_are_refused() {
    let mut station = with_good();
    let mut text = r#"(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))"#.to_owned();
    for level in 1..=6 {
        text =
            format!("(component $c{level} {text} {})", format!("(instance (instantiate $c{}))", level - 1).repeat(8));
    }
    let codes = ["upload.limit", "start.limit"];
    refused(&mut station, "8^6 instances", &component(&text), &codes);
}

#[test]
fn a_memory_beyond_the_limit_is_refused() {
    let mut station = with_good();
    let codes = ["start.limit", "upload.limit"];
    refused(&mut station, "a memory of 65 MiB", &probe(&format!("(memory 1040) {}", answer(1))), &codes);
    refused(&mut station, "a memory of 4 GiB", &probe(&format!("(memory 65536) {}", answer(1))), &codes);
}

#[test]
fn a_table_beyond_the_limit_is_refused() {
    let mut station = with_good();
    let codes = ["start.limit", "upload.limit"];
    refused(&mut station, "a huge table", &probe(&format!("(table 10000000 funcref) {}", answer(1))), &codes);
}

#[test]
fn too_many_memories_and_tables_are_refused() {
    let mut station = with_good();
    let codes = ["start.limit", "upload.limit", "upload.invalid"];
    refused(&mut station, "50 memories", &probe(&format!("{}{}", "(memory 1)".repeat(50), answer(1))), &codes);
    refused(&mut station, "50 tables", &probe(&format!("{}{}", "(table 1 funcref)".repeat(50), answer(1))), &codes);
}

#[test]
fn features_that_are_off_are_refused_by_name() {
    let mut station = with_good();
    let off = ["upload.unsupported_feature"];
    for (what, items) in [
        ("64-bit memory", "(memory i64 1)"),
        ("shared memory", "(memory 1 1 shared)"),
        ("garbage collection", "(type (struct (field i32)))"),
        ("exceptions", "(tag (param i32))"),
        ("typed references", "(type $t (func)) (func (param (ref $t)))"),
        ("relaxed SIMD", "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))"),
    ] {
        refused(&mut station, what, &probe(&format!("{items} {}", answer(1))), &off);
    }
    let stream = component(r#"(component (import "a:b/c" (instance (export "f" (func (result (stream u8)))))))"#);
    refused(&mut station, "streams", &stream, &off);
    let future = component(r#"(component (type (future u8)))"#);
    refused(&mut station, "futures", &future, &off);
}

#[test]
fn imports_that_are_no_interfaces_are_refused_without_looking_for_them() {
    let mut station = with_good();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("url=<http://{}/x.wasm>", listener.local_addr().unwrap());
    let unknown = ["link.unknown_import"];
    refused(&mut station, "an URL", &component(&format!(r#"(component (import "{url}" (component)))"#)), &unknown);
    refused(&mut station, "a module", &component(r#"(component (import "m" (core module)))"#), &unknown);
    refused(&mut station, "a component", &component(r#"(component (import "c" (component)))"#), &unknown);
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn a_start_function_that_misbehaves_refuses_the_upload() {
    let mut station = with_good();
    let start = |instructions: &str| probe(&format!("(memory 1) {} (func $s {instructions}) (start $s)", answer(1)));
    let fuel = ["start.out_of_fuel", "start.deadline"];
    refused(&mut station, "a start loop", &start("(loop $l (br $l))"), &fuel);
    refused(&mut station, "a start trap", &start("unreachable"), &["start.trap"]);
    refused(&mut station, "a start recursion", &start("(call $s)"), &["start.trap", "start.limit"]);
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    refused(&mut station, "a start that takes all memory", &start(grow), &["start.limit"]);
}

#[test]
fn a_bad_start_does_not_replace_the_revision_that_serves() {
    let mut station = with_good();
    let evil = probe(&format!("{} (func $s unreachable) (start $s)", answer(1)));
    station.upload("good", &evil).problem("start.trap");
    survives(&mut station, "a bad revision");
}

#[test]
fn loops_and_recursions_of_every_kind_end() {
    let mut station = with_good();
    let fuel = ["call.out_of_fuel", "call.deadline"];
    fails(&mut station, "a loop", &probe(&body("(loop $l (br $l)) i32.const 0")), &fuel);
    let fill = "(loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 33554432)) (br $l)) i32.const 0";
    fails(&mut station, "memory.fill for ever", &probe(&format!("(memory 512) {}", body(fill))), &fuel);
    let grow = "(loop $l (drop (memory.grow (i32.const 0))) (br $l)) i32.const 0";
    fails(&mut station, "memory.grow for ever", &probe(&format!("(memory 1) {}", body(grow))), &fuel);
    let fib = r#"(func $fib (export "run") (param i32) (result i32)
        (i32.add (call $fib2 (i32.const 64)) (i32.const 0)))
      (func $fib2 (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (i32.const 1)) (else
          (i32.add (call $fib2 (i32.sub (local.get 0) (i32.const 1))) (call $fib2 (i32.sub (local.get 0) (i32.const 2)))))))"#;
    fails(&mut station, "fib(64)", &probe(fib), &fuel);

    let stack = ["call.stack_overflow"];
    let recursion =
        r#"(func $run (export "run") (param i32) (result i32) (i32.add (call $run (local.get 0)) (i32.const 1)))"#;
    fails(&mut station, "recursion", &probe(recursion), &stack);
    let wide = format!(
        r#"(func $run (export "run") (param i32) (result i32) (local {})
             (i32.add (call $run (local.get 0)) (local.get 200)))"#,
        "i64 ".repeat(400).replacen("i64 ".repeat(200).as_str(), &"i32 ".repeat(200), 1) + "i32"
    );
    fails(&mut station, "recursion with many locals", &probe(&wide), &stack);
    let indirect = r#"(type $f (func (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $run)
        (func $run (export "run") (type $f) (i32.add (call_indirect (type $f) (local.get 0) (i32.const 0)) (i32.const 1)))"#;
    fails(&mut station, "indirect recursion", &probe(indirect), &stack);
}

#[test]
fn machine_traps_are_told_as_traps() {
    let mut station = with_good();
    for (what, items) in [
        ("unreachable", body("unreachable")),
        ("a division by zero", body("(i32.div_u (i32.const 1) (i32.const 0))")),
        ("a load outside", format!("(memory 1) {}", body("(i32.load (i32.const -4))"))),
        ("a store outside", format!("(memory 1) {}", body("(i32.store (i32.const 65536) (i32.const 1)) i32.const 0"))),
        ("a bad conversion", body("(i32.trunc_f32_s (f32.const nan))")),
        (
            "an empty table entry",
            format!(
                "(type $f (func)) (table 1 funcref) {}",
                body("(call_indirect (type $f) (i32.const 0)) i32.const 0")
            ),
        ),
    ] {
        fails(&mut station, what, &probe(&items), &["call.trap"]);
    }
}

#[test]
fn memory_stops_at_the_limit_and_a_trap_after_a_refusal_is_told_as_the_limit() {
    let mut station = with_good();
    let grow = "(local i32) (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size)";
    station.upload("evil", &probe(&format!("(memory 1) {}", body(grow)))).ok();
    let pages = station.call("evil", RUN, "(0)").result().as_u64().unwrap();
    assert!((900..=1024).contains(&pages), "{pages} pages of 1,024");
    survives(&mut station, "growing");
    let trap = grow.replace("(memory.size)", "unreachable");
    let problem = fails(
        &mut station,
        "growing and trapping",
        &probe(&format!("(memory 1) {}", body(&trap))),
        &["call.memory_limit"],
    );
    assert_eq!(problem["limit"]["value"], 64 << 20, "{problem:#}");
}

#[test]
fn results_that_break_the_abi_are_told_as_such() {
    let mut station = with_good();
    let abi = ["call.abi"];
    let pair = |ptr: &str, len: &str| format!(r#"(data (i32.const 8) "{}{}")"#, bytes(ptr), bytes(len));
    let cases = [
        ("a list of 4 GiB", lifted("(list u8)", &pair("0", "4294967295"), "8")),
        ("a list past the end", lifted("(list u32)", &pair("65532", "2"), "8")),
        ("a misaligned list", lifted("(list u32)", &pair("1", "1"), "8")),
        ("a string past the end", lifted("string", &pair("65535", "2"), "8")),
        ("a string of 4 GiB", lifted("string", &pair("0", "4294967295"), "8")),
        ("bad UTF-8", lifted("string", &format!(r#"{} (data (i32.const 100) "\ff\fe")"#, pair("100", "2")), "8")),
        ("a result outside", lifted("string", "", "65533")),
        ("a result far outside", lifted("string", "", "-8")),
        ("a misaligned result", lifted("string", "", "9")),
        ("a surrogate", lifted("char", "", "0xD800")),
        ("a code point beyond Unicode", lifted("char", "", "0x110000")),
        ("an option's case 7", lifted("(option u32)", r#"(data (i32.const 8) "\07")"#, "8")),
        ("a result's case 9", lifted("(result u32 (error string))", r#"(data (i32.const 8) "\09")"#, "8")),
    ];
    for (what, evil) in cases {
        fails(&mut station, what, &evil, &abi);
    }
}

/// The four bytes of a number, as text of a data segment.
fn bytes(number: &str) -> String {
    let number: u32 = number.parse().unwrap();
    number.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect()
}

#[test]
fn a_case_that_an_enum_does_not_have_is_told_as_such() {
    let mut station = with_good();
    let evil = component(
        r#"(component
             (core module $m (func (export "run") (param i32) (result i32) (local.get 0)))
             (core instance $i (instantiate $m))
             (type $letter' (enum "a" "b"))
             (export $letter "letter" (type $letter'))
             (func (export "run") (param "n" u32) (result $letter) (canon lift (core func $i "run"))))"#,
    );
    station.upload("evil", &evil).ok();
    assert_eq!(station.call("evil", "run", "(1)").result(), json!("b"));
    for case in ["2", "200", "4294967295"] {
        station.call("evil", "run", &format!("({case})")).problem("call.abi");
    }
    survives(&mut station, "an enum's case that is not there");
}

#[test]
fn a_bool_is_true_for_any_number_but_zero() {
    let mut station = with_good();
    station.upload("evil", &lifted("bool", "", "7")).ok();
    assert_eq!(station.call("evil", RUN, "(1)").result(), json!(true));
    survives(&mut station, "a bool of 7");
}

#[test]
fn a_list_that_points_at_itself_costs_the_caller_and_not_the_station() {
    let mut station = with_good();
    // 1,024 entries, each of which is the list itself: 1,024^4 bytes from 8 KiB.
    let entry = format!("{}{}", bytes("16"), bytes("1024")).repeat(1024);
    let items = format!(r#"(data (i32.const 8) "{}{}") (data (i32.const 16) "{entry}")"#, bytes("16"), bytes("1024"));
    let evil = lifted("(list (list (list (list u8))))", &items, "8");
    let codes = ["call.resource_limit", "call.out_of_fuel", "call.abi", "call.memory_limit"];
    fails(&mut station, "a list in itself", &evil, &codes);
}

#[test]
fn an_allocator_that_misbehaves_ends_the_call() {
    let mut station = with_good();
    let evil = |realloc: &str| {
        let items = format!(
            r#"(memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
               (func (export "run") (param i32 i32) (result i32) (i32.const 1))"#
        );
        exporting(
            "probe:probe/api@0.1.0",
            r#"(param "text" string) (result u32)"#,
            &items,
            r#"(memory (core memory $i "memory")) (realloc (core func $i "realloc"))"#,
        )
    };
    let mut check = |what: &str, realloc: &str, codes: &[&str]| {
        station.upload("evil", &evil(realloc)).ok();
        let run = station.call("evil", RUN, r#"("a text of some length")"#);
        failed(what, &run, codes);
        survives(&mut station, what);
    };
    check("a realloc that traps", "unreachable", &["call.trap"]);
    check("a realloc that loops", "(loop $l (br $l)) i32.const 0", &["call.out_of_fuel", "call.deadline"]);
    check("a realloc that points outside", "i32.const 65530", &["call.abi"]);
    check("a realloc that points far outside", "i32.const -2", &["call.abi"]);
    check(
        "a realloc that recurses",
        "(call 0 (local.get 0) (local.get 1) (local.get 2) (local.get 3)) i32.const 1 i32.add",
        &["call.stack_overflow"],
    );
}

#[test]
fn a_clean_up_that_misbehaves_ends_the_call() {
    let mut station = with_good();
    let evil = |post: &str| {
        let items = format!(
            r#"(memory (export "memory") 1) (data (i32.const 8) "\10\00\00\00\01\00\00\00a")
               (func (export "post") (param i32) {post})
               (func (export "run") (param i32) (result i32) (i32.const 8))"#
        );
        exporting(
            "probe:probe/api@0.1.0",
            r#"(param "n" u32) (result string)"#,
            &items,
            r#"(memory (core memory $i "memory")) (post-return (core func $i "post"))"#,
        )
    };
    fails(&mut station, "a post-return that traps", &evil("unreachable"), &["call.trap"]);
    fails(&mut station, "a post-return that loops", &evil("(loop $l (br $l))"), &["call.out_of_fuel", "call.deadline"]);
}

#[test]
fn a_result_that_breaks_the_abi_is_the_callees_fault_and_not_the_callers() {
    let mut station = with_good();
    let pair = format!(r#"(data (i32.const 8) "{}{}") (data (i32.const 100) "\ff")"#, bytes("100"), bytes("1"));
    station.upload("evil", &lifted("string", &pair, "8")).ok();
    let caller = component(
        r#"(component
             (import "probe:probe/api@0.1.0" (instance $api (export "run" (func (param "n" u32) (result string)))))
             (alias export $api "run" (func $imported))
             (core module $libc (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
             (core instance $libc (instantiate $libc))
             (core func $lowered (canon lower (func $imported)
               (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
             (core module $m
               (import "api" "run" (func $run (param i32 i32)))
               (func (export "run") (param i32) (result i32) (call $run (local.get 0) (i32.const 8)) (i32.const 5)))
             (core instance $i (instantiate $m (with "api" (instance (export "run" (func $lowered))))))
             (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#,
    );
    station.upload_with("caller", "?grant_all=true&link=probe:probe/api@0.1.0=evil", &caller).ok();
    let problem = station.call("caller", "run", "(1)").problem("call.abi");
    let culprit = problem["call"]["frames"].as_array().unwrap().last().unwrap();
    assert_eq!(culprit["module"], "evil", "{problem:#}");
    survives(&mut station, "a bad result inside a tree");
}

#[test]
fn arguments_of_any_size_and_depth_are_refused_or_served() {
    let mut station = with_good();
    let function = "probe:probe/api#run";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [deep.clone(), format!("({deep})"), "(".repeat(1_000_000)] {
        let run = station.call("good", function, &text);
        assert!(
            ["call.bad_argument", "admin.bad_request", "admin.too_large"]
                .contains(&run.json()["code"].as_str().unwrap())
        );
    }
    let body = format!(r#"{{"function": "{function}", "args": {deep}}}"#);
    let answer =
        station.request("POST", "/v1/modules/good/call").header("content-type", "application/json").body(body).send();
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    let huge = json!({"function": function, "wave": "x".repeat(40 << 20)});
    let run = station.call_with("good", huge);
    assert!(["call.bad_argument", "admin.too_large"].contains(&run.json()["code"].as_str().unwrap()), "{}", run.stdout);
    survives(&mut station, "hostile arguments");
}

#[test]
fn many_loops_at_once_leave_the_station_answering() {
    let mut station =
        station().config("calls: { threads: 4, queue: 4 }\nlimits: { deadline: 2s, fuel: 9_000_000_000_000 }").start();
    station.upload("good", &answering(42)).ok();
    station.upload("evil", &probe(&body("(loop $l (br $l)) i32.const 0"))).ok();
    let codes: Vec<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..40).map(|_| scope.spawn(|| station.call("evil", RUN, "(0)").json())).collect();
        assert_eq!(station.request("GET", "/readyz").send().status, 200);
        calls.into_iter().map(|call| call.join().unwrap()["code"].as_str().unwrap().to_owned()).collect()
    });
    let busy = codes.iter().filter(|code| *code == "station.busy" || *code == "call.busy").count();
    assert!(busy >= 16, "{busy} of 40 were told to come again: {codes:?}");
    assert!(
        codes.iter().all(|code| ["station.busy", "call.busy", "call.deadline"].contains(&code.as_str())),
        "{codes:?}"
    );
    survives(&mut station, "40 loops");
}

/// One level of a chain: recurses `n` frames of its own and then asks the next level with the same number.
fn level(number: usize) -> Vec<u8> {
    let next = number + 1;
    component(&format!(
        r#"(component
             (import "t:deep/level{next}" (instance $next (export "run" (func (param "n" u32) (result u32)))))
             (alias export $next "run" (func $imported))
             (core func $lowered (canon lower (func $imported)))
             (core module $m
               (import "next" "run" (func $next (param i32) (result i32)))
               {RECURSE})
             (core instance $i (instantiate $m (with "next" (instance (export "run" (func $lowered))))))
             (func $run (param "n" u32) (result u32) (canon lift (core func $i "run")))
             (instance $this (export "run" (func $run)))
             (export "t:deep/level{number}" (instance $this)))"#
    ))
}

/// `run` answers how many frames it had below it, here and in the levels that follow.
const RECURSE: &str = r#"
    (func $down (param $left i32) (param $n i32) (result i32)
      (if (result i32) (local.get $left)
        (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $left) (i32.const 1)) (local.get $n))))
        (else (call $next (local.get $n)))))
    (func (export "run") (param i32) (result i32) (call $down (local.get 0) (local.get 0)))"#;

/// The last level, which asks nobody.
fn last_level(number: usize) -> Vec<u8> {
    let items = format!("(func $next (param i32) (result i32) (i32.const 0)) {RECURSE}");
    exporting(&format!("t:deep/level{number}"), r#"(param "n" u32) (result u32)"#, &items, "")
}

/// The most frames that this module can have, found by trying.
fn frames_max(station: &Station, module: &str, run: &str) -> u64 {
    let (mut works, mut fails) = (1, 1 << 20);
    while fails - works > 1 {
        let n = (works + fails) / 2;
        let answer = station.call(module, run, &format!("({n})"));
        if answer.code == 0 {
            works = n;
        } else {
            answer.problem("call.stack_overflow");
            fails = n;
        }
    }
    works
}

/// Twelve wasm stacks lie on one native stack, with the host's frames between them.
#[test]
fn a_chain_of_calls_that_fills_every_wasm_stack_leaves_the_process_alive() {
    let mut station = with_good();
    let last = 12;
    station.upload(&format!("level{last}"), &last_level(last)).ok();
    (0..last).rev().for_each(|number| drop(station.upload(&format!("level{number}"), &level(number)).ok()));
    let run = |number: usize| format!("t:deep/level{number}#run");
    let full = frames_max(&station, "level12", &run(12));
    assert!(full > 1_000, "only {full} frames fit the stack of a module");
    // A level that asks another one has less, by what the import itself takes.
    let mut served = 0;
    for n in [full / 2, full * 9 / 10, full - 64, full - 16, full - 1, full, full + 1, full * 2] {
        let answer = station.call("level1", &run(1), &format!("({n})"));
        if answer.code == 0 {
            served = answer.result().as_u64().unwrap();
            assert_eq!(served, 12 * n);
        } else {
            failed(&format!("12 levels of {n} frames"), &answer, &["call.depth", "call.stack_overflow"]);
        }
        survives(&mut station, "twelve full stacks");
    }
    assert!(served > 10 * full, "no chain was served that comes near: {served} of 12 * {full} frames");
    station.call("level0", &run(0), "(1)").problem("call.depth");
    survives(&mut station, "thirteen levels");
}

/// A component that takes a while to compile: so many functions of so many steps.
fn slow_to_compile(functions: usize, steps: usize) -> Vec<u8> {
    let steps = "local.get 0 i32.const 7 i32.mul local.get 0 i32.xor i32.clz i32.add ".repeat(steps);
    probe(&(answer(1) + &format!("(func (param i32) (result i32) local.get 0 {steps})").repeat(functions)))
}

/// The processes that a station started and that run now.
fn children(station: &Station) -> Vec<PathBuf> {
    let parent = format!("PPid:\t{}\n", station.pid());
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let status = |path: &PathBuf| std::fs::read_to_string(path.join("status")).unwrap_or_default();
    processes.filter(|path| status(path).contains(&parent)).collect()
}

/// What the kernel says about every thread of a process, once it has more than the one it began with.
fn threads(process: &Path) -> Option<Vec<String>> {
    let tasks = std::fs::read_dir(process.join("task")).ok()?.map(|task| task.ok().map(|task| task.path()));
    let tasks: Option<Vec<String>> = tasks.map(|task| std::fs::read_to_string(task?.join("status")).ok()).collect();
    tasks.filter(|tasks| tasks.len() > 1)
}

#[test]
fn a_compile_child_is_confined_with_all_its_threads() {
    // With a cache that knows nothing: what it knows is not compiled again.
    let mut station = station().cache(Cache::Own).start();
    station.upload("good", &answering(42)).ok();
    let bytes = slow_to_compile(200, 300);
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| station.upload("slow", &bytes));
        let confined = |status: &String| status.contains("Seccomp:\t2\n") && status.contains("NoNewPrivs:\t1\n");
        let child = || children(&station).iter().find_map(|child| threads(child));
        until("a child with the filter on every thread", || child().filter(|threads| threads.iter().all(confined)));
        upload.join().unwrap().ok();
    });
    assert_eq!(station.call("slow", RUN, "(0)").result(), json!(1));
    survives(&mut station, "a component that is slow to compile");
}

#[test]
fn a_compiler_that_runs_out_of_memory_or_time_is_told_as_such() {
    // Memory goes with the size of one function, time with all of them.
    let (deep, wide) = (slow_to_compile(1, 150_000), slow_to_compile(1_000, 300));
    let cases = [("memory: 256MiB", deep, "upload.compile_memory"), ("cpu: 1s", wide, "upload.compile_timeout")];
    for (limit, bytes, code) in cases {
        let mut station = station().config(&format!("engine: {{ compile: {{ {limit} }} }}")).start();
        station.upload("evil", &bytes).problem(code);
        station.upload("good", &answering(42)).ok();
        survives(&mut station, limit);
    }
}
