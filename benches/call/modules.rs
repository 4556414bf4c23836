//! Calls between modules, on a station of our own: brokered, and composed into one module.

use crate::payload::{DEEP, Payload, Timed, Took, time};
use serde_json::Value;
use station_host::{ModuleSpec, Settings, Station};
use station_kernel::ports::{Arguments, Executor};
use station_kernel::{RootCall, Target};
use station_model::{CallId, FunctionPath, Instances, Limits, LimitsPatch, Mode, ModuleName};
use station_testkit::guest;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BROKERED: &str = "payload-source";
const COMPOSED: &str = "payload-composed";
const SINK: &str = "payload-sink";
/// The source before a chain of relays that ends in the sink.
const DEEP_SOURCE: &str = "deep-source";
/// What the source imports and the sink exports, and so do relays.
const INTERFACE: &str = "fixture:payload/sink@1.0.0";
/// Bytes sent to see that they arrive: none, few, more than a page.
const FAITHFUL: [u32; 3] = [0, 64, 100_000];

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
        let module = if payload == Payload::Deep { DEEP_SOURCE } else { BROKERED };
        self.timed(module, payload)
    }

    /// The payload within the composed module.
    pub(crate) fn composed(self: &Rc<Self>, payload: Payload) -> Timed {
        self.timed(COMPOSED, payload)
    }

    /// Makes sure that all do the same work.
    pub(crate) fn check_agreement(&self, payload: Payload) {
        let [brokered, composed, deep] = [BROKERED, COMPOSED, DEEP_SOURCE].map(|it| self.call(it, payload, 3));
        assert_eq!(brokered, composed, "{payload}: the brokered and the composed modules differ");
        assert_eq!(brokered, deep, "{payload}: the chain answers something else");
    }

    /// Makes sure that what is sent arrives, and comes back, byte for byte.
    pub(crate) fn check_faithfulness(&self) {
        for module in [BROKERED, COMPOSED, DEEP_SOURCE] {
            for bytes in FAITHFUL {
                let answer = self.ask(module, "faithful", vec![bytes.into()]);
                assert_eq!(answer, Some(Value::Bool(true)), "{module} lost something of {bytes} bytes");
            }
        }
    }

    fn timed(self: &Rc<Self>, module: &'static str, payload: Payload) -> Timed {
        let modules = Rc::clone(self);
        Box::new(move |times| modules.time(module, payload, times))
    }

    /// In several call trees where one may not make so many calls. What a tree costs without any call in its loop is
    /// taken off.
    fn time(&self, module: &str, payload: Payload, times: u64) -> Took {
        let most = calls_per_tree(payload);
        let trees = (0..times.div_ceil(most)).map(|tree| (times - tree * most).min(most));
        trees.map(|calls| self.time_tree(module, payload, calls)).sum()
    }

    fn time_tree(&self, module: &str, payload: Payload, calls: u64) -> Took {
        let tree = |calls| time(1, || self.call(module, payload, calls));
        tree(calls).without(tree(0))
    }

    fn call(&self, module: &str, payload: Payload, times: u64) -> Option<Value> {
        self.ask(module, payload.function(), payload.arguments(times))
    }

    fn ask(&self, module: &str, function: &str, arguments: Vec<Value>) -> Option<Value> {
        let kernel = self.station.kernel();
        let call = RootCall {
            module: name(module),
            target: Target::Function(path(function)),
            principal: "bench".to_owned(),
            id: CallId::now(),
            fuel: None,
            deadline_ms: None,
            entry: kernel.executor().entry(Arguments::Json(arguments)),
        };
        let ended = self.runtime.block_on(kernel.run(call)).expect("the call begins");
        assert_eq!(ended.report.failure, None, "{module} {function}");
        ended.result
    }
}

fn calls_per_tree(payload: Payload) -> u64 {
    let bytes = u64::from(payload.bytes().unwrap_or(0)) * VAL_BYTES;
    (CALLS_PER_TREE / payload.calls()).min(BYTES_PER_TREE / (bytes + 2 * VAL_BYTES))
}

fn settings(data: &TempDir) -> Settings {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings {
        admin: any_port,
        gateway: any_port,
        limits: LIMITS,
        modules: modules(),
        ..Settings::new(data.path(), env!("CARGO_BIN_EXE_station"))
    }
}

/// The source and the sink, both composed, and the source before a chain.
fn modules() -> Vec<ModuleSpec> {
    let mut modules = vec![
        module(SINK, SINK, None),
        module(COMPOSED, COMPOSED, None),
        module(BROKERED, BROKERED, Some(SINK)),
        module(DEEP_SOURCE, BROKERED, Some(&relay(1))),
    ];
    let last = DEEP - 1;
    modules.extend((1..last).map(|at| module(&relay(at), "payload-relay", Some(&relay(at + 1)))));
    modules.push(module(&relay(last), "payload-relay", Some(SINK)));
    modules
}

fn relay(at: u64) -> String {
    format!("relay-{at}")
}

/// Linked to the one that it calls. Instances are kept, so that no call pays for a new one with its cold memory.
fn module(module: &str, component: &str, calls: Option<&str>) -> ModuleSpec {
    let interface = || INTERFACE.parse().expect("an interface's name");
    ModuleSpec {
        name: name(module),
        source: Some(guest(component)),
        grants: Vec::new(),
        grant_all: true,
        links: calls.map(|provider| (interface(), name(provider))).into_iter().collect(),
        limits: LimitsPatch::default(),
        instances: Instances { mode: Mode::Reused, calls_max: 1 << 40, idle_ms_max: 1 << 40 },
        routes: Vec::new(),
        config: BTreeMap::new(),
    }
}

fn name(module: &str) -> ModuleName {
    module.parse().expect("a module's name")
}

fn path(function: &str) -> FunctionPath {
    format!("fixture:payload/source#{function}").parse().expect("a function's path")
}
