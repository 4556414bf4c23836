//! The composed component as `wasmtime run` runs it: what the same calls cost where nothing is metered and nobody is between
//! the modules.
//!
//! A process with many calls takes so much longer than one with none; by the clock on the wall, since that is what there
//! is of another process.

use super::row::median;
use super::servers;
use crate::repo::command;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// As `benches/call.rs` sends them.
const SIZES: [u64; 4] = [64, 1024, 65_536, 1_048_576];
/// So many calls that all together take half a second or more: a call costs about as much as this many bytes do.
const BYTES: u64 = 400_000_000;
const BYTES_OF_A_CALL: u64 = 200;

/// Bytes there and back, by size.
///
/// # Errors
/// When a process fails.
pub(super) fn measure(wasmtime: &Path, rounds: usize) -> Result<Vec<Value>> {
    SIZES.iter().map(|bytes| case(wasmtime, *bytes, rounds)).collect()
}

fn case(wasmtime: &Path, bytes: u64, rounds: usize) -> Result<Value> {
    let calls = BYTES / (bytes + BYTES_OF_A_CALL);
    let round = |_| {
        let (none, all) = (time(wasmtime, bytes, 0)?, time(wasmtime, bytes, calls)?);
        Ok(all.saturating_sub(none).as_nanos() as f64 / calls as f64)
    };
    let ns: Result<Vec<f64>> = (0..rounds).map(round).collect();
    Ok(json!({ "by": "composed, wasmtime run", "bytes": bytes, "wall_ns": median(ns?), "clock": "wall_ns" }))
}

fn time(wasmtime: &Path, bytes: u64, calls: u64) -> Result<Duration> {
    let mut run = command(wasmtime);
    run.args(["run", "--invoke", &format!("round({bytes}, {calls})")]).arg(servers::component("payload-composed"));
    let start = Instant::now();
    let output = run.stderr(Stdio::inherit()).output().context("starting wasmtime run")?;
    let took = start.elapsed();
    let answer = String::from_utf8_lossy(&output.stdout);
    ensure!(answer.trim() == (bytes * calls).to_string(), "wasmtime run answered {answer:?}");
    Ok(took)
}
