//! What a brokered call costs in instructions: the same on a busy machine as on an idle one, so that CI can watch it.
//!
//! `cargo xtask instructions` runs this under callgrind, which writes what was counted whenever [`mark_a_phase`] is
//! entered. Each case is a loop inside a guest, run with few and with many turns; the difference, divided by the turns,
//! is one call without what entering the guest costs. What the cases are stands on stdout.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that fails stops, and it talks to xtask"
)]

mod shared;

use serde_json::{Value, json};
use shared::{Host, module};
use station_host::EngineSettings;
use station_model::Mode::Reused;
use std::hint::black_box;
use std::path::Path;

/// A loop inside a guest.
struct Case {
    name: &'static str,
    module: &'static str,
    interface: &'static str,
    function: &'static str,
    /// What comes before the number of turns.
    arguments: &'static [u32],
    few: u32,
    many: u32,
}

const SOURCE: &str = "payload-source";
const CLERK: &str = "payload-clerk";
const HANDLES: &str = "resource-user";
/// What the cases need. The composed modules are for others.
const MODULES: [&str; 7] =
    [SOURCE, "payload-sink", CLERK, "payload-rows", HANDLES, "resource-counter", "resource-third"];

/// As many as are called. Each reserves gigabytes of addresses, and valgrind has fewer of those.
const INSTANCES: u32 = 6;

/// So many turns that the rest of a call tree is lost in the difference, and few enough for a minute under callgrind.
const CASES: [Case; 8] = [
    of_source("scalar", "loop-add", &[], 2_000),
    of_source("string, 64 B both ways", "texts", &[64], 500),
    of_source("record of 6 strings both ways", "entries", &[], 200),
    of_source("64 KiB one way", "send", &[65_536], 20),
    of_handles("handle in a list, lent once, and given back in a list", "run-list"),
    of_clerk("call that writes nothing, in a unit of work", "pass-there"),
    of_clerk("call that writes a row, behind a savepoint", "write-there"),
    of_clerk("row written by the root call, no savepoint", "write-here"),
];

const fn of_source(name: &'static str, function: &'static str, arguments: &'static [u32], turns: u32) -> Case {
    let interface = "fixture:payload/source";
    Case { name, module: SOURCE, interface, function, arguments, few: turns / 10, many: turns + turns / 10 }
}

const fn of_clerk(name: &'static str, function: &'static str) -> Case {
    Case { name, module: CLERK, interface: "fixture:payload/clerk", function, arguments: &[], few: 40, many: 440 }
}

const fn of_handles(name: &'static str, function: &'static str) -> Case {
    Case { name, module: HANDLES, interface: "fixture:res/users", function, arguments: &[], few: 40, many: 440 }
}

fn main() {
    // Without `--bench` it is `cargo test --benches` that runs this, and a measurement is no test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    // Code compiled before: the compiler is not what is measured.
    let cache = std::env::var_os("STATION_BENCH_CACHE").expect("the folder of compiled code");
    let engine = EngineSettings { instances_max: INSTANCES, ..EngineSettings::default() };
    let modules = MODULES.map(|name| module(name, name, Reused)).to_vec();
    let host = Host::start_with(engine, modules, Some(Path::new(&cache)));
    assert_eq!(host.ask(SOURCE, "fixture:payload/source#faithful", vec![json!(1_000)]), Some(Value::Bool(true)));
    // What a station still does for a moment after its start is not counted.
    for case in CASES.iter().chain(&CASES) {
        case.run(&host, case.many);
    }
    for case in &CASES {
        // Instances are made and memories grown before anything counts.
        case.run(&host, case.few);
        mark_a_phase();
        case.run(&host, case.few);
        mark_a_phase();
        case.run(&host, case.many);
        mark_a_phase();
    }
    let cases: Vec<Value> = CASES.iter().map(|it| json!({ "name": it.name, "turns": it.many - it.few })).collect();
    println!("{}", json!(cases));
}

/// Callgrind writes what was counted since the last time, by this function's name.
#[inline(never)]
fn mark_a_phase() {
    black_box(());
}

impl Case {
    fn run(&self, host: &Host, turns: u32) {
        let arguments = self.arguments.iter().chain([&turns]).map(|&argument| json!(argument)).collect();
        host.ask(self.module, &format!("{}#{}", self.interface, self.function), arguments);
    }
}
