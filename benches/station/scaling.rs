//! Two callers on two cores against one caller.

use crate::row::{Goal, Row, median};
use crate::shared::{Host, module};
use serde_json::json;
use station_model::Mode::Reused;
use std::time::Instant;

/// Brokered calls of one caller in one round, a tenth of a second or more.
const CALLS: u64 = 200_000;
const LOOP: &str = "fixture:payload/source#loop-add";

/// Brokered scalar calls per second, each caller with a call tree and instances of its own.
pub(crate) fn two_cores(rounds: usize) -> Row {
    let host = Host::start(["payload-source", "payload-sink"].map(|it| module(it, it, Reused)).to_vec(), None);
    calls_per_second(&host, 2);
    let pairs: Vec<_> = (0..rounds).map(|_| (calls_per_second(&host, 2), calls_per_second(&host, 1))).collect();
    let (two, one): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Row {
        name: "brokered calls of two callers",
        unit: "per second",
        ours: median(two),
        reference: Some(("one caller", median(one))),
        goal: Goal::RatioMin(1.8),
    }
}

fn calls_per_second(host: &Host, callers: u64) -> f64 {
    let start = Instant::now();
    let calls = (0..callers).map(|_| host.asked("payload-source", LOOP, vec![json!(CALLS)]));
    host.runtime.block_on(futures_util::future::join_all(calls));
    (callers * CALLS) as f64 / start.elapsed().as_secs_f64()
}
