//! The kernel: which revision provides which interface to whom, and what a call may spend.
//!
//! It routes, checks grants, keeps budgets and remembers what happened. It knows no wasm, no HTTP and no SQL:
//! what runs a module is an [`Executor`], what remembers a deployment is a [`Registry`], and both are plugged in
//! by `station-host`. The kernel never looks into the values of a call.
#![warn(missing_docs)]

pub mod compare;
pub mod control;
pub mod events;
pub mod graph;
mod journal;
mod kernel;
mod lifecycle;
mod loading;
mod logs;
pub mod meter;
mod places;
pub mod ports;
pub mod pulse;
mod quarantine;
mod run;
mod service;
pub mod state;
#[cfg(test)]
mod tests;
pub mod threads;
pub mod tree;
pub mod work;

pub use control::Control;
pub use journal::Journal;
pub use kernel::{Kernel, Ports, Settings, StartError};
pub use logs::{Line, Logs};
pub use meter::Meter;
pub use ports::{Clock, Executor, Prepared, Registry, StorageError};
pub use run::{Ended, RootCall, Target, Underway};
pub use service::Service;
pub use state::{Change, ModuleState, Revision, State, Token};
pub use tree::Tree;
