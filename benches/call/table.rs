//! The table: ours, a reference, and the ratio of the two, measured in turn.

use crate::payload::{Case, Contender, Payload, Took};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Odd, so that there is one in the middle.
const ROUNDS: usize = 21;
/// Set to make another number of rounds.
const ROUNDS_WANTED: &str = "STATION_BENCH_ROUNDS";
/// Long against a tick of the clock and a switch between threads, short against what else the machine does.
const SAMPLE: Duration = Duration::from_millis(20);

/// What was measured.
pub(crate) struct Table {
    rounds: usize,
    cases: Vec<Measured>,
}

/// One case, with a sample per round.
struct Measured {
    payload: Payload,
    contender: Contender,
    processor_ns: Vec<f64>,
    wall_ns: Vec<f64>,
}

/// Ours against one reference.
struct Row {
    payload: Payload,
    reference: Contender,
    ours_ns: f64,
    reference_ns: f64,
    /// The median of the rounds' ratios, which is not quite the ratio of the medians.
    ratio: f64,
    goal: Option<f64>,
}

impl Table {
    /// Measures every case once per round.
    pub(crate) fn measure(cases: &mut [Case]) -> Self {
        let rounds = rounds();
        let times: Vec<u64> = cases.iter_mut().map(calibrate).collect();
        let mut measured: Vec<_> = cases.iter().map(Measured::nothing_of).collect();
        for _ in 0..rounds {
            for ((case, &times), measured) in cases.iter_mut().zip(&times).zip(&mut measured) {
                measured.add((case.timed)(times), times);
            }
        }
        Self { rounds, cases: measured }
    }

    fn rows(&self) -> Vec<Row> {
        self.cases.chunk_by(|a, b| a.payload == b.payload).flat_map(rows).collect()
    }

    /// Prints it for a person.
    pub(crate) fn print(&self) {
        let (rounds, profile) = (self.rounds, profile());
        println!("\nA brokered call against references of the same run: medians of {rounds} rounds, profile {profile}");
        println!("{:<18} {:>10}   {:<17} {:>10} {:>9} {:>7}", "what", "ours", "reference", "", "ratio", "goal");
        for row in self.rows() {
            let goal = row.goal.map_or_else(String::new, |goal| format!("<= {goal}"));
            println!(
                "{:<18} {:>10}   {:<17} {:>10} {:>8}x {goal:>7}",
                row.payload.to_string(),
                duration(row.ours_ns),
                row.reference.name(),
                duration(row.reference_ns),
                digits(row.ratio),
            );
        }
    }

    /// Writes it for `cargo xtask bench`: the rows, and every case by itself for the plot and for the peers.
    pub(crate) fn save(&self, file: &Path) {
        let rows: Vec<Value> = self.rows().iter().map(Row::to_json).collect();
        let cases: Vec<Value> = self.cases.iter().map(Measured::to_json).collect();
        let document = json!({ "profile": profile(), "rounds": self.rounds, "rows": rows, "cases": cases });
        std::fs::write(file, document.to_string() + "\n").expect("the results");
    }
}

fn rounds() -> usize {
    let wanted = std::env::var(ROUNDS_WANTED).ok();
    wanted.map_or(ROUNDS, |wanted| wanted.parse().expect("a number of rounds"))
}

/// How often it must be done for a sample to take about [`SAMPLE`].
fn calibrate(case: &mut Case) -> u64 {
    let mut times = 1;
    loop {
        let took = (case.timed)(times).processor;
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
fn rows(same: &[Measured]) -> Vec<Row> {
    let Some((ours, references)) = same.split_first() else { return Vec::new() };
    references.iter().map(|reference| ours.against(reference)).collect()
}

impl Measured {
    fn nothing_of(case: &Case) -> Self {
        Self { payload: case.payload, contender: case.contender, processor_ns: Vec::new(), wall_ns: Vec::new() }
    }

    fn add(&mut self, took: Took, times: u64) {
        self.processor_ns.push(per_call_ns(took.processor, times));
        self.wall_ns.push(per_call_ns(took.wall, times));
    }

    fn against(&self, reference: &Self) -> Row {
        let ratios = self.processor_ns.iter().zip(&reference.processor_ns).map(|(ours, theirs)| ours / theirs);
        Row {
            payload: self.payload,
            reference: reference.contender,
            ours_ns: median(self.processor_ns.iter().copied()),
            reference_ns: median(reference.processor_ns.iter().copied()),
            ratio: median(ratios),
            goal: goal(self.payload, reference.contender),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "what": self.payload.to_string(),
            "by": self.contender.name(),
            "bytes": self.payload.bytes(),
            "both_ways": matches!(self.payload, Payload::BothWays(_)),
            "ns": median(self.processor_ns.iter().copied()),
            "wall_ns": median(self.wall_ns.iter().copied()),
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The ratio to reach, with the `fat` profile.
fn goal(payload: Payload, reference: Contender) -> Option<f64> {
    match (payload, reference) {
        (Payload::Add, Contender::BothCrossings) => Some(1.25),
        (Payload::Add, Contender::Composed) => Some(30.0),
        (Payload::Deep, Contender::OneCall) => Some(5.5),
        (Payload::Text(64), Contender::Composed) => Some(9.0),
        (Payload::Record, Contender::Composed) => Some(4.5),
        (Payload::OneWay(1_024), Contender::Composed) => Some(0.25),
        (Payload::OneWay(65_536), Contender::Memcpy) => Some(1.5),
        (Payload::BothWays(65_536), Contender::Memcpy) => Some(1.4),
        (Payload::OneWay(1_048_576), Contender::Memcpy) => Some(2.0),
        _ => None,
    }
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
