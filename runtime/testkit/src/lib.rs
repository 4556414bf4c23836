//! Dev only: what a black-box test needs to drive the real binary.
//!
//! [`Station`] is a running `station serve` with a folder of its own and free ports; it is killed when it is dropped, and
//! what it logged is printed when the test failed. [`guest`] finds a component that `cargo xtask guests` built,
//! [`component`] makes one from text. [`http`] is a client that does what no polite client would.
//!
//! Nothing here waits for a time: [`until`] waits for a state of affairs, with a bound.
//!
//! This crate never links the engine: what a test sees is what a user sees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness that fails makes the test fail, which is what panics are for"
)]

mod guests;
pub mod http;
mod run;
mod station;
mod wait;

pub use guests::{component, guest, guest_bytes};
pub use run::Run;
pub use station::{Builder, Cache, Ready, Station};
pub use wait::{WAIT_S_MAX, until};
