//! wasmtime behind the kernel's port: inspect, compile, link, pool, meter, lift and lower, name traps.
//!
//! The execution model is the whole design: a call tree owns one plain thread, every store is sync, and what waits
//! waits on that thread with the tree's deadline. See `docs/architecture.md`, "A call".
#![warn(missing_docs)]

mod broker;
mod cache;
mod capability;
mod config;
mod confined;
mod ctx;
mod engine;
mod entry;
mod failure;
mod handles;
mod host;
mod inspect;
mod lane;
mod limiter;
mod live;
mod migrations;
mod module;
mod pool;
mod prescan;
mod raw;
mod run;
mod sealed;
mod spares;
mod symbolize;
mod text;
mod used;
mod worker;

pub use capability::{Capability, Offer};
pub use confined::Confined;
pub use ctx::{Ctx, News, UnitHandle, Waiter};
pub use engine::{Engine, Error, HOSTCALL_BYTES, Settings};
pub use entry::{Entry, RootEntry};
pub use lane::{Choice as LaneChoice, Lane};
pub use module::Module;
#[cfg(feature = "fuzzing")]
pub use raw::oracle::{Tally, agree};
pub use worker::child::{compile_worker, symbolize_worker};
pub use worker::{Checked, Limits as CompileLimits, check};
