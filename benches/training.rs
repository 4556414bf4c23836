//! The work that what is published is trained with: what stations do all day, once each and a few seconds long.
//!
//! `cargo xtask dist` builds this and the program so that they count which branches are taken, runs this, and builds the
//! program again with what was counted. Functions that are not reached here are compiled as always; branches that are not
//! taken in those that are, the compiler takes for rare. So whatever shall be quick belongs in here: calls between modules,
//! fresh instances, loading, compiling, requests to the gateway, writes, uploads, the admin API. By itself it measures
//! nothing.
//!
//! Compiling is trained in this process, because a compile child has no way to write down what it counted: it may
//! neither open a file nor write to one. Whatever else the child does goes untrained.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a bench that fails stops, and of the parts of other benches it uses some"
)]

#[path = "training/calling.rs"]
mod calling;
#[path = "training/compiling.rs"]
mod compiling;
#[path = "station/instances.rs"]
mod instances;
#[path = "station/loading.rs"]
mod loading;
#[path = "call/modules.rs"]
mod modules;
#[path = "call/payload.rs"]
mod payload;
#[path = "call/plain.rs"]
mod plain;
#[path = "station/row.rs"]
mod row;
#[path = "training/serving.rs"]
mod serving;
mod shared;

/// Set by `cargo xtask dist`. Without it there is nothing to do: neither `cargo bench` nor `cargo test --benches` is a
/// training.
const WANTED: &str = "STATION_TRAINING";

fn main() {
    if std::env::var_os(WANTED).is_none() {
        return;
    }
    compiling::train();
    calling::train();
    serving::train();
}
