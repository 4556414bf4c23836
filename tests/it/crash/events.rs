//! Events and a row in one unit of work, and events of calls that fail: what must be known is written then all the same.

use super::client::{Client, Reply};
use super::workload::{Mark, Outcome, Workload};
use serde_json::{Value, json};
use station_testkit::Station;
use std::collections::{BTreeMap, BTreeSet};

const MODULE: &str = "events-runner";
/// What the topic of an event ends with that must be known in any case.
const KNOWN: &str = ".known";

/// A row and two events, one of them published always. Now and then the call refuses, and only that one stays.
pub(crate) struct Told;

impl Workload for Told {
    fn prepare(&self, client: &Client) -> bool {
        matches!(client.upload(MODULE, station_testkit::guest_bytes(MODULE)), Reply::Done { .. })
            && matches!(act(client, "row"), Reply::Done { .. })
    }

    fn write(&self, client: &Client, mark: Mark) -> Outcome {
        let end = if refuses(mark) { "/refuse" } else { "" };
        match act(client, &format!("keep={mark}/publish={mark}/always={mark}{KNOWN}{end}")) {
            Reply::Done { value, call } if value.get("ok").is_some() != refuses(mark) => Outcome::Acknowledged(call),
            Reply::Done { .. } => Outcome::Failed,
            Reply::Problem { code } if ["station.busy", "station.draining"].contains(&code.as_str()) => {
                Outcome::Refused
            }
            Reply::Problem { code } if code.starts_with("station.") || code.starts_with("unit.") => Outcome::Failed,
            Reply::Problem { code } => panic!("{code} is about the workload and not about the disk"),
            Reply::Lost => Outcome::Lost,
        }
    }

    /// Modules read rows; only the operator reads events, and of a call that refuses there is nothing else.
    fn read(&self, client: &Client, mark: Mark) -> Option<(bool, String)> {
        if refuses(mark) {
            return None;
        }
        let Reply::Done { value, call } = act(client, &format!("has={mark}")) else { return None };
        Some((value.get("ok").is_some(), call))
    }

    fn there(&self, station: &Station, round: u32) -> BTreeSet<Mark> {
        let mut found: BTreeMap<Mark, BTreeSet<String>> = BTreeMap::new();
        for topic in topics(station) {
            let mark = Mark::parse(&topic).unwrap_or_else(|| panic!("nobody publishes {topic}"));
            assert!(found.entry(mark).or_default().insert(topic), "{mark} is there twice");
        }
        for (mark, topics) in &found {
            assert!(topics.contains(&format!("{mark}{KNOWN}")), "{mark} is there without what must be known");
        }
        // A call that failed has told what must be known, and nothing else.
        let told = |mark: &Mark| found.get(mark).is_some_and(|topics| topics.contains(&mark.to_string()));
        let rows = station.get(&format!("/v1/tables?module={MODULE}"))["tables"][0]["rows"].clone();
        let kept = found.keys().filter(|mark| told(mark)).count();
        assert_eq!(rows, kept + 1, "rows and events are not of one mind");
        assert!(found.keys().all(|mark| !refuses(*mark) || !told(mark)), "what was refused is there");
        found.keys().filter(|mark| mark.round == round && (refuses(**mark) || told(mark))).copied().collect()
    }
}

fn act(client: &Client, script: &str) -> Reply {
    client.call(MODULE, "t:events/act#act", &json!([script]))
}

fn refuses(mark: Mark) -> bool {
    mark.number % 16 == 3
}

/// Those of all events, a page at a time.
fn topics(station: &Station) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), Value::from(0));
    loop {
        let page = station.get(&format!("/v1/events?after={after}&limit=1000"));
        let events = page["events"].as_array().expect("events");
        let Some(last) = events.last() else { return all };
        all.extend(events.iter().map(|event| event["topic"].as_str().expect("a topic").to_owned()));
        after = last["offset"].clone();
    }
}
