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
pub(crate) fn pinned<'a>(module: &'a ModuleState, import: &InterfaceName) -> Option<&'a ModuleName> {
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
        let absent: Vec<_> = self.state.modules.keys().filter(|name| self.is_absent(name, import)).collect();
        if let Some(named) = self.only_named_in_grants(state, import, &others, &absent) {
            return Ok(named);
        }
        none_absent(import, &self.names(&others), &absent)?;
        match (others.as_slice(), all.as_slice()) {
            ([one], _) | ([], [one]) => Ok(*one),
            ([], _) => Err(no_provider(import)),
            _ => Err(ambiguous(import, self.names(&others))),
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

    fn candidate(&self, node: NodeIndex, import: &Interface) -> Option<Candidate> {
        let (_, loaded) = self.loaded.get(node)?;
        newest(&loaded.world, import).map(|(export, _)| Candidate { node, export })
    }

    /// The only candidate that some grant names as provider, if the grants name exactly one.
    fn only_named_in_grants(
        &self,
        state: &ModuleState,
        import: &Interface,
        among: &[Candidate],
        absent: &[&ModuleName],
    ) -> Option<Candidate> {
        let named = |name: &ModuleName| {
            state.grants.iter().any(|g| {
                matches!(g, station_model::Grant::Import { provider: Some(_), .. })
                    && g.covers(&import.name, Some(name))
            })
        };
        let mut found = among.iter().filter(|c| named(self.name(c.node)));
        let first = found.next().copied();
        first.filter(|_| found.next().is_none() && !absent.iter().any(|name| named(name)))
    }

    fn connect(&self, import: &Interface, to: Candidate) -> Result<ModuleLink<E>, Box<Waiting>> {
        let mismatch = |detail: String| waiting(import, Reason::TypeMismatch, detail, vec![self.name(to.node).clone()]);
        let export = self.loaded.get(to.node).and_then(|(_, loaded)| loaded.world.exports.get(to.export));
        let export = export.ok_or_else(|| mismatch("the provider is gone".into()))?;
        let found = functions(import, export, self.name(to.node)).map_err(mismatch)?;
        let lanes = import.functions.iter().zip(found).filter_map(|(wanted, function)| {
            let lane = self.executor.lane(wanted, export.functions.get(function)?);
            Some(FunctionLink { function, lane })
        });
        Ok(ModuleLink { provider: to.node, export: to.export, functions: lanes.collect() })
    }

    fn names(&self, candidates: &[Candidate]) -> Vec<ModuleName> {
        candidates.iter().map(|c| self.name(c.node).clone()).collect()
    }

    fn name(&self, node: NodeIndex) -> &ModuleName {
        #[expect(clippy::indexing_slicing, reason = "every candidate was found in `loaded`")]
        self.loaded[node].0
    }
}

/// The newest export of a world that meets an import.
fn newest<'a>(world: &'a World, import: &Interface) -> Option<(usize, &'a Interface)> {
    let exports = world.exports.iter().enumerate();
    let meeting = exports.filter(|(_, export)| export.root == import.root && import.name.met_by(&export.name));
    meeting.max_by(|(_, a), (_, b)| a.name.version().cmp(&b.name.version()))
}

/// Where the functions of an import are in an export of `provider`, or why one of them is not.
fn functions(import: &Interface, export: &Interface, provider: &ModuleName) -> Result<Vec<usize>, String> {
    let found = import.functions.iter().map(|wanted| {
        let at = export.functions.iter().position(|f| f.name == wanted.name);
        let found = at.and_then(|at| Some((at, export.functions.get(at)?)));
        let missing = || format!("{} of {provider} has no function {}", export.name, wanted.name);
        let (at, offered) = found.ok_or_else(missing)?;
        // Only names are compared here; `resources` compares what the handles stand for, once all links are known.
        match compare::difference(wanted, offered, &|a, b| a.name == b.name) {
            Some(found) => Err(told(&export.name, &wanted.name, provider, &found)),
            None => Ok(at),
        }
    });
    found.collect()
}

/// Why `world` of `provider` does not meet an import, for a link that is in no graph because the importer is not
/// loaded.
pub(crate) fn unmet(import: &Interface, world: &World, provider: &ModuleName) -> Option<(Reason, String)> {
    match newest(world, import) {
        None => Some((Reason::ProviderGone, format!("{provider} does not export {}", import.name))),
        Some((_, export)) => functions(import, export, provider).err().map(|why| (Reason::TypeMismatch, why)),
    }
}

/// A provider whose code is not loaded (it is broken, or being compiled again) counts as one, or an import with
/// several candidates would be settled while one of them is away.
fn none_absent(import: &Interface, others: &[ModuleName], absent: &[&ModuleName]) -> Result<(), Box<Waiting>> {
    match (absent, others) {
        ([], _) => Ok(()),
        ([one], []) => Err(not_loaded(import, one)),
        (absent, others) => Err(ambiguous(import, others.iter().chain(absent.iter().copied()).cloned().collect())),
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
