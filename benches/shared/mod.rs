//! A station inside the bench, as an embedder has one: what `benches/call.rs`, `station.rs` and `instructions.rs` call.

#![allow(dead_code, reason = "each bench is a program of its own and uses a part")]

use serde_json::Value;
use station_host::{EngineSettings, ModuleSpec, Settings, Station};
use station_kernel::ports::{Arguments, Executor};
use station_kernel::{RootCall, Target};
use station_model::{CallId, Instances, Limits, LimitsPatch, Mode, ModuleName};
use station_testkit::guest;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Far beyond what a loop of a bench takes: the limits are on, and none is met.
const LIMITS: Limits = Limits { fuel: 1 << 50, deadline_ms: 600_000, memory_bytes: 256 << 20, instances_max: 250 };

/// A station with modules.
pub(crate) struct Host {
    pub(crate) station: Station,
    pub(crate) runtime: Runtime,
    _data: TempDir,
}

impl Host {
    /// Starts a station with these modules, which it compiles unless their code is in `cache`.
    pub(crate) fn start(modules: Vec<ModuleSpec>, cache: Option<&Path>) -> Self {
        Self::start_with(EngineSettings::default(), modules, cache)
    }

    /// The same with another engine.
    pub(crate) fn start_with(engine: EngineSettings, modules: Vec<ModuleSpec>, cache: Option<&Path>) -> Self {
        let data = TempDir::new().expect("a folder for the station");
        let runtime = Runtime::new().expect("a runtime");
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = Settings {
            admin: any_port,
            gateway: any_port,
            limits: LIMITS,
            engine,
            call_threads_max: 250,
            // A bench under a tracer is slow, and nobody else waits for its write lock.
            write_ms_max: 600_000,
            cache: cache.map(Path::to_path_buf),
            modules,
            ..Settings::new(data.path(), env!("CARGO_BIN_EXE_station"))
        };
        let station = runtime.block_on(Station::start(settings)).expect("the station starts");
        Self { station, runtime, _data: data }
    }

    /// Calls a function, which must succeed.
    pub(crate) fn ask(&self, module: &str, function: &str, arguments: Vec<Value>) -> Option<Value> {
        self.runtime.block_on(self.asked(module, function, arguments))
    }

    /// The same, for several at one time.
    pub(crate) async fn asked(&self, module: &str, function: &str, arguments: Vec<Value>) -> Option<Value> {
        let kernel = self.station.kernel();
        let call = RootCall {
            module: name(module),
            target: Target::Function(function.parse().expect("a function's path")),
            principal: "bench".to_owned(),
            id: CallId::now(),
            fuel: None,
            deadline_ms: None,
            entry: kernel.executor().entry(Arguments::Json(arguments)),
        };
        let ended = kernel.run(call).await.expect("the call begins");
        assert_eq!(ended.report.failure, None, "{module} {function}");
        ended.result
    }
}

/// A module with everything granted. `Reused` keeps its instances, so that no call pays for a new one.
pub(crate) fn module(module: &str, component: &str, mode: Mode) -> ModuleSpec {
    ModuleSpec {
        name: name(module),
        source: Some(guest(component)),
        grants: Vec::new(),
        grant_all: true,
        links: Vec::new(),
        limits: LimitsPatch::default(),
        instances: Instances { mode, calls_max: 1 << 40, idle_ms_max: 1 << 40 },
        routes: Vec::new(),
        config: BTreeMap::new(),
    }
}

/// The same, with one import linked where several modules provide it.
pub(crate) fn linked(interface: &str, provider: &str, mut spec: ModuleSpec) -> ModuleSpec {
    spec.links.push((interface.parse().expect("an interface's name"), name(provider)));
    spec
}

fn name(module: &str) -> ModuleName {
    module.parse().expect("a module's name")
}
