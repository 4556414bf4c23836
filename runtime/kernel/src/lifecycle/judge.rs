//! Whether a change may be made: what it would do to the links that there are.

use crate::graph::{self, Graph, Health, Reason, Waiting};
use crate::ports::Executor;
use crate::state::State;
use station_model::{Code, Failure, InterfaceName, ModuleName};

/// Looks at the graph before and after, and may refuse.
pub(super) type Judge<'a, E> = &'a (dyn Fn(&Graph<E>, &Graph<E>) -> Result<(), Failure> + Send + Sync);

/// A new revision may not differ from what its providers have, nor break a module that is linked to it and serves.
pub(super) fn judge_revision<E: Executor>(
    module: &ModuleName,
    before: &Graph<E>,
    after: &Graph<E>,
) -> Result<(), Failure> {
    let mismatch = |waiting: &Waiting| waiting.reason == Reason::TypeMismatch;
    if let Some(found) = waiting_in(after, module).iter().find(|w| mismatch(w)) {
        return Err(Failure::new(Code::LinkTypeMismatch, format!("{module} cannot be linked: {}", found.detail)));
    }
    for edge in before.edges().iter().filter(|edge| edge.provider == *module && edge.importer != *module) {
        let was_ready = waiting_in(before, &edge.importer).is_empty();
        let now = waiting_in(after, &edge.importer);
        let broken = now.iter().find(|w| w.interface == edge.interface && w.reason != Reason::ProviderWaiting);
        if let Some(found) = broken.filter(|_| was_ready) {
            let code = if mismatch(found) { Code::LinkTypeMismatch } else { Code::LinkNoSuchExport };
            let message = format!("this revision of {module} would break {}: {}", edge.importer, found.detail);
            return Err(Failure::new(code, message));
        }
    }
    Ok(())
}

/// Importers whose code is not loaded (it is being compiled again after a start) are in no graph, but what they
/// import is known: a revision may not break them either.
pub(super) fn judge_for_absent<E: Executor>(
    module: &ModuleName,
    state: &State,
    after: &Graph<E>,
) -> Result<(), Failure> {
    let new = after.find(module).and_then(|at| after.node(at));
    let old = state.module(module).and_then(|module| module.active_revision());
    let (Some(new), Some(old)) = (new, old) else { return Ok(()) };
    for (importer, remembered) in state.modules.iter().filter(|(name, _)| after.find(name).is_none()) {
        let imports = remembered.active_revision().map_or(&[][..], |revision| &revision.world.imports);
        for import in imports.iter().filter(|import| graph::pinned(remembered, &import.name) == Some(module)) {
            let was_met = graph::unmet(import, &old.world, module).is_none();
            let Some((reason, why)) = graph::unmet(import, &new.world, module).filter(|_| was_met) else { continue };
            let mismatch = reason == Reason::TypeMismatch;
            let code = if mismatch { Code::LinkTypeMismatch } else { Code::LinkNoSuchExport };
            return Err(Failure::new(code, format!("this revision of {module} would break {importer}: {why}")));
        }
    }
    Ok(())
}

pub(super) fn judge_link<E: Executor>(
    after: &Graph<E>,
    module: &ModuleName,
    import: &InterfaceName,
    provider: &ModuleName,
) -> Result<(), Failure> {
    let waiting = waiting_in(after, module);
    let Some(found) = waiting.iter().find(|w| w.interface == *import) else { return Ok(()) };
    match found.reason {
        Reason::TypeMismatch => Err(Failure::new(Code::LinkTypeMismatch, found.detail.clone())),
        Reason::ProviderGone | Reason::NoProvider => {
            let message =
                format!("module {provider} does not export {import}; `station show {provider}` lists what it exports");
            Err(Failure::new(Code::LinkNoSuchExport, message))
        }
        // A missing grant or a provider that waits itself can be mended later; the choice stands.
        _ => Ok(()),
    }
}

fn waiting_in<'a, E: Executor>(graph: &'a Graph<E>, module: &ModuleName) -> &'a [Waiting] {
    match graph.find(module).and_then(|at| graph.node(at)).map(|node| &node.health) {
        Some(Health::Waiting(waiting)) => waiting,
        _ => &[],
    }
}
