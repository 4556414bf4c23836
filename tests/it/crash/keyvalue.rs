//! The workload of today: batches of three keys by both drafts of `wasi:keyvalue`, two modules at once.

use super::client::{Client, Reply};
use super::workload::{Mark, Outcome, Workload};
use serde_json::{Value, json};
use station_testkit::Station;
use std::collections::{BTreeMap, BTreeSet};

/// The modules; each has the writers whose number it leaves a remainder of.
const MODULES: [&str; 2] = ["kv-draft", "kv-draft2"];
/// Keys that one question asks for.
const ASKED_MAX: usize = 500;

/// Batches of three keys that hold the mark, some of them longer than a page of the database.
pub(crate) struct Batches;

impl Workload for Batches {
    fn prepare(&self, client: &Client) -> bool {
        MODULES
            .iter()
            .all(|module| matches!(client.upload(module, station_testkit::guest_bytes(module)), Reply::Done { .. }))
    }

    fn write(&self, client: &Client, mark: Mark) -> Outcome {
        match put(client, mark) {
            Reply::Done { value, call } if value == json!({"ok": null}) => Outcome::Acknowledged(call),
            Reply::Done { .. } => Outcome::Failed,
            Reply::Problem { code } if never_ran(&code) => Outcome::Refused,
            Reply::Problem { code } if code.starts_with("station.") || code.starts_with("unit.") => Outcome::Failed,
            Reply::Problem { code } => panic!("{code} is about the workload and not about the disk"),
            Reply::Lost => Outcome::Lost,
        }
    }

    fn read(&self, client: &Client, mark: Mark) -> Option<(bool, String)> {
        let Reply::Done { value, call } = look_for(client, mark) else { return None };
        let values = value["ok"].as_array()?;
        // Each key is read from a snapshot of its own, in this order: later ones may be newer.
        let present: Vec<_> = values.iter().map(|value| !value.is_null()).collect();
        assert!(present.is_sorted(), "half of {mark} was read: {value}");
        Some((present[0], call))
    }

    fn there(&self, station: &Station, round: u32) -> BTreeSet<Mark> {
        let client = Client::of(station);
        let mut found: BTreeMap<Mark, BTreeMap<String, Value>> = BTreeMap::new();
        for (key, value) in MODULES.iter().flat_map(|module| everything(&client, module, round)) {
            let mark = Mark::parse(&key).unwrap_or_else(|| panic!("nobody writes the key {key}"));
            found.entry(mark).or_default().insert(key, value);
        }
        for (mark, values) in &found {
            assert_eq!(*values, pairs(*mark), "{mark} is there in part");
        }
        found.into_keys().collect()
    }
}

/// Writes what the mark stands for.
pub(crate) fn put(client: &Client, mark: Mark) -> Reply {
    call(client, module_of(mark), "set-many", json!([bucket(mark.round), list(mark)]))
}

/// Reads it.
pub(crate) fn look_for(client: &Client, mark: Mark) -> Reply {
    let keys: Vec<_> = pairs(mark).into_keys().collect();
    call(client, module_of(mark), "get-many", json!([bucket(mark.round), keys]))
}

fn module_of(mark: Mark) -> &'static str {
    MODULES[mark.writer as usize % MODULES.len()]
}

fn bucket(round: u32) -> String {
    format!("round-{round}")
}

fn call(client: &Client, module: &str, function: &str, args: Value) -> Reply {
    client.call(module, &format!("fixture:kv/kv#{function}"), &args)
}

/// Codes that a call gets before its module sees it.
fn never_ran(code: &str) -> bool {
    ["station.busy", "station.draining", "call.not_ready", "call.busy"].contains(&code)
}

/// What one write consists of. Now and then it needs pages of its own.
fn pairs(mark: Mark) -> BTreeMap<String, Value> {
    let long = if mark.number % 16 == 3 { 300 } else { 2 };
    let value = |times: usize| json!(mark.to_string().repeat(times));
    [("a", 1), ("b", 8), ("c", long)].map(|(part, times)| (format!("{mark}{part}"), value(times))).into()
}

/// The same as the guest takes it.
fn list(mark: Mark) -> Vec<Value> {
    pairs(mark).into_iter().map(|pair| json!(pair)).collect()
}

fn everything(client: &Client, module: &str, round: u32) -> Vec<(String, Value)> {
    let ask = |function: &str, args: Value| match call(client, module, function, args) {
        Reply::Done { value, .. } => value["ok"].as_array().unwrap_or_else(|| panic!("{module}: {value}")).clone(),
        other => panic!("{module} does not answer: {other:?}"),
    };
    let keys = ask("list-all", json!([bucket(round)]));
    let mut found = Vec::new();
    for keys in keys.chunks(ASKED_MAX) {
        let values = ask("get-many", json!([bucket(round), keys]));
        found.extend(keys.iter().map(|key| key.as_str().unwrap().to_owned()).zip(values));
    }
    found
}
