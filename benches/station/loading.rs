//! A component whose code is in the cache against one that must be compiled.

use crate::row::{Goal, Row, median};
use crate::shared::Host;
use station_kernel::ports::Executor;
use station_testkit::guest;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// Rust with the standard library and HTTP: what a small real module is like.
const GUEST: &str = "http-hello";
/// A compilation takes a second, and loading is what varies.
const COMPILED_MAX: usize = 3;

/// Compiles in a child process, as a station does, and loads what the cache has of it.
pub(crate) fn load(rounds: usize) -> Row {
    let cache = TempDir::new().expect("a folder for the cache");
    let host = Host::start(Vec::new(), Some(cache.path()));
    let file = guest(GUEST);
    Row {
        name: "loading http-hello from the cache",
        unit: "ms",
        reference: Some(("compiling it", compiled_ms(&host, &file, rounds))),
        ours: loaded_ms(&host, &file, rounds),
        goal: Goal::FasterMin(2_000.0),
    }
}

fn compiled_ms(host: &Host, file: &Path, rounds: usize) -> f64 {
    let engine = station_host::EngineSettings::default();
    let worker = Path::new(env!("CARGO_BIN_EXE_station"));
    let check = || host.runtime.block_on(station_host::check(&engine, worker, file)).expect("it compiles");
    median((0..rounds.min(COMPILED_MAX)).map(|_| check().compile_ms as f64).collect())
}

/// Reading, authenticating, mapping and linking it to the host.
fn loaded_ms(host: &Host, file: &Path, rounds: usize) -> f64 {
    let executor = host.station.kernel().executor();
    let digest = station_model::Digest::of(&std::fs::read(file).expect("the component"));
    let prepared = host.runtime.block_on(executor.prepare(digest, file)).expect("it compiles");
    let load = |_| {
        let start = Instant::now();
        let module = host.runtime.block_on(executor.load(digest, file, &prepared.world)).expect("it loads");
        let took = start.elapsed();
        drop(module);
        took.as_secs_f64() * 1e3
    };
    median((0..rounds * 5).map(load).collect())
}
