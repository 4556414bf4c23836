//! Settling every import of every module.

use super::resources;
use super::{FunctionLink, Graph, Health, Link, ModuleLink, Node, NodeIndex, Reason, Waiting};
use crate::compare::{self, Difference};
use crate::meter::Meter;
use crate::ports::{Executor, ModuleSettings};
use crate::state::{Change, ModuleState, State};
use station_model::{Digest, Interface, InterfaceName, ModuleName, World};
use std::{collections::BTreeMap, sync::Arc};

/// A module's active revision, ready to be linked.
pub struct Loaded<E: Executor> {
    /// The revision.
    pub digest: Digest,
    /// What it imports and exports.
    pub world: Arc<World>,
    /// Its machine code.
    pub module: Arc<E::Module>,
    /// What the operator decided.
    pub settings: Arc<ModuleSettings>,
    /// What the module uses.
    pub meter: Arc<Meter>,
}

impl<E: Executor> Clone for Loaded<E> {
    fn clone(&self) -> Self {
        Self {
            digest: self.digest,
            world: Arc::clone(&self.world),
            module: Arc::clone(&self.module),
            settings: Arc::clone(&self.settings),
            meter: Arc::clone(&self.meter),
        }
    }
}

/// A provider and which of its exports meets an import.
#[derive(Clone, Copy)]
struct Candidate {
    node: NodeIndex,
    export: usize,
}

impl<E: Executor> Graph<E> {
    /// Links every loaded module. Modules of `state` that are not loaded are left out.
    pub fn build(executor: &E, state: &State, loaded: &BTreeMap<ModuleName, Loaded<E>>) -> Self {
        let by_name: BTreeMap<_, _> = loaded.keys().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let nobody = ModuleState::default();
        let linker = Linker { executor, state, loaded: loaded.iter().collect(), by_name: &by_name };
        let nodes = linker
            .loaded
            .iter()
            .enumerate()
            .map(|(at, (name, _))| linker.node(at, state.module(name).unwrap_or(&nobody)))
            .collect();
        let mut graph = Self { nodes, by_name };
        resources::check(&mut graph);
        graph.spread_waiting();
        graph
    }

    /// The links that were settled in this graph and are not yet remembered in `state`.
    pub fn new_pins(&self, state: &State) -> Vec<Change> {
        let known = |edge: &super::Edge| {
            state.module(&edge.importer).is_some_and(|module| pinned(module, &edge.interface).is_some())
        };
        let new = self.edges().into_iter().filter(|edge| edge.importer != edge.provider && !known(edge));
        new.map(|edge| Change::SetLink(edge.importer, edge.interface, edge.provider)).collect()
    }

    /// Makes every module wait that needs one that waits, until nothing changes.
    fn spread_waiting(&mut self) {
        loop {
            let found: Vec<_> = (0..self.nodes.len()).filter_map(|at| Some((at, self.needs_waiting(at)?))).collect();
            if found.is_empty() {
                return;
            }
            for (at, waiting) in found {
                if let Some(node) = self.nodes.get_mut(at) {
                    node.health = Health::Waiting(waiting);
                }
            }
        }
    }

    fn needs_waiting(&self, at: NodeIndex) -> Option<Vec<Waiting>> {
        let node = self.nodes.get(at).filter(|node| node.health == Health::Ready)?;
        let waiting: Vec<_> = node
            .world
            .imports
            .iter()
            .zip(&node.links)
            .filter_map(|(import, link)| {
                let Link::Module(link) = link else { return None };
                let provider = self.nodes.get(link.provider).filter(|p| p.health != Health::Ready)?;
                let detail = format!("its provider {} is waiting itself; see `station show {0}`", provider.name);
                Some(Waiting {
                    interface: import.name.clone(),
                    reason: Reason::ProviderWaiting,
                    detail,
                    candidates: vec![provider.name.clone()],
                })
            })
            .collect();
        (!waiting.is_empty()).then_some(waiting)
    }
}

/// Who provides `import` by an earlier decision.
fn pinned<'a>(module: &'a ModuleState, import: &InterfaceName) -> Option<&'a ModuleName> {
    let loosely = || {
        let mut matching =
            module.links.iter().filter(|(name, _)| name.version().is_none() && name.same_interface(import));
        matching.next().map(|(_, provider)| provider)
    };
    module.links.get(import).or_else(loosely)
}

struct Linker<'a, E: Executor> {
    executor: &'a E,
    state: &'a State,
    loaded: Vec<(&'a ModuleName, &'a Loaded<E>)>,
    by_name: &'a BTreeMap<ModuleName, NodeIndex>,
}

impl<E: Executor> Linker<'_, E> {
    fn node(&self, at: NodeIndex, state: &ModuleState) -> Node<E> {
        #[expect(clippy::indexing_slicing, reason = "`at` counts over `loaded`")]
        let (name, loaded) = self.loaded[at];
        let mut waiting = Vec::new();
        let mut settle = |import: &Interface| {
            self.link(at, state, import).unwrap_or_else(|why| {
                waiting.push(*why);
                Link::Open
            })
        };
        let links = loaded.world.imports.iter().map(&mut settle).collect();
        Node {
            name: name.clone(),
            digest: loaded.digest,
            world: Arc::clone(&loaded.world),
            module: Arc::clone(&loaded.module),
            settings: Arc::clone(&loaded.settings),
            meter: Arc::clone(&loaded.meter),
            instances: state.instances.clone(),
            links,
            health: if waiting.is_empty() { Health::Ready } else { Health::Waiting(waiting) },
        }
    }

    fn link(&self, importer: NodeIndex, state: &ModuleState, import: &Interface) -> Result<Link<E>, Box<Waiting>> {
        if import.only_types() {
            return Ok(Link::Host);
        }
        if import.name.is_reserved() || self.executor.host_provides(&import.name) {
            return self.host_link(state, import);
        }
        let provider = self.choose(importer, state, import)?;
        let name = self.name(provider.node);
        if provider.node != importer && !state.grants.iter().any(|g| g.covers(&import.name, Some(name))) {
            return Err(not_granted(import, vec![name.clone()]));
        }
        self.connect(import, provider).map(Link::Module)
    }

    fn host_link(&self, state: &ModuleState, import: &Interface) -> Result<Link<E>, Box<Waiting>> {
        let granted = || state.grants.iter().any(|grant| grant.covers(&import.name, None));
        match self.executor.harmless(&import.name) || granted() {
            true => Ok(Link::Host),
            false => Err(not_granted(import, Vec::new())),
        }
    }

    /// Who provides an import: whom it is pinned to, or the only one that can.
    fn choose(&self, importer: NodeIndex, state: &ModuleState, import: &Interface) -> Result<Candidate, Box<Waiting>> {
        if let Some(name) = pinned(state, &import.name) {
            return self.pinned_provider(name, import);
        }
        let all = self.candidates(import);
        let others: Vec<_> = all.iter().copied().filter(|c| c.node != importer).collect();
        self.none_absent(import, &others)?;
        match (others.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) => Ok(*one),
            ([], _) => Err(no_provider(import)),
            _ => self
                .only_named_in_grants(state, import, &others)
                .ok_or_else(|| ambiguous(import, others.iter().map(|c| self.name(c.node).clone()).collect())),
        }
    }

    /// A provider whose code is not loaded (it is broken, or being compiled again) counts as one, or an import with
    /// several candidates would be settled while one of them is away.
    fn none_absent(&self, import: &Interface, others: &[Candidate]) -> Result<(), Box<Waiting>> {
        let absent = self.state.modules.keys().filter(|name| self.is_absent(name, import)).cloned();
        match (absent.collect::<Vec<_>>().as_slice(), others) {
            ([], _) => Ok(()),
            ([one], []) => Err(not_loaded(import, one)),
            (absent, others) => {
                let others = others.iter().map(|c| self.name(c.node).clone());
                Err(ambiguous(import, others.chain(absent.iter().cloned()).collect()))
            }
        }
    }

    fn is_absent(&self, name: &ModuleName, import: &Interface) -> bool {
        let revision = self.state.module(name).and_then(ModuleState::active_revision);
        let meets = |export: &Interface| export.root == import.root && import.name.met_by(&export.name);
        !self.by_name.contains_key(name) && revision.is_some_and(|revision| revision.world.exports.iter().any(meets))
    }

    fn pinned_provider(&self, name: &ModuleName, import: &Interface) -> Result<Candidate, Box<Waiting>> {
        if self.is_absent(name, import) {
            return Err(not_loaded(import, name));
        }
        let gone = |what: &str| {
            let detail = format!(
                "it is linked to {name}, which {what}; deploy {name} again, or choose another with `station link MODULE {}=OTHER`",
                import.name
            );
            waiting(import, Reason::ProviderGone, detail, Vec::new())
        };
        let node = *self.by_name.get(name).ok_or_else(|| gone("is not there"))?;
        self.candidate(node, import).ok_or_else(|| gone("does not export it"))
    }

    fn candidates(&self, import: &Interface) -> Vec<Candidate> {
        (0..self.loaded.len()).filter_map(|node| self.candidate(node, import)).collect()
    }

    /// The newest export of `node` that meets an import.
    fn candidate(&self, node: NodeIndex, import: &Interface) -> Option<Candidate> {
        let (_, loaded) = self.loaded.get(node)?;
        let exports = loaded.world.exports.iter().enumerate();
        let meeting = exports.filter(|(_, export)| export.root == import.root && import.name.met_by(&export.name));
        let newest = meeting.max_by(|(_, a), (_, b)| a.name.version().cmp(&b.name.version()))?;
        Some(Candidate { node, export: newest.0 })
    }

    /// The only candidate that some grant names as provider, if the grants name exactly one.
    fn only_named_in_grants(&self, state: &ModuleState, import: &Interface, among: &[Candidate]) -> Option<Candidate> {
        let named = |c: &&Candidate| {
            state.grants.iter().any(|g| {
                matches!(g, station_model::Grant::Import { provider: Some(_), .. })
                    && g.covers(&import.name, Some(self.name(c.node)))
            })
        };
        let mut found = among.iter().filter(named);
        found.next().filter(|_| found.next().is_none()).copied()
    }

    fn connect(&self, import: &Interface, to: Candidate) -> Result<ModuleLink<E>, Box<Waiting>> {
        let mismatch = |detail: String| waiting(import, Reason::TypeMismatch, detail, vec![self.name(to.node).clone()]);
        let export = self.loaded.get(to.node).and_then(|(_, loaded)| loaded.world.exports.get(to.export));
        let export = export.ok_or_else(|| mismatch("the provider is gone".into()))?;
        let functions = import.functions.iter().map(|wanted| {
            let at = export.functions.iter().position(|f| f.name == wanted.name);
            let found = at.and_then(|at| Some((at, export.functions.get(at)?)));
            let missing =
                || mismatch(format!("{} of {} has no function {}", export.name, self.name(to.node), wanted.name));
            let (function, offered) = found.ok_or_else(missing)?;
            // Only names are compared here; `resources` compares what the handles stand for, once all links are known.
            if let Some(found) = compare::difference(wanted, offered, &|a, b| a.name == b.name) {
                return Err(mismatch(told(&export.name, &wanted.name, self.name(to.node), &found)));
            }
            Ok(FunctionLink { function, lane: self.executor.lane(wanted, offered) })
        });
        let functions = functions.collect::<Result<_, _>>()?;
        Ok(ModuleLink { provider: to.node, export: to.export, functions })
    }

    fn name(&self, node: NodeIndex) -> &ModuleName {
        #[expect(clippy::indexing_slicing, reason = "every candidate was found in `loaded`")]
        self.loaded[node].0
    }
}

/// A difference as a sentence that names interface, function, place and both types.
pub(super) fn told(interface: &InterfaceName, function: &str, provider: &ModuleName, found: &Difference) -> String {
    let Difference { at, wanted, offered } = found;
    format!(
        "{interface}#{function} of {provider} differs in {at}: the importer expects {wanted}, the provider has {offered}"
    )
}

pub(super) fn waiting(import: &Interface, reason: Reason, detail: String, candidates: Vec<ModuleName>) -> Box<Waiting> {
    Box::new(Waiting { interface: import.name.clone(), reason, detail, candidates })
}

fn ambiguous(import: &Interface, names: Vec<ModuleName>) -> Box<Waiting> {
    let list = names.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(", ");
    let detail =
        format!("several modules export it ({list}); choose one with `station link MODULE {}=PROVIDER`", import.name);
    waiting(import, Reason::Ambiguous, detail, names)
}

fn not_loaded(import: &Interface, provider: &ModuleName) -> Box<Waiting> {
    let detail = format!("its provider {provider} is not loaded; see `station show {provider}`");
    waiting(import, Reason::ProviderWaiting, detail, vec![provider.clone()])
}

fn no_provider(import: &Interface) -> Box<Waiting> {
    let detail = "no module exports it yet; deploy one that does".to_owned();
    waiting(import, Reason::NoProvider, detail, Vec::new())
}

fn not_granted(import: &Interface, candidates: Vec<ModuleName>) -> Box<Waiting> {
    let detail = format!("the module has no grant for it; allow it with `station grant MODULE {}`", import.name);
    waiting(import, Reason::NotGranted, detail, candidates)
}
