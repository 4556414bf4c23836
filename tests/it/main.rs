//! The black-box tests: they start the real binary, upload components that somebody compiled, and look at what a user
//! can see.
//!
//! One station, folder and set of ports per test; nothing sleeps. `cargo xtask guests` builds what is uploaded. One file
//! per subject; a test that needs a new behaviour of a guest gets a new fixture in `guest-modules/fixtures`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests, too"
)]

mod admin;
mod backup;
mod capabilities;
mod crash;
mod events;
mod examples;
mod failures;
mod gateway;
mod held_responses;
mod history;
mod hostile;
mod instances;
mod leaving;
mod linking;
mod looking;
mod moving;
mod one_transaction;
mod planning;
mod projects;
mod resources;
mod restart;
mod sql;
mod text;
mod types;
mod unit_of_work;

use station_testkit::{Builder, Station};

/// The station under test, with an empty configuration.
fn station() -> Builder {
    Station::of(env!("CARGO_BIN_EXE_station"))
}

/// A running station with an empty configuration.
#[track_caller]
fn started() -> Station {
    station().start()
}

/// What is secret of a token, `stn_<id>_<secret>`: the secret may have underscores.
#[track_caller]
fn secret_of(token: &str) -> &str {
    let secret = token.splitn(3, '_').nth(2).unwrap();
    assert_eq!(secret.len(), 43, "a token looks otherwise now");
    secret
}
