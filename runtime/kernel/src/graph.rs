//! The graph: which revision provides which interface to whom. Immutable, and replaced as a whole.
//!
//! [`Graph::build`] takes what is remembered and what is loaded, settles every import, and says of each module
//! whether it can be called. A link is found here once; a call follows it by index and looks up no name.
//!
//! A module *waits* while an import has no provider, several, one without a grant, or one whose types differ.
//! It becomes ready by itself in the next graph in which that is no longer so.

mod build;
mod resources;
#[cfg(test)]
mod tests;

use crate::meter::Meter;
use crate::ports::{Executor, ModuleSettings};
use serde::{Deserialize, Serialize};
use station_model::{
    Code, Digest, Failure, Function, FunctionPath, Instances, Interface, InterfaceName, ModuleName, World,
};
use std::{collections::BTreeMap, sync::Arc};

pub use build::Loaded;
pub(crate) use build::{pinned, unmet};

/// Position of a module in one graph.
pub type NodeIndex = usize;

/// Which revision provides what to whom, as of one moment.
pub struct Graph<E: Executor> {
    /// The modules, in the order of their names.
    pub nodes: Vec<Node<E>>,
    by_name: BTreeMap<ModuleName, NodeIndex>,
}

/// One module in a graph.
pub struct Node<E: Executor> {
    /// The module's name.
    pub name: ModuleName,
    /// Its active revision.
    pub digest: Digest,
    /// What the revision imports and exports.
    pub world: Arc<World>,
    /// Its machine code, linked against the host.
    pub module: Arc<E::Module>,
    /// What the operator decided about it.
    pub settings: Arc<ModuleSettings>,
    /// What it uses, over all graphs.
    pub meter: Arc<Meter>,
    /// What happens to its instances after a call.
    pub instances: Instances,
    /// One entry per import of the world, in its order.
    pub links: Vec<Link<E>>,
    /// Whether it can be called.
    pub health: Health,
}

/// How one import is met.
pub enum Link<E: Executor> {
    /// By the host, or by nobody because nothing has to be provided.
    Host,
    /// By a module.
    Module(ModuleLink<E>),
    /// Not yet; the node's health says why.
    Open,
}

/// An import that another module meets.
pub struct ModuleLink<E: Executor> {
    /// The provider.
    pub provider: NodeIndex,
    /// Which of the provider's exports meets it.
    pub export: usize,
    /// One entry per function of the import, in its order.
    pub functions: Vec<FunctionLink<E>>,
}

/// A function of an import and the function that serves it.
pub struct FunctionLink<E: Executor> {
    /// Position in the provider's export.
    pub function: usize,
    /// How values move.
    pub lane: E::Lane,
}

/// Whether a module can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Every import is met.
    Ready,
    /// These imports are not.
    Waiting(Vec<Waiting>),
    /// Its component could not be loaded when the station started, or it was taken out of service. The others serve.
    Broken(Failure),
}

/// An import that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The import.
    pub interface: InterfaceName,
    /// Why.
    pub reason: Reason,
    /// The same in a sentence, with the next step.
    pub detail: String,
    /// The modules that could provide it.
    pub candidates: Vec<ModuleName>,
}

/// Why an import is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody exports it.
    NoProvider,
    /// Several modules export it, and none was chosen.
    Ambiguous,
    /// The module has no grant for it.
    NotGranted,
    /// The provider's types differ, or it lacks a function.
    TypeMismatch,
    /// The provider is waiting itself.
    ProviderWaiting,
    /// The provider that it is pinned to is gone.
    ProviderGone,
}

/// A settled link, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Who imports.
    pub importer: ModuleName,
    /// Under which name.
    pub interface: InterfaceName,
    /// Who provides.
    pub provider: ModuleName,
    /// Under which name; the version may be newer.
    pub exported: InterfaceName,
    /// How values move over it, by the slowest of its functions.
    pub lane: String,
    /// Why it is not the best lane, with the function that is at fault.
    #[serde(default)]
    pub lane_reason: Option<String>,
}

/// A function of a module, found by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Position of the export in the world.
    pub export: usize,
    /// Position of the function in the export.
    pub function: usize,
}

impl<E: Executor> Graph<E> {
    /// A graph without modules.
    pub fn empty() -> Self {
        Self { nodes: Vec::new(), by_name: BTreeMap::new() }
    }

    /// The position of a module.
    pub fn find(&self, name: &ModuleName) -> Option<NodeIndex> {
        self.by_name.get(name).copied()
    }

    /// The node at `index`, which is from this graph.
    pub fn node(&self, index: NodeIndex) -> Option<&Node<E>> {
        self.nodes.get(index)
    }

    /// Every link between modules.
    pub fn edges(&self) -> Vec<Edge> {
        self.nodes.iter().flat_map(|node| self.edges_of(node)).collect()
    }

    /// The links of one module to others.
    pub(crate) fn edges_of<'a>(&'a self, node: &'a Node<E>) -> impl Iterator<Item = Edge> + 'a {
        node.world.imports.iter().zip(&node.links).filter_map(|(import, link)| {
            let Link::Module(link) = link else { return None };
            let provider = self.nodes.get(link.provider)?;
            let (lane, lane_reason) = link.lane(import);
            Some(Edge {
                lane,
                lane_reason,
                importer: node.name.clone(),
                interface: import.name.clone(),
                provider: provider.name.clone(),
                exported: provider.world.exports.get(link.export)?.name.clone(),
            })
        })
    }
}

impl<E: Executor> ModuleLink<E> {
    /// The lane of the link: that of the first function which has a reason not to take the best.
    fn lane(&self, import: &Interface) -> (String, Option<String>) {
        let lanes = || import.functions.iter().zip(&self.functions).map(|(f, link)| (f, E::describe(&link.lane)));
        let slow = lanes().find_map(|(function, (name, why))| Some((name, format!("{}: {}", function.name, why?))));
        match (slow, lanes().next()) {
            (Some((name, why)), _) => (name.to_owned(), Some(why)),
            (None, Some((_, (name, _)))) => (name.to_owned(), None),
            (None, None) => (String::new(), None),
        }
    }
}

impl<E: Executor> Node<E> {
    /// The exported function that `path` names; its version may be left out where only one export fits.
    ///
    /// # Errors
    /// `call.no_such_function`, naming what there is.
    pub fn resolve(&self, path: &FunctionPath) -> Result<Found, Failure> {
        let fits = |name: &InterfaceName| match &path.interface {
            Some(wanted) if wanted.version().is_none() => wanted.same_interface(name),
            Some(wanted) => wanted == name,
            None => false,
        };
        let exports = || self.world.exports.iter().enumerate();
        let found: Vec<Found> = exports()
            .filter(|(_, export)| if export.root { path.interface.is_none() } else { fits(&export.name) })
            .filter_map(|(at, export)| {
                let function = export.functions.iter().position(|f| f.name == path.function)?;
                Some(Found { export: at, function })
            })
            .collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.no_such_function(path)),
            _ => Err(Failure::new(
                Code::CallNoSuchFunction,
                format!(
                    "module {} exports several versions of {path}; say which one, as in `iface@1.2.3#function`",
                    self.name
                ),
            )),
        }
    }

    fn no_such_function(&self, path: &FunctionPath) -> Failure {
        let known = self.functions().take(12).map(|f| f.to_string()).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "no functions".to_owned() } else { known };
        let message = format!("module {} does not export {path}; it exports {known}", self.name);
        Failure::new(Code::CallNoSuchFunction, message)
    }

    /// Every exported function by its full name.
    pub fn functions(&self) -> impl Iterator<Item = FunctionPath> + '_ {
        self.world.exports.iter().flat_map(|export| {
            let interface = (!export.root).then(|| export.name.clone());
            export
                .functions
                .iter()
                .map(move |f| FunctionPath { interface: interface.clone(), function: f.name.clone() })
        })
    }

    /// The type of an exported function.
    pub fn function(&self, found: Found) -> Option<&Function> {
        self.world.exports.get(found.export)?.functions.get(found.function)
    }
}
