//! What a call from one module to another costs, by payload, always beside something that it can be held against.
//!
//! ```text
//! cargo xtask guests payload-composed
//! cargo bench --bench call --profile release-dev      # daily; --profile fat for figures to publish
//! ```
//!
//! - *brokered*: `payload-source` calls `payload-sink` through the kernel, with fuel, accounting and a store each. This
//!   is ours; everything else is a reference.
//! - *dynamic lane*: the same on a station that moves everything as values, as `engine: { lane: dynamic }` has it.
//! - *composed*: the same two components in one, without a broker, on the same station.
//! - *host to guest*: wasmtime's typed call of the same function of `payload-sink`, with the station's settings.
//! - *both crossings*: a call from host to guest and one from guest to host; a brokered call crosses the border twice.
//! - *one in the other*: the same two crossings as a brokered call makes them, the one while the other is open, between
//!   two stores, by a host function that does nothing else.
//! - *memcpy*: of the same bytes, as often as they must be copied.
//!
//! Loops run inside the guest, so that a turn is exactly one call from module to module.
//!
//! First criterion measures each case by itself and holds it against its last run. Then all cases are measured in turn,
//! round by round, for the table at the end: whatever disturbs the machine disturbs ours and the references alike, so
//! its ratios hold where its times do not. Times are processor time, for the same reason.
//!
//! `cargo xtask bench` wants the table alone: with `STATION_BENCH_SAVE=FILE` criterion is left out and the table written
//! there; `STATION_BENCH_ROUNDS=N` makes another number of rounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that fails stops, and it talks to a person"
)]

#[path = "call/memory.rs"]
mod memory;
#[path = "call/modules.rs"]
mod modules;
#[path = "call/payload.rs"]
mod payload;
#[path = "call/plain.rs"]
mod plain;
mod shared;
#[path = "call/table.rs"]
mod table;

use criterion::{Criterion, Throughput};
use modules::Modules;
use payload::{Case, Contender, Payload};
use plain::Plain;
use station_host::LaneChoice;
use std::path::Path;
use std::time::Duration;
use table::Table;

/// Ten samples of half a second together: enough for criterion to see a change of a few per cent, and all cases
/// together stay under two minutes.
const SAMPLES: usize = 10;
const MEASURED: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(200);

fn main() {
    // Without `--bench` it is `cargo test --benches` that runs this, and a measurement is no test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut cases = cases();
    let save = std::env::var_os("STATION_BENCH_SAVE");
    if save.is_none() {
        by_criterion(&mut cases);
    }
    let table = Table::measure(&mut cases);
    table.print();
    if let Some(file) = save {
        table.save(Path::new(&file));
    }
}

/// Every case; those with the same payload stand together.
fn cases() -> Vec<Case> {
    let (modules, dynamic) = (Modules::start_with_composed(), Modules::start_in(LaneChoice::Dynamic));
    let plain = Plain::new();
    let mut cases = Vec::new();
    modules.check_faithfulness();
    for payload in Payload::ALL {
        modules.check_agreement(payload);
        let mut add = |contender, timed| cases.push(Case { payload, contender, timed });
        add(Contender::Brokered, modules.brokered(payload));
        if payload == Payload::Deep {
            add(Contender::OneCall, modules.brokered(Payload::Add));
            continue;
        }
        add(Contender::Dynamic, dynamic.brokered(payload));
        add(Contender::Composed, modules.composed(payload));
        if let Some(timed) = plain.host_to_guest(payload) {
            add(Contender::HostToGuest, timed);
        }
        match payload.bytes() {
            None => {
                add(Contender::BothCrossings, plain.both_crossings());
                add(Contender::OneInsideTheOther, plain.one_inside_the_other());
            }
            // Of strings and records the copying is the least.
            Some(_) if matches!(payload, Payload::Text(_) | Payload::Record) => {}
            Some(_) => add(Contender::Memcpy, memory::memcpy(payload)),
        }
    }
    cases
}

fn by_criterion(cases: &mut [Case]) {
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(WARM_UP)
        .measurement_time(MEASURED)
        .without_plots()
        .configure_from_args();
    for same in cases.chunk_by_mut(|a, b| a.payload == b.payload) {
        let payload = same[0].payload;
        let mut group = criterion.benchmark_group(payload.to_string());
        if let Some(bytes) = payload.bytes() {
            group.throughput(Throughput::Bytes(bytes.into()));
        }
        for Case { contender, timed, .. } in same {
            group.bench_function(contender.name(), |bencher| bencher.iter_custom(|times| timed(times).processor));
        }
        group.finish();
    }
    criterion.final_summary();
}
