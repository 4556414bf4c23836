//! What is odd about a module that may be deployed all the same.
//!
//! From its first write a call has a short time to end (`unit.write-max`), because nobody else writes meanwhile. A unit
//! of work belongs to the whole call tree, so a module that writes and one that waits are a risk together as soon as one
//! of them can call the other, over however many others.
//!
//! It is known from what components import, not from what they do: a tool chain keeps only the functions that are called
//! from somewhere, but when they are called nobody can say. So it is a warning, and refuses nothing.

use crate::control::Warning;
use crate::graph::{Graph, Link, Node, NodeIndex};
use crate::ports::{Executor, Habit};
use station_model::{FunctionPath, ModuleName};
use std::collections::{BTreeSet, VecDeque};

/// The code of the only warning that there is.
const WRITES_AND_WAITS: &str = "writes_and_waits";
/// So many functions are named; a warning is read by people.
const NAMED_MAX: usize = 6;

/// What to say about `module` as it is in `graph`.
pub(super) fn warnings<E: Executor>(executor: &E, graph: &Graph<E>, module: &ModuleName) -> Vec<Warning> {
    let Some(at) = graph.find(module) else { return Vec::new() };
    let reached = reached(graph, at);
    let writes = doing(executor, &reached, module, Habit::Writes);
    let waits = doing(executor, &reached, module, Habit::Waits);
    if writes.is_empty() || waits.is_empty() {
        return Vec::new();
    }
    let detail = format!(
        "a call of {module} may write ({}) and wait ({}); wait first and write last, or a call that waits too long after \
         its first write ends with unit.too_long",
        named(&writes),
        named(&waits)
    );
    vec![Warning { code: WRITES_AND_WAITS, detail }]
}

/// The modules that a call of the one at `start` can reach, itself first, each once.
fn reached<E: Executor>(graph: &Graph<E>, start: NodeIndex) -> Vec<&Node<E>> {
    let (mut seen, mut next, mut found) = (BTreeSet::from([start]), VecDeque::from([start]), Vec::new());
    while let Some(node) = next.pop_front().and_then(|at| graph.node(at)) {
        found.push(node);
        next.extend(node.links.iter().filter_map(provider).filter(|provider| seen.insert(*provider)));
    }
    found
}

fn provider<E: Executor>(link: &Link<E>) -> Option<NodeIndex> {
    match link {
        Link::Module(link) => Some(link.provider),
        Link::Host | Link::Open => None,
    }
}

/// The functions with this habit that the nodes import, with the module that does unless it is `module` itself.
fn doing<E: Executor>(executor: &E, nodes: &[&Node<E>], module: &ModuleName, habit: Habit) -> Vec<String> {
    let all = nodes.iter().flat_map(|node| of_one(executor, node, habit).map(move |path| (&node.name, path)));
    all.map(|(name, path)| if name == module { path.to_string() } else { format!("{path} through {name}") }).collect()
}

fn of_one<E: Executor>(executor: &E, node: &Node<E>, habit: Habit) -> impl Iterator<Item = FunctionPath> {
    let imports = node.world.imports.iter().flat_map(|import| import.functions.iter().map(move |f| (&import.name, f)));
    let has = imports.filter(move |(interface, f)| executor.habit(interface, &f.name) == Some(habit));
    has.map(|(interface, f)| FunctionPath { interface: Some(interface.clone()), function: f.name.clone() })
}

fn named(functions: &[String]) -> String {
    let first = functions.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match functions.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
