//! Calls between modules, on a station of our own: brokered, and composed into one module.

use crate::payload::{DEEP, Payload, Timed, Took, time};
use crate::shared::{Host, linked, module};
use serde_json::Value;
use station_host::{EngineSettings, LaneChoice, ModuleSpec};
use station_model::Mode::Reused;
use std::rc::Rc;

const BROKERED: &str = "payload-source";
const COMPOSED: &str = "payload-composed";
const SINK: &str = "payload-sink";
/// The source before a chain of relays that ends in the sink.
const DEEP_SOURCE: &str = "deep-source";
/// What the source imports and the sink exports, and so do relays.
const INTERFACE: &str = "fixture:payload/sink@1.0.0";
/// Bytes sent to see that they arrive: none, few, more than a page.
const FAITHFUL: [u32; 3] = [0, 64, 100_000];

/// Calls of one tree, under the kernel's `calls_max`.
const CALLS_PER_TREE: u64 = 900_000;
/// Bytes that one tree moves, under the kernel's `bytes_max`.
const BYTES_PER_TREE: u64 = 1_000_000_000;
/// What the kernel counts per element of a list as long as it moves it as a `Val`.
const VAL_BYTES: u64 = 40;

/// A station with the modules.
pub(crate) struct Modules {
    host: Host,
    /// Those of them that send something.
    sources: Vec<&'static str>,
}

impl Modules {
    /// Starts the station with this lane for all calls, which compiles the modules that call each other through the broker.
    pub(crate) fn start_in(lane: LaneChoice) -> Rc<Self> {
        Self::start_of(lane, brokered(), vec![BROKERED, DEEP_SOURCE])
    }

    /// The same in the raw lane, and the composed module, which only `cargo xtask bench` builds, or `cargo xtask guests
    /// payload-composed`.
    pub(crate) fn start_with_composed() -> Rc<Self> {
        let composed = module(COMPOSED, COMPOSED, Reused);
        let modules = brokered().into_iter().chain([composed]).collect();
        Self::start_of(LaneChoice::Raw, modules, vec![BROKERED, COMPOSED, DEEP_SOURCE])
    }

    fn start_of(lane: LaneChoice, modules: Vec<ModuleSpec>, sources: Vec<&'static str>) -> Rc<Self> {
        let engine = EngineSettings { lane, ..EngineSettings::default() };
        Rc::new(Self { host: Host::start_with(engine, modules, None), sources })
    }

    /// The payload from module to module through the broker.
    pub(crate) fn brokered(self: &Rc<Self>, payload: Payload) -> Timed {
        let module = if payload == Payload::Deep { DEEP_SOURCE } else { BROKERED };
        self.timed(module, payload)
    }

    /// The payload within the composed module, where that was started, too.
    pub(crate) fn composed(self: &Rc<Self>, payload: Payload) -> Timed {
        self.timed(COMPOSED, payload)
    }

    /// Makes sure that all do the same work.
    pub(crate) fn check_agreement(&self, payload: Payload) {
        let [brokered, composed] = [BROKERED, COMPOSED].map(|it| self.call(it, payload, 3));
        assert_eq!(brokered, composed, "{payload}: the brokered and the composed modules differ");
        if payload == Payload::Deep {
            assert_eq!(brokered, self.call(DEEP_SOURCE, payload, 3), "the chain answers something else");
        }
    }

    /// Makes sure that what is sent arrives, and comes back, byte for byte.
    pub(crate) fn check_faithfulness(&self) {
        for module in &self.sources {
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
        self.host.ask(module, &format!("fixture:payload/source#{function}"), arguments)
    }
}

fn calls_per_tree(payload: Payload) -> u64 {
    let bytes = u64::from(payload.bytes().unwrap_or(0)) * VAL_BYTES;
    (CALLS_PER_TREE / payload.calls()).min(BYTES_PER_TREE / (bytes + 2 * VAL_BYTES))
}

/// The source and the sink, and the source before a chain.
fn brokered() -> Vec<ModuleSpec> {
    let mut modules =
        vec![module(SINK, SINK, Reused), calling(SINK, BROKERED, BROKERED), calling(&relay(1), DEEP_SOURCE, BROKERED)];
    let last = DEEP - 1;
    modules.extend((1..last).map(|at| calling(&relay(at + 1), &relay(at), "payload-relay")));
    modules.push(calling(SINK, &relay(last), "payload-relay"));
    modules
}

fn relay(at: u64) -> String {
    format!("relay-{at}")
}

fn calling(provider: &str, name: &str, component: &str) -> ModuleSpec {
    linked(INTERFACE, provider, module(name, component, Reused))
}
