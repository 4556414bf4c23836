//! Calls between modules, on a station of our own: brokered, and composed into one module.

use crate::payload::{Payload, Timed, time};
use serde_json::Value;
use station_host::{ModuleSpec, Settings, Station};
use station_kernel::ports::{Arguments, Executor};
use station_kernel::{RootCall, Target};
use station_model::{CallId, FunctionPath, Instances, Limits, LimitsPatch, Mode, ModuleName};
use station_testkit::guest;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BROKERED: &str = "payload-source";
const COMPOSED: &str = "payload-composed";

/// Far beyond what a loop of this bench takes: the limits are on, and none is met.
const LIMITS: Limits = Limits { fuel: 1 << 50, deadline_ms: 600_000, memory_bytes: 256 << 20, instances_max: 4 };
/// Calls of one tree, under the kernel's `calls_max`.
const CALLS_PER_TREE: u64 = 900_000;
/// Bytes that one tree moves, under the kernel's `bytes_max`.
const BYTES_PER_TREE: u64 = 1_000_000_000;
/// What the kernel counts per element of a list as long as it moves it as a `Val`.
const VAL_BYTES: u64 = 40;

/// A station with the modules.
pub(crate) struct Modules {
    station: Station,
    runtime: Runtime,
    _data: TempDir,
}

impl Modules {
    /// Starts the station, which compiles the modules.
    pub(crate) fn start() -> Rc<Self> {
        let data = TempDir::new().expect("a folder for the station");
        let runtime = Runtime::new().expect("a runtime");
        let station = runtime.block_on(Station::start(settings(&data))).expect("the station starts");
        Rc::new(Self { station, runtime, _data: data })
    }

    /// The payload from module to module through the broker.
    pub(crate) fn brokered(self: &Rc<Self>, payload: Payload) -> Timed {
        self.timed(BROKERED, payload)
    }

    /// The payload within the composed module.
    pub(crate) fn composed(self: &Rc<Self>, payload: Payload) -> Timed {
        self.timed(COMPOSED, payload)
    }

    /// Makes sure that both do the same work.
    pub(crate) fn check_agreement(&self, payload: Payload) {
        let (brokered, composed) = (self.call(BROKERED, payload, 3), self.call(COMPOSED, payload, 3));
        assert_eq!(brokered, composed, "{payload}: the brokered and the composed modules differ");
    }

    fn timed(self: &Rc<Self>, module: &'static str, payload: Payload) -> Timed {
        let modules = Rc::clone(self);
        Box::new(move |times| modules.time(module, payload, times))
    }

    /// In several call trees where one may not make so many calls. What a tree costs without any call in its loop is
    /// taken off.
    fn time(&self, module: &str, payload: Payload, times: u64) -> Duration {
        let most = calls_per_tree(payload);
        let trees = (0..times.div_ceil(most)).map(|tree| (times - tree * most).min(most));
        trees.map(|calls| self.time_tree(module, payload, calls)).sum()
    }

    fn time_tree(&self, module: &str, payload: Payload, calls: u64) -> Duration {
        let tree = |calls| time(1, || self.call(module, payload, calls));
        tree(calls).saturating_sub(tree(0))
    }

    fn call(&self, module: &str, payload: Payload, times: u64) -> Option<Value> {
        let kernel = self.station.kernel();
        let call = RootCall {
            module: name(module),
            target: Target::Function(function(payload)),
            principal: "bench".to_owned(),
            id: CallId::now(),
            fuel: None,
            deadline_ms: None,
            entry: kernel.executor().entry(Arguments::Json(payload.arguments(times))),
        };
        let ended = self.runtime.block_on(kernel.run(call)).expect("the call begins");
        assert_eq!(ended.report.failure, None, "{module}, {payload}, {times} times");
        ended.result
    }
}

fn calls_per_tree(payload: Payload) -> u64 {
    let bytes = u64::from(payload.bytes().unwrap_or(0)) * VAL_BYTES;
    CALLS_PER_TREE.min(BYTES_PER_TREE / (bytes + 2 * VAL_BYTES))
}

fn settings(data: &TempDir) -> Settings {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings {
        admin: any_port,
        gateway: any_port,
        limits: LIMITS,
        modules: ["payload-sink", BROKERED, COMPOSED].map(module).to_vec(),
        ..Settings::new(data.path(), env!("CARGO_BIN_EXE_station"))
    }
}

/// Instances are kept, so that no call pays for a new one with its cold memory.
fn module(module: &str) -> ModuleSpec {
    ModuleSpec {
        name: name(module),
        source: Some(guest(module)),
        grants: Vec::new(),
        grant_all: true,
        links: Vec::new(),
        limits: LimitsPatch::default(),
        instances: Instances { mode: Mode::Reused, calls_max: 1 << 40, idle_ms_max: 1 << 40 },
        routes: Vec::new(),
        config: BTreeMap::new(),
    }
}

fn name(module: &str) -> ModuleName {
    module.parse().expect("a module's name")
}

fn function(payload: Payload) -> FunctionPath {
    format!("fixture:payload/source#{}", payload.function()).parse().expect("a function's path")
}
