//! The graph on its own: modules are worlds, and nothing runs.

use super::{Graph, Health, Loaded, Reason};
use crate::meter::Meter;
use crate::ports::{Arguments, BoxFuture, Executor, Habit, ModuleSettings, Prepared};
use crate::state::{Change, Migration, Revision, State};
use crate::tree::Tree;
use serde_json::Value;
use station_model::{
    Digest, Failure, Function, Interface, InterfaceName, Limits, Location, ModuleName, Resource, Type, World,
};
use std::sync::{Arc, Mutex};
use std::{collections::BTreeMap, path::Path};

/// An executor that only says what the host has: `wasi:clocks`, harmless, and `wasi:keyvalue`, which is not.
struct Nothing;

impl Executor for Nothing {
    type Module = ();
    type Lane = ();
    type Entry = ();
    type Confined<T: Send + 'static> = Mutex<T>;

    fn prepare<'a>(&'a self, _: Digest, _: &'a Path) -> BoxFuture<'a, Result<Prepared, Failure>> {
        unimplemented!("no component is ever inspected")
    }

    fn load<'a>(&'a self, _: Digest, _: &'a Path, _: &'a World) -> BoxFuture<'a, Result<Arc<()>, Failure>> {
        unimplemented!("no component is ever loaded")
    }

    fn trial(&self, _: &Arc<()>, _: &Arc<ModuleSettings>) -> Result<Vec<Migration>, Failure> {
        Ok(vec![])
    }

    fn host_calls(&self, _: &InterfaceName) -> bool {
        false
    }

    fn host_provides(&self, interface: &InterfaceName) -> bool {
        interface.is_reserved()
    }

    fn habit(&self, _: &InterfaceName, _: &str) -> Option<Habit> {
        None
    }

    fn harmless(&self, interface: &InterfaceName) -> bool {
        interface.to_string().starts_with("wasi:clocks/")
    }

    fn lane(&self, _: &Function, _: &Function) {}

    fn describe((): &()) -> (&'static str, Option<&str>) {
        ("fake", None)
    }

    fn entry(&self, _: Arguments) {}

    fn spare(&self, (): &()) -> Option<()> {
        None
    }

    fn run(&self, _: &Arc<Tree<Self>>, (): ()) -> Result<Option<Value>, Failure> {
        Ok(None)
    }

    fn rest(&self) {}

    fn symbolize<'a>(&'a self, _: Digest, _: &'a Path, at: &'a [Location]) -> BoxFuture<'a, Vec<Location>> {
        Box::pin(std::future::ready(at.to_vec()))
    }

    fn tick(&self) {}

    fn compiles(&self) -> u64 {
        0
    }

    fn forget(&self, _: Digest) {}
}

/// A station in the making: modules with worlds, and decisions about them.
#[derive(Default)]
struct Town {
    state: State,
    /// Modules whose code is not there.
    unloaded: Vec<ModuleName>,
}

fn name(text: &str) -> ModuleName {
    text.parse().unwrap()
}

fn interface(text: &str, param: Type) -> Interface {
    let function = Function { name: "f".into(), params: vec![("x".into(), param)], result: None };
    Interface { name: text.parse().unwrap(), root: false, functions: vec![function], resources: vec![] }
}

impl Town {
    /// Adds a module whose functions all take a `u32`.
    fn module(self, module: &str, imports: &[&str], exports: &[&str]) -> Self {
        let all = |names: &[&str]| names.iter().map(|text| interface(text, Type::U32)).collect();
        self.world(module, World { imports: all(imports), exports: all(exports) })
    }

    fn world(mut self, module: &str, world: World) -> Self {
        let digest = Digest::of(module.as_bytes());
        let revision = Revision { digest, size: 0, uploaded_ms: 0, world, metadata: Default::default() };
        let module = name(module);
        self.state.apply(&[Change::AddRevision(module.clone(), revision), Change::Activate(module, digest)]);
        self
    }

    fn grant(mut self, module: &str, grant: &str) -> Self {
        self.state.apply(&[Change::AddGrant(name(module), grant.parse().unwrap())]);
        self
    }

    fn link(mut self, module: &str, import: &str, provider: &str) -> Self {
        self.state.apply(&[Change::SetLink(name(module), import.parse().unwrap(), name(provider))]);
        self
    }

    fn unloaded(mut self, module: &str) -> Self {
        self.unloaded.push(name(module));
        self
    }

    fn without(mut self, module: &str) -> Self {
        self.state.apply(&[Change::RemoveModule(name(module))]);
        self
    }

    fn graph(&self) -> Graph<Nothing> {
        let limits = Limits { fuel: 1, deadline_ms: 1, memory_bytes: 1, instances_max: 1 };
        let loaded = |(module, state): (&ModuleName, &crate::state::ModuleState)| {
            let settings = ModuleSettings {
                module: module.clone(),
                limits: limits.clone(),
                hosts: vec![],
                config: BTreeMap::new(),
            };
            let revision = state.active_revision().unwrap();
            let loaded = Loaded {
                digest: revision.digest,
                world: Arc::new(revision.world.clone()),
                module: Arc::new(()),
                settings: Arc::new(settings),
                meter: Arc::<Meter>::default(),
            };
            (module.clone(), loaded)
        };
        let there = self.state.modules.iter().filter(|(module, _)| !self.unloaded.contains(module));
        Graph::build(&Nothing, &self.state, &there.map(loaded).collect())
    }

    /// Remembers what the graph settled, as the kernel does after each change.
    fn settle(mut self) -> Self {
        let pins = self.graph().new_pins(&self.state);
        self.state.apply(&pins);
        self
    }

    /// Why a module waits, in a line; empty when it is ready.
    fn waits(&self, module: &str) -> Vec<Reason> {
        let graph = self.graph();
        match &graph.node(graph.find(&name(module)).unwrap()).unwrap().health {
            Health::Waiting(waiting) => waiting.iter().map(|w| w.reason).collect(),
            _ => vec![],
        }
    }

    fn provider(&self, module: &str) -> Option<String> {
        let edges = self.graph().edges();
        edges.into_iter().find(|edge| edge.importer == name(module)).map(|edge| edge.provider.to_string())
    }
}

const X: &str = "a:b/x@1.0.0";

#[test]
fn an_import_without_a_provider_waits_and_is_met_when_one_comes() {
    let town = Town::default().module("a", &[X], &[]).grant("a", "a:b");
    assert_eq!(town.waits("a"), [Reason::NoProvider]);
    let town = town.module("b", &[], &["a:b/x@1.2.0"]);
    assert_eq!(town.waits("a"), []);
    assert_eq!(town.provider("a").unwrap(), "b");
}

#[test]
fn an_import_without_a_grant_waits() {
    let town = Town::default().module("a", &[X], &[]).module("b", &[], &[X]);
    assert_eq!(town.waits("a"), [Reason::NotGranted]);
    assert_eq!(town.grant("a", "a:b/x@b").waits("a"), []);
}

#[test]
fn a_grant_that_names_another_provider_does_not_help() {
    let town = Town::default().module("a", &[X], &[]).module("b", &[], &[X]).grant("a", "a:b/x@c");
    assert_eq!(town.waits("a"), [Reason::NotGranted]);
}

#[test]
fn two_providers_are_ambiguous_until_one_is_chosen() {
    let town = Town::default().module("b", &[], &[X]).module("c", &[], &[X]).module("a", &[X], &[]).grant("a", "a:b");
    assert_eq!(town.waits("a"), [Reason::Ambiguous]);
    let town = town.link("a", X, "c");
    assert_eq!((town.waits("a"), town.provider("a").unwrap()), (vec![], "c".to_owned()));
}

#[test]
fn a_grant_that_names_one_of_two_providers_chooses_it() {
    let town = Town::default().module("b", &[], &[X]).module("c", &[], &[X]).module("a", &[X], &[]);
    let town = town.grant("a", "a:b/x@c").unloaded("b");
    assert_eq!(town.provider("a").unwrap(), "c", "also while the other one is not loaded");
    assert_eq!(town.grant("a", "a:b/x@b").waits("a"), [Reason::Ambiguous], "but not when grants name both");
}

#[test]
fn a_second_provider_takes_nothing_over() {
    let town = Town::default().module("b", &[], &[X]).module("a", &[X], &[]).grant("a", "a:b").settle();
    let town = town.module("aa", &[], &["a:b/x@1.9.0"]);
    assert_eq!((town.waits("a"), town.provider("a").unwrap()), (vec![], "b".to_owned()));
    assert_eq!(town.without("b").waits("a"), [Reason::ProviderGone], "nor when the first one goes");
}

#[test]
fn the_newest_fitting_export_of_a_provider_is_taken_and_other_tracks_are_not() {
    let town = Town::default().module("a", &[X], &[]).grant("a", "a:b").module(
        "b",
        &[],
        &["a:b/x@1.1.0", "a:b/x@1.2.0", "a:b/x@2.0.0"],
    );
    assert_eq!(town.graph().edges()[0].exported.to_string(), "a:b/x@1.2.0");
}

#[test]
fn a_module_whose_provider_waits_is_waiting_itself() {
    let town = Town::default().module("a", &[X], &[]).grant("a", "a:b").module("b", &["q:r/s"], &[X]).grant("b", "q:r");
    assert_eq!(town.waits("a"), [Reason::ProviderWaiting]);
    assert_eq!(town.module("c", &[], &["q:r/s"]).waits("a"), []);
}

#[test]
fn modules_may_need_each_other_and_themselves() {
    let town =
        Town::default().module("a", &["a:b/y"], &[X]).module("b", &[X], &["a:b/y"]).module("c", &["c:c/c"], &["c:c/c"]);
    let town = town.grant("a", "a:b").grant("b", "a:b");
    assert_eq!([town.waits("a"), town.waits("b"), town.waits("c")], [vec![], vec![], vec![]]);
}

#[test]
fn a_module_that_wraps_an_interface_gets_it_from_the_other_one() {
    let town = Town::default().module("wrap", &[X], &[X]).module("b", &[], &[X]).grant("wrap", "a:b");
    assert_eq!(town.provider("wrap").unwrap(), "b");
}

#[test]
fn differing_types_are_told_with_both_types() {
    let world = World { imports: vec![], exports: vec![interface(X, Type::String)] };
    let town = Town::default().module("a", &[X], &[]).grant("a", "a:b").world("b", world);
    assert_eq!(town.waits("a"), [Reason::TypeMismatch]);
    let graph = town.graph();
    let Health::Waiting(waiting) = &graph.node(0).unwrap().health else { panic!() };
    for part in ["a:b/x@1.0.0#f", "parameter 1", "u32", "string", "b"] {
        assert!(waiting[0].detail.contains(part), "{part} is not in {}", waiting[0].detail);
    }
}

#[test]
fn a_provider_that_lacks_a_function_does_not_fit() {
    let mut more = interface(X, Type::U32);
    more.functions.push(Function { name: "g".into(), params: vec![], result: None });
    let world = World { imports: vec![more], exports: vec![] };
    let town = Town::default().world("a", world).grant("a", "a:b").module("b", &[], &[X]);
    assert_eq!(town.waits("a"), [Reason::TypeMismatch]);
}

#[test]
fn host_interfaces_need_a_grant_unless_they_are_harmless() {
    let town = Town::default().module("a", &["wasi:clocks/wall-clock@0.2.0"], &[]);
    assert_eq!(town.waits("a"), []);
    let town = town.without("a").module("a", &["wasi:keyvalue/store@0.2.0-draft"], &[]);
    assert_eq!(town.waits("a"), [Reason::NotGranted]);
    assert_eq!(town.grant("a", "wasi:keyvalue").waits("a"), []);
}

#[test]
fn a_module_cannot_provide_what_only_the_host_may() {
    let clocks = "wasi:clocks/wall-clock@0.2.0";
    let town = Town::default().module("a", &[clocks], &[]).module("evil", &[], &[clocks]);
    assert_eq!(town.provider("a"), None);
}

#[test]
fn an_import_of_types_alone_needs_nobody() {
    let types = Interface { name: "a:b/types".parse().unwrap(), root: false, functions: vec![], resources: vec![] };
    let town = Town::default().world("a", World { imports: vec![types], exports: vec![] });
    assert_eq!(town.waits("a"), []);
}

/// An interface `text` whose function takes a handle of `resource`, which `owner` defines.
fn taking(text: &str, owner: &str, imported: bool, own: &[&str]) -> Interface {
    let resource = Resource { interface: Some(owner.parse().unwrap()), imported, name: "r".into() };
    let mut taking = interface(text, Type::Borrow(resource));
    taking.resources = own.iter().map(|r| (*r).to_owned()).collect();
    taking
}

#[test]
fn handles_fit_when_both_sides_mean_the_same_modules_resource() {
    let owner = World { imports: vec![], exports: vec![taking(X, X, false, &["r"])] };
    let user = World { imports: vec![taking(X, X, true, &["r"]), taking("a:b/use", X, true, &[])], exports: vec![] };
    let third = World { imports: vec![taking(X, X, true, &["r"])], exports: vec![taking("a:b/use", X, true, &[])] };
    let town = Town::default().world("owner", owner.clone()).world("user", user).world("third", third);
    let town = town.grant("user", "a:b").grant("third", "a:b");
    assert_eq!([town.waits("user"), town.waits("third")], [vec![], vec![]]);
    let town = town.settle().world("other", owner).link("third", X, "other");
    assert_eq!(town.waits("user"), [Reason::TypeMismatch], "`third` now means the resource of another module");
}

#[test]
fn a_provider_that_is_not_loaded_still_counts_as_one() {
    let town = Town::default().module("b", &[], &[X]).module("c", &[], &[X]).module("a", &[X], &[]).grant("a", "a:b");
    assert_eq!(town.unloaded("c").waits("a"), [Reason::Ambiguous], "it is not settled while one of two is away");
    let town = Town::default().module("b", &[], &[X]).module("a", &[X], &[]).grant("a", "a:b");
    assert_eq!(town.unloaded("b").waits("a"), [Reason::ProviderWaiting]);
}
