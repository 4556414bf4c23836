//! Dev only: what a black-box test needs to drive the real binary.
//!
//! [`Station`] is a running `station serve` with a folder of its own and free ports; it is killed when it is dropped, and
//! what it logged is printed when the test failed. [`guest`] finds a component that `cargo xtask guests` built,
//! [`component`] makes one from text. [`http`] is a client that does what no polite client would.
//!
//! For durability: a [`Disk`] that fails, dies or tells a [`Trace`], what a power cut leaves ([`after_power_cut`]), and a
//! [`Seed`] for all choices.
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

mod disk;
mod guests;
pub mod http;
mod power_cut;
mod run;
mod seed;
mod station;
mod trace;
mod wait;

pub use disk::{Disk, Harm, How, Of};
pub use guests::{component, guest, guest_bytes};
pub use power_cut::{Files, Loss, after_power_cut, read_files, write_files};
pub use run::Run;
pub use seed::Seed;
pub use station::{Builder, Cache, NotStarted, Ready, Station};
pub use trace::{Event, Trace, What};
pub use wait::{WAIT_S_MAX, until};
