//! The table: ours, a reference, and the ratio of the two, measured in turn.

use crate::payload::{Case, Contender, Payload};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Odd, so that there is one in the middle.
const ROUNDS: usize = 21;
/// Long against a tick of the clock and a switch between threads, short against what else the machine does.
const SAMPLE: Duration = Duration::from_millis(20);
/// Set to keep the table in [`RESULTS`].
const SAVE: &str = "STATION_BENCH_SAVE";
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results/call.json");

/// Ours against one reference.
pub(crate) struct Row {
    payload: Payload,
    reference: Contender,
    ours_ns: f64,
    reference_ns: f64,
    /// The median of the rounds' ratios, which is not quite the ratio of the medians.
    ratio: f64,
    goal: Option<f64>,
}

/// Measures every case once per round.
pub(crate) fn measure(cases: &mut [Case]) -> Vec<Row> {
    let times: Vec<u64> = cases.iter_mut().map(calibrate).collect();
    let mut samples = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for ((case, times), samples) in cases.iter_mut().zip(&times).zip(&mut samples) {
            samples.push(per_call_ns((case.timed)(*times), *times));
        }
    }
    let measured: Vec<_> = cases.iter().zip(&samples).collect();
    measured.chunk_by(|(a, _), (b, _)| a.payload == b.payload).flat_map(rows).collect()
}

/// How often it must be done for a sample to take about [`SAMPLE`].
fn calibrate(case: &mut Case) -> u64 {
    let mut times = 1;
    loop {
        let took = (case.timed)(times);
        if took >= SAMPLE / 4 {
            let wanted = SAMPLE.as_nanos() as f64 / per_call_ns(took, times);
            return (wanted as u64).max(1);
        }
        times *= 4;
    }
}

fn per_call_ns(took: Duration, times: u64) -> f64 {
    took.as_nanos() as f64 / times as f64
}

/// The rows of one payload: the first case is ours.
fn rows(same: &[(&Case, &Vec<f64>)]) -> Vec<Row> {
    let Some(((_, ours), references)) = same.split_first() else { return Vec::new() };
    let row = |(case, reference): &(&Case, &Vec<f64>)| Row {
        payload: case.payload,
        reference: case.contender,
        ours_ns: median(ours.iter().copied()),
        reference_ns: median(reference.iter().copied()),
        ratio: median(ours.iter().zip(*reference).map(|(ours, reference)| ours / reference)),
        goal: goal(case.payload, case.contender),
    };
    references.iter().map(row).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The ratio that `performance.md` wants, for the `fat` profile.
fn goal(payload: Payload, reference: Contender) -> Option<f64> {
    match (payload, reference) {
        (Payload::Add, Contender::BothCrossings) => Some(1.25),
        (Payload::Add, Contender::Composed) => Some(30.0),
        (Payload::OneWay(1_024), Contender::Composed) => Some(0.25),
        (Payload::OneWay(65_536), Contender::Memcpy) => Some(1.5),
        (Payload::BothWays(65_536), Contender::Memcpy) => Some(1.4),
        (Payload::OneWay(1_048_576), Contender::Memcpy) => Some(2.0),
        _ => None,
    }
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    println!("\nA brokered call against references of the same run: medians of {ROUNDS} rounds, profile {}", profile());
    println!("{:<18} {:>10}   {:<15} {:>10} {:>9} {:>7}", "what", "ours", "reference", "", "ratio", "goal");
    for row in rows {
        let goal = row.goal.map_or_else(String::new, |goal| format!("<= {goal}"));
        println!(
            "{:<18} {:>10}   {:<15} {:>10} {:>8}x {goal:>7}",
            row.payload.to_string(),
            duration(row.ours_ns),
            row.reference.name(),
            duration(row.reference_ns),
            digits(row.ratio),
        );
    }
}

/// Writes the table for the next reader, when that was asked for.
pub(crate) fn save_if_asked(rows: &[Row]) {
    if std::env::var_os(SAVE).is_none_or(|value| value != "1") {
        return;
    }
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    let document = json!({ "profile": profile(), "cpus": cpus, "rounds": ROUNDS, "rows": rows });
    let text = serde_json::to_string_pretty(&document).expect("JSON");
    std::fs::create_dir_all(Path::new(RESULTS).parent().expect("a folder")).expect("the folder of results");
    std::fs::write(RESULTS, text + "\n").expect("the results");
    println!("written to {RESULTS}");
}

impl Row {
    fn to_json(&self) -> Value {
        json!({
            "what": self.payload.to_string(),
            "ours_ns": self.ours_ns,
            "reference": self.reference.name(),
            "reference_ns": self.reference_ns,
            "ratio": self.ratio,
            "goal": self.goal,
        })
    }
}

/// The cargo profile, which nothing but the place of this program tells.
fn profile() -> String {
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent).and_then(Path::parent).and_then(Path::file_name);
    folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{} ns", digits(ns)),
        ns if ns < 1e6 => format!("{} us", digits(ns / 1e3)),
        ns => format!("{} ms", digits(ns / 1e6)),
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    let decimals = match value {
        value if value < 1.0 => 3,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
