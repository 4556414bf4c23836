//! `cargo xtask bench`: everything that performance is promised about, measured beside what it is held against.
//!
//! It builds the guests, runs the benches of this workspace (built and trained as what is published is, for which the
//! first time takes half an hour; `--quick`: profile `release-dev` and few rounds), then the peers in `benches/peers`,
//! which have a workspace of their own, and puts all into one table. Rows that have a goal pass or fail; a failed goal is
//! a finding and not an error of this command. A peer that cannot be had on this machine is left out, and the results say
//! why.
//!
//! Results go to `benches/results/<day>-<commit>.json` (`-untrained` behind it where that was asked), the plot to
//! `benches/results/cost.svg`; `--quick` keeps both in `target/bench`, because its figures are for nobody else. Figures of
//! one run belong together: times of two runs cannot be compared on a machine that does other things as well.

mod build;
mod composed;
mod machine;
mod plot;
mod row;
mod rows;
mod servers;
mod tools;

use crate::repo::{self, command, run, say};
use crate::{guests, setup};
use anyhow::{Context, Result};
use build::Build;
use row::Row;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The guests that are measured, and trained with.
pub(crate) const GUESTS: [&str; 7] =
    ["payload-source", "payload-sink", "payload-relay", "plain-echo", "time-sleep", "http-hello", "http-writer"];
/// Measured beside them. Composing it takes a tool that is downloaded, so nothing else asks for it.
const COMPOSED: &str = "payload-composed";
/// Requests that `wasmtime serve` hands to one instance where it shall keep it.
const KEPT: u32 = 1_000_000;

/// What the person chose.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Few rounds and the profile `release-dev`: minutes instead of half an hour, for nobody but yourself
    #[arg(long)]
    quick: bool,
    /// The profile `fat` as it is, without the training of `cargo xtask dist`
    #[arg(long, conflicts_with = "quick")]
    untrained: bool,
    /// Only what needs no peer
    #[arg(long)]
    ours: bool,
    /// Write the document with the rows there, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What was found out so far.
#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    /// Every lane and peer with every payload.
    cases: Vec<Value>,
    /// Versions and settings, or why there is nothing.
    peers: Map<String, Value>,
}

/// Measures, prints, writes.
///
/// # Errors
/// When something of ours does not build or a measurement breaks off.
pub(crate) fn measure(options: &Options) -> Result<()> {
    let build = if options.quick { Build::quick() } else { Build::published(!options.untrained)? };
    let folder = repo::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    setup::wasm_target()?;
    guests::run(&GUESTS.into_iter().chain([COMPOSED]).map(str::to_owned).collect::<Vec<_>>())?;
    let machine = machine::describe(&build.describe());
    let mut found = Found::default();
    ours(options, &build, &mut found)?;
    if !options.ours {
        peers(options, &build, &mut found)?;
    }
    table(&found.rows);
    let document = json!({
        "machine": machine,
        "peers": found.peers,
        "rows": found.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        "cases": found.cases,
    });
    write(options, &folder, &document, &found.cases)
}

/// The benches of this workspace.
fn ours(options: &Options, build: &Build, found: &mut Found) -> Result<()> {
    let rounds = if options.quick { "5" } else { "21" };
    let call = bench("call", build, rounds)?;
    found.rows.extend(rows::of_calls(&call));
    found.cases.extend(list(&call, "cases").iter().cloned());
    let rounds = if options.quick { "3" } else { "11" };
    let station = bench("station", build, rounds)?;
    found.rows.extend(list(&station, "rows").iter().filter_map(Row::read));
    Ok(())
}

/// Runs a bench and reads what it wrote.
fn bench(name: &str, build: &Build, rounds: &str) -> Result<Value> {
    say(&format!("==> measuring: {name} ({})", build.name()));
    let file = repo::target().join("bench").join(format!("{name}.json"));
    run(build.bench(name).env("STATION_BENCH_SAVE", &file).env("STATION_BENCH_ROUNDS", rounds))?;
    read(&file)
}

/// What is not ours.
fn peers(options: &Options, build: &Build, found: &mut Found) -> Result<()> {
    let program = tools::peers()?;
    let wasmtime = found.optional("wasmtime", || {
        let program = tools::wasmtime()?;
        let settings = "run: no fuel, no deadline; serve: -S cli, --max-instance-reuse-count 1000000 or 1; a release build \
                        without LTO, as cargo install makes it";
        Ok((peer(tools::version_of(&program), settings), program))
    });
    hops(options, &program, wasmtime.as_deref(), found)?;
    let station = build.station();
    if let Some(wasmtime) = &wasmtime {
        serve(options, &program, &station, wasmtime, found)?;
    }
    units(options, &program, &station, found, None)?;
    let slow = tools::slow_disk()?;
    units(options, &program, &station, found, Some(&slow))?;
    storage(options, build, found, &slow)
}

/// One hop: HTTP, gRPC, Extism, an isolate, a composed component.
fn hops(options: &Options, peers: &Path, wasmtime: Option<&Path>, found: &mut Found) -> Result<()> {
    let plugin = tools::plugin()?;
    let isolate = found.optional("workerd", || {
        let program = tools::workerd()?;
        let settings = "service binding, RPC, both isolates in one process; a loop inside the caller";
        Ok((peer(tools::version_of(&program), settings), servers::workerd(&program)?))
    });
    say("==> measuring: a hop by every peer");
    let mut measure = command(peers);
    measure.args(["hops", if options.quick { "3" } else { "11" }]).arg(plugin);
    measure.args(isolate.iter().map(|isolate| format!("http://{}", isolate.addr)));
    let hops = answer(&mut measure)?;
    found.describe_hops()?;
    let mut new: Vec<Value> = list(&hops, "cases").to_vec();
    if let Some(wasmtime) = wasmtime {
        new.extend(composed::measure(wasmtime, if options.quick { 1 } else { 5 })?);
    }
    found.rows.extend(rows::of_hops(&found.cases, &new));
    found.cases.extend(new);
    Ok(())
}

/// HTTP hello through the gateway and by `wasmtime serve`, instances kept and not.
fn serve(options: &Options, peers: &Path, station: &Path, wasmtime: &Path, found: &mut Found) -> Result<()> {
    say("==> measuring: HTTP through the gateway and by wasmtime serve");
    let hello = servers::component("http-hello");
    let station = servers::station(station, None)?;
    let (kept, fresh) = (servers::wasmtime(wasmtime, &hello, KEPT)?, servers::wasmtime(wasmtime, &hello, 1)?);
    let mut measure = command(peers);
    measure.args(["serve", if options.quick { "3" } else { "11" }]);
    measure.arg(format!("http://reused.bench@{}/", station.addr)).arg(format!("http://{}/", kept.addr));
    measure.arg(format!("http://fresh.bench@{}/", station.addr)).arg(format!("http://{}/", fresh.addr));
    let answer = answer(&mut measure)?;
    found.rows.extend(rows::of_servers(&answer));
    found.cases.push(json!({ "what": "HTTP servers", "measured": answer }));
    Ok(())
}

/// Durable writes through the gateway and by plain SQLite on the same disk: the machine's, or for both one that takes a
/// millisecond for a flush.
fn units(options: &Options, peers: &Path, station: &Path, found: &mut Found, slow: Option<&Path>) -> Result<()> {
    say(&format!("==> measuring: durable writes{}", if slow.is_some() { ", with slow flushes" } else { "" }));
    let station = servers::station(station, slow)?;
    let folder = repo::target().join("bench/units");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let url = |path: &str| format!("http://writer.bench@{}/{path}", station.addr);
    // The first writes make the table; a second is asked for nothing else than a row.
    answer(command(peers).args(["serve", "1", &url("write/answer=200/say=ok")]))?;
    let mut measure = command(peers);
    measure.args(["units", if options.quick { "3" } else { "9" }]).arg(&folder).arg(url("insert/answer=200/say=ok"));
    slow.into_iter().for_each(|library| tools::slow_down(&mut measure, library, &folder));
    let answer = answer(&mut measure)?;
    found.rows.extend(rows::of_units(&answer, slow.is_some()));
    found.cases.push(json!({ "what": "durable writes", "slow_flushes": slow.is_some(), "measured": answer }));
    Ok(())
}

/// Durable units by the storage alone and by plain SQLite, the same statements on both sides, with slow flushes.
fn storage(options: &Options, build: &Build, found: &mut Found, slow: &Path) -> Result<()> {
    say("==> measuring: durable units of the storage alone, with slow flushes");
    let (folder, file) = (repo::target().join("bench/storage"), repo::target().join("bench/storage.json"));
    std::fs::create_dir_all(&folder)?;
    let bench = || build.bench("units");
    run(bench().arg("--no-run"))?;
    let mut measure = bench();
    tools::slow_down(&mut measure, slow, &folder);
    let rounds = if options.quick { "3" } else { "9" };
    run(measure.env("STATION_BENCH_SAVE", &file).env("STATION_BENCH_ROUNDS", rounds).arg("--").arg(&folder))?;
    let measured = read(&file)?;
    found.rows.extend(rows::of_storage(&measured));
    found.cases.push(json!({ "what": "durable units of the storage", "measured": measured }));
    Ok(())
}

impl Found {
    /// A peer that may be missing; remembers its version or why.
    fn optional<T>(&mut self, name: &str, get: impl FnOnce() -> Result<(Value, T)>) -> Option<T> {
        match get() {
            Ok((about, peer)) => {
                self.peers.insert(name.to_owned(), about);
                Some(peer)
            }
            Err(why) => {
                say(&format!("{name} is left out: {why:#}"));
                self.peers.insert(name.to_owned(), json!({ "missing": format!("{why:#}") }));
                None
            }
        }
    }

    fn describe_hops(&mut self) -> Result<()> {
        let versions = |names: &[&str]| -> Result<String> {
            let each: Result<Vec<_>> =
                names.iter().map(|name| Ok(format!("{name} {}", tools::locked(name)?))).collect();
            Ok(each?.join(", "))
        };
        let one_process =
            "client and server in one process, a worker each, one connection, TCP_NODELAY; release, no LTO";
        let extism = "no fuel, no timeout, bytes through its own memory; a loop inside the caller; release, no LTO";
        for (name, crates, settings) in [
            ("HTTP", &["axum", "hyper"][..], one_process),
            ("gRPC", &["tonic", "prost"][..], one_process),
            ("Extism", &["extism", "wasmtime"][..], extism),
            ("SQLite", &["rusqlite", "libsqlite3-sys"][..], "WAL, synchronous = FULL"),
        ] {
            self.peers.insert(name.to_owned(), peer(Some(versions(crates)?), settings));
        }
        Ok(())
    }
}

fn peer(version: Option<String>, settings: &str) -> Value {
    json!({ "version": version, "settings": settings })
}

fn table(rows: &[Row]) {
    say("");
    say(&format!("{:<42} {:>12}   {:<26} {:>12} {:>9} {:>16}", "what", "ours", "reference", "", "ratio", "goal"));
    rows.iter().for_each(|row| say(&row.line()));
    let judged: Vec<bool> = rows.iter().filter_map(|row| row.pass).collect();
    let passed = judged.iter().filter(|&&pass| pass).count();
    say(&format!("\n{passed} of {} goals are reached.", judged.len()));
}

fn write(options: &Options, folder: &Path, document: &Value, cases: &[Value]) -> Result<()> {
    let results = if options.quick { folder.to_path_buf() } else { repo::root().join("benches/results") };
    std::fs::create_dir_all(&results)?;
    let untrained = if options.untrained { "-untrained" } else { "" };
    let file = results.join(format!("{}{untrained}.json", machine::name_of_this_run()));
    let text = serde_json::to_string_pretty(document)? + "\n";
    std::fs::write(&file, &text)?;
    say(&format!("written to {}", file.display()));
    // The README shows the one of what is published.
    let plot = if options.untrained { folder.to_path_buf() } else { results }.join("cost.svg");
    std::fs::write(&plot, plot::draw("What a call there and back costs, by payload", &rows::lines(cases)))?;
    say(&format!("drawn to {}", plot.display()));
    match &options.json {
        Some(wanted) => std::fs::write(wanted, text).with_context(|| format!("writing {}", wanted.display())),
        None => Ok(()),
    }
}

/// The JSON that a command prints.
fn answer(command: &mut std::process::Command) -> Result<Value> {
    let text = asked_loudly(command)?;
    serde_json::from_str(&text).with_context(|| format!("{text:?} is no JSON"))
}

/// What a command prints, with its errors on the terminal.
fn asked_loudly(command: &mut std::process::Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().context("starting the peers")?;
    anyhow::ensure!(output.status.success(), "the peers failed; the message is above");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn list<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
