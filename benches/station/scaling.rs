//! Two callers on two cores against one caller.
//!
//! On a machine that others use as well, two callers wait for a core longer than one does, and a second core looks worth
//! nothing. So the time for which the call threads were ready to run and had no core is left out, as the kernel counts it;
//! waiting for a lock is not, and is what this looks for.

use crate::row::{Goal, Row, median};
use crate::shared::{Host, module};
use serde_json::json;
use station_model::Mode::Reused;
use std::time::{Duration, Instant};

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
    let waited = waited_for_a_core();
    let call = |_| async {
        let start = Instant::now();
        host.asked("payload-source", LOOP, vec![json!(CALLS)]).await;
        start.elapsed()
    };
    let took: Duration = host.runtime.block_on(futures_util::future::join_all((0..callers).map(call))).iter().sum();
    let took = took.saturating_sub(waited_for_a_core().saturating_sub(waited));
    (callers * callers * CALLS) as f64 / took.as_secs_f64()
}

/// For how long all call threads together were ready to run and had no core.
fn waited_for_a_core() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let waited = |task: std::path::PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let figures = name.starts_with("call-").then(|| std::fs::read_to_string(task.join("schedstat")))?.ok()?;
        figures.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(|task| waited(task.path())).sum())
}
