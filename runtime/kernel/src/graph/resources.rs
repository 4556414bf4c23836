//! Do two handles stand for the same resource? Only when both lead back to the same export of the same module.
//!
//! A type is compared by structure, but a resource has none: `counter` of one module is not `counter` of another.
//! Every handle type is followed through the links to the module that defines it, and an import whose handles
//! lead elsewhere than its provider's is not linked.

use super::build::{told, waiting};
use super::{Graph, Health, Link, ModuleLink, Node, NodeIndex, Reason, Waiting};
use crate::compare;
use crate::ports::Executor;
use station_model::{Interface, InterfaceName, Resource};

/// Who defines a resource: the module, its export, the name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The module.
    pub node: NodeIndex,
    /// The export; none at the world's root.
    pub interface: Option<InterfaceName>,
    /// The resource's name in it.
    pub name: String,
}

impl<E: Executor> Graph<E> {
    /// Who defines the resource that `node` knows as `resource`. None when the host does, or an open link hides it.
    pub fn origin(&self, node: NodeIndex, resource: &Resource) -> Option<Origin> {
        if !resource.imported {
            return Some(Origin { node, interface: resource.interface.clone(), name: resource.name.clone() });
        }
        let importer = self.nodes.get(node)?;
        let at = importer.world.imports.iter().position(|i| Some(&i.name) == resource.interface.as_ref())?;
        let Some(Link::Module(link)) = importer.links.get(at) else { return None };
        let export = self.nodes.get(link.provider)?.world.exports.get(link.export)?;
        Some(Origin { node: link.provider, interface: Some(export.name.clone()), name: resource.name.clone() })
    }
}

/// Opens every link whose handles stand for different resources on its two sides.
pub(super) fn check<E: Executor>(graph: &mut Graph<E>) {
    let found: Vec<_> = graph
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(at, node)| mismatches(graph, at, node).map(move |(link, why)| (at, link, why)))
        .collect();
    for (at, link, why) in found {
        if let Some(node) = graph.nodes.get_mut(at) {
            open(node, link, why);
        }
    }
}

fn mismatches<'a, E: Executor>(
    graph: &'a Graph<E>,
    at: NodeIndex,
    node: &'a Node<E>,
) -> impl Iterator<Item = (usize, Waiting)> + 'a {
    node.world.imports.iter().zip(&node.links).enumerate().filter_map(move |(index, (import, link))| {
        let Link::Module(link) = link else { return None };
        mismatch(graph, at, import, link).map(|why| (index, why))
    })
}

fn mismatch<E: Executor>(
    graph: &Graph<E>,
    importer: NodeIndex,
    import: &Interface,
    link: &ModuleLink<E>,
) -> Option<Waiting> {
    let provider = graph.nodes.get(link.provider)?;
    let export = provider.world.exports.get(link.export)?;
    let same = |a: &Resource, b: &Resource| match (graph.origin(importer, a), graph.origin(link.provider, b)) {
        (Some(a), Some(b)) => a == b,
        // A handle of the host lives in one instance and cannot be handed to another module.
        _ => false,
    };
    import.functions.iter().zip(&link.functions).find_map(|(wanted, to)| {
        let found = compare::difference(wanted, export.functions.get(to.function)?, &same)?;
        let detail = told(&export.name, &wanted.name, &provider.name, &found);
        let detail = format!("{detail} (the handles are for resources of different modules)");
        Some(*waiting(import, Reason::TypeMismatch, detail, vec![provider.name.clone()]))
    })
}

fn open<E: Executor>(node: &mut Node<E>, link: usize, why: Waiting) {
    if let Some(link) = node.links.get_mut(link) {
        *link = Link::Open;
    }
    match &mut node.health {
        Health::Waiting(waiting) => waiting.push(why),
        health => *health = Health::Waiting(vec![why]),
    }
}
