//! What an embedder decides. Every value has a default that is right for one machine.

use station_engine::LaneChoice;
use station_kernel::state::Route;
use station_model::{Grant, Instances, InterfaceName, Limits, LimitsPatch, ModuleName};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The settings of a station.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The station's name, for logs.
    pub name: String,
    /// Folder of the database, the uploaded components and `admin.token`. Made when it is not there, for its owner only.
    pub data: PathBuf,
    /// Folder of compiled code, which may be deleted at any time. None: no cache.
    pub cache: Option<PathBuf>,
    /// Where the admin API listens; port 0 takes a free one.
    pub admin: SocketAddr,
    /// Where modules are served; port 0 takes a free one.
    pub gateway: SocketAddr,
    /// The program that compiles and reads debug information in a child process.
    pub worker: PathBuf,
    /// Limits of a module that has none of its own.
    pub limits: Limits,
    /// The engine.
    pub engine: EngineSettings,
    /// Call trees at one time.
    pub call_threads_max: usize,
    /// Root calls that wait for a thread.
    pub queue_max: usize,
    /// How long a call may take from its first write to its end, in milliseconds.
    pub write_ms_max: u64,
    /// Bytes that the tables of one module may take.
    pub sql_bytes_max: u64,
    /// Rows that the tables of one module may have together.
    pub sql_rows_max: u64,
    /// Whether the station brings its WAL back into the database by itself. Not when Litestream does.
    pub checkpoints: bool,
    /// How long running calls may go on after the drain began, in milliseconds.
    pub drain_ms_max: u64,
    /// The largest component that is accepted, in bytes.
    pub upload_bytes_max: u64,
    /// Modules that shall be there, whatever else was uploaded.
    pub modules: Vec<ModuleSpec>,
}

/// The settings of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// Instances of modules at one time, over all modules.
    pub instances_max: u32,
    /// Memory of all instances together, in bytes.
    pub memory_total_bytes: u64,
    /// How values move between modules.
    pub lane: LaneChoice,
    /// Wall time of one compilation, in milliseconds.
    pub compile_wall_ms_max: u64,
    /// Processor time of one compilation, in seconds.
    pub compile_cpu_s_max: u64,
    /// Address space of one compilation, in bytes.
    pub compile_memory_bytes: u64,
}

/// A module as the operator wants it. What is not said here stays as it was.
#[derive(Debug, Clone)]
pub struct ModuleSpec {
    /// Its name.
    pub name: ModuleName,
    /// The component; none for a module that is uploaded.
    pub source: Option<PathBuf>,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// Grant everything that the component imports.
    pub grant_all: bool,
    /// Who provides which import.
    pub links: Vec<(InterfaceName, ModuleName)>,
    /// Limits that differ from the station's.
    pub limits: LimitsPatch,
    /// What happens to instances after a call.
    pub instances: Instances,
    /// Where the gateway sends requests to it.
    pub routes: Vec<Route>,
    /// Values for `wasi:config`.
    pub config: BTreeMap<String, String>,
}

impl Settings {
    /// The defaults, with data in `data` and `worker` as the program that compiles.
    pub fn new(data: impl Into<PathBuf>, worker: impl Into<PathBuf>) -> Self {
        let kernel = station_kernel::Settings::default();
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            name: "station".to_owned(),
            data: data.into(),
            cache: None,
            admin: loopback(8081),
            gateway: loopback(8080),
            worker: worker.into(),
            limits: kernel.limits,
            engine: EngineSettings::default(),
            call_threads_max: kernel.threads_max,
            queue_max: kernel.queue_max,
            write_ms_max: kernel.write_ms_max,
            sql_bytes_max: 256 << 20,
            sql_rows_max: 10_000_000,
            checkpoints: true,
            drain_ms_max: 30_000,
            upload_bytes_max: 64 << 20,
            modules: Vec::new(),
        }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        let compile = station_engine::CompileLimits::default();
        Self {
            instances_max: 256,
            memory_total_bytes: 4 << 30,
            lane: LaneChoice::default(),
            compile_wall_ms_max: compile.wall_ms_max,
            compile_cpu_s_max: compile.cpu_s_max,
            compile_memory_bytes: compile.memory_bytes,
        }
    }
}

impl EngineSettings {
    pub(crate) fn compile(&self) -> station_engine::CompileLimits {
        station_engine::CompileLimits {
            wall_ms_max: self.compile_wall_ms_max,
            cpu_s_max: self.compile_cpu_s_max,
            memory_bytes: self.compile_memory_bytes,
        }
    }
}
