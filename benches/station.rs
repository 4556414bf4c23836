//! What a station costs beside its calls: fresh instances, idle ones, loading, a second core.
//!
//! ```text
//! cargo xtask guests payload-source payload-sink plain-echo time-sleep
//! cargo bench --bench station --profile release-dev      # daily; --profile fat for figures to publish
//! ```
//!
//! Each figure is taken through `station-host`, as an embedder would. `cargo xtask bench` runs this for its table:
//! `STATION_BENCH_SAVE=FILE` writes the rows, `STATION_BENCH_ROUNDS=N` makes more or fewer rounds. For a profile of one
//! figure: `STATION_BENCH_ONLY=first`, `fresh`, `idle`, `load` or `cores`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that fails stops, and it talks to a person"
)]

#[path = "station/instances.rs"]
mod instances;
#[path = "station/loading.rs"]
mod loading;
#[path = "station/row.rs"]
mod row;
#[path = "station/scaling.rs"]
mod scaling;
mod shared;

use row::Row;

/// Odd, so that there is one in the middle.
const ROUNDS: usize = 11;

fn main() {
    // Without `--bench` it is `cargo test --benches` that runs this, and a measurement is no test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rows = measure(rounds());
    rows.iter().for_each(|row| println!("{row}"));
    if let Some(file) = std::env::var_os("STATION_BENCH_SAVE") {
        std::fs::write(file, row::document(&rows)).expect("the results");
    }
}

fn measure(rounds: usize) -> Vec<Row> {
    let mut rows = of_instances(rounds);
    rows.extend(wanted("load").then(|| loading::load(rounds)));
    rows.extend(wanted("cores").then(|| scaling::two_cores(rounds)));
    rows
}

fn of_instances(rounds: usize) -> Vec<Row> {
    let host = instances::host();
    // First, because later rows leave memory behind.
    let idle = wanted("idle").then(|| instances::idle(&host));
    let first = wanted("first").then(|| instances::first_call(&host, rounds));
    let fresh = wanted("fresh").then(|| instances::per_second(&host, rounds));
    [first, fresh, idle].into_iter().flatten().collect()
}

fn wanted(figure: &str) -> bool {
    std::env::var("STATION_BENCH_ONLY").map_or(true, |only| only == figure)
}

fn rounds() -> usize {
    std::env::var("STATION_BENCH_ROUNDS").map_or(ROUNDS, |wanted| wanted.parse().expect("a number of rounds"))
}
