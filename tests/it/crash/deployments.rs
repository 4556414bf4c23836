//! Deployments as a workload: each write is a module of its own, an entry in the registry and a component on the disk.

use super::client::{Client, Reply};
use super::workload::{Mark, Outcome, Workload};
use crate::text::{API, RUN, answer, exporting};
use serde_json::{Value, json};
use station_testkit::{Station, until};
use std::collections::BTreeSet;

/// Modules that answer a number of their own.
pub(crate) struct Deployments;

impl Workload for Deployments {
    fn weight(&self) -> u32 {
        8
    }

    /// A module of this workload needs no other.
    fn prepare(&self, _client: &Client) -> bool {
        true
    }

    fn write(&self, client: &Client, mark: Mark) -> Outcome {
        match client.upload(&mark.to_string(), component(mark)) {
            Reply::Done { value, .. } => Outcome::Acknowledged(value["digest"].as_str().unwrap().to_owned()),
            Reply::Problem { code } if ["station.busy", "station.draining"].contains(&code.as_str()) => {
                Outcome::Refused
            }
            Reply::Problem { code } if code.starts_with("station.") || code == "upload.storage" => Outcome::Failed,
            Reply::Problem { code } => panic!("{code} is about the workload and not about the disk"),
            Reply::Lost => Outcome::Lost,
        }
    }

    fn read(&self, client: &Client, mark: Mark) -> Option<(bool, String)> {
        match client.call(&mark.to_string(), RUN, &json!([0])) {
            Reply::Done { value, call } => {
                assert_eq!(value, number(mark), "{mark} answers for another");
                Some((true, call))
            }
            Reply::Problem { code } if code == "call.no_such_module" => Some((false, String::new())),
            Reply::Problem { .. } | Reply::Lost => None,
        }
    }

    fn there(&self, station: &Station, round: u32) -> BTreeSet<Mark> {
        let modules = station.get("/v1/modules")["modules"].as_array().unwrap().clone();
        let marked = modules.iter().filter_map(|module| Some((Mark::parse(module["name"].as_str()?)?, module)));
        let of_round = marked.filter(|(mark, _)| mark.round == round);
        of_round.map(|(mark, module)| whole(station, mark, module)).collect()
    }
}

/// Looks at the file, too: a station that still has the compiled code does not read it.
fn whole(station: &Station, mark: Mark, module: &Value) -> Mark {
    let digest = module["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let artifact = station.data().join("artifacts").join(format!("{digest}.wasm"));
    let kept = std::fs::read(&artifact).unwrap_or_else(|error| panic!("the component of {mark}: {error}"));
    assert!(kept == component(mark), "the component of {mark} is not what was uploaded");
    // What a cache has lost is compiled again while the station serves.
    until("the module to be ready", || (station.state(&mark.to_string()) == "ready").then_some(()));
    assert_eq!(station.call(&mark.to_string(), RUN, "(0)").result(), json!(number(mark)), "{mark}");
    mark
}

fn number(mark: Mark) -> u32 {
    mark.round * 100_000 + mark.writer * 1_000 + mark.number
}

/// The second function lets components of equal numbers differ, too.
fn component(mark: Mark) -> Vec<u8> {
    let items = format!(r#"{} (func (export "{mark}"))"#, answer(number(mark)));
    exporting(API, r#"(param "n" u32) (result u32)"#, &items, "")
}
