//! Embed a station in a Rust program.
//!
//! [`Station::start`] puts everything together: the kernel, the engine, the capabilities, the registry, the admin
//! API and the gateway. The `station` program is its first user and has no other way in.
//!
//! ```no_run
//! # async fn run() -> Result<(), station_host::Error> {
//! let settings = station_host::Settings::new("./data", std::env::current_exe().unwrap_or_default());
//! let station = station_host::Station::start(settings).await?;
//! println!("the admin API listens on {}", station.admin_addr());
//! station.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! Untrusted bytes are compiled in a child process: the program named as `worker` must call [`compile_worker`] and
//! [`symbolize_worker`] when its first argument is `compile-worker` or `symbolize-worker`.
#![warn(missing_docs)]

mod admin_runtime;
pub mod backup;
mod check;
mod clock;
mod desired;
mod ingress;
pub mod inspect;
mod settings;
mod station;
mod token_file;

pub use check::{CheckReport, check};
pub use settings::{EngineSettings, ModuleSpec, Settings};
pub use station::{Error, Station};
pub use station_engine::{LaneChoice, compile_worker, symbolize_worker};
pub use station_kernel::state::Route;
