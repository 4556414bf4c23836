//! A call from one module to another: the hot path.
//!
//! Linked as the import of every module. The caller's graph says by position who serves the call; the tree says
//! whether it may begin; fuel is lent to the callee and what it used is charged to the caller; values move by the
//! link's lane, [`raw`] or [`dynamic`]. When the callee fails its instance is thrown away, and the caller gets the failure as a value
//! where the function's type can express it; otherwise the caller ends with it.

pub(crate) mod dynamic;
pub(crate) mod raw;

use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::failure::{self, Followed, Named};
use crate::handles::{self, Entry, Party};
use crate::lane::Lane;
use crate::raw::Forms;
use crate::run::{Lease, Ran, Run};
use station_kernel::graph::{Found, FunctionLink, Link, ModuleLink, NodeIndex};
use station_kernel::tree::{Called, Ended, Entered};
use station_model::{Code, Failure};
use std::sync::Arc;
use wasmtime::{Error, StoreContextMut};

/// A function among a module's imports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) import: usize,
    pub(crate) function: usize,
}

/// One call on its way, with everything looked up.
struct Crossing<'a> {
    run: &'a Arc<Run>,
    importer: NodeIndex,
    link: &'a ModuleLink<Engine>,
    lane: &'a Lane,
    found: Found,
    position: Position,
}

/// How a lane takes a call across.
trait Way {
    /// The caller's store.
    fn caller(&mut self) -> StoreContextMut<'_, Ctx>;

    /// Bytes of the arguments, and the fuel that moving them costs.
    fn load(&self) -> (u64, u64);

    /// Makes the call on `lent` fuel.
    ///
    /// Answers with the fuel that it used, also when it failed, and whether the answer was an `err`.
    fn cross(&mut self, crossing: &Crossing<'_>, lent: u64) -> Ran<bool>;
}

impl<'a> Crossing<'a> {
    /// Looks up, by position, who serves an import.
    ///
    /// # Errors
    /// `call.not_ready`.
    #[inline]
    fn find(run: &'a Arc<Run>, importer: NodeIndex, position: Position) -> Result<Self, Failure> {
        let node = run.node(importer)?;
        let Some(Link::Module(link)) = node.links.get(position.import) else { return Err(not_ready()) };
        let FunctionLink { function, lane } = link.functions.get(position.function).ok_or_else(lost)?;
        let found = Found { export: link.export, function: *function };
        Ok(Self { run, importer, link, lane, found, position })
    }

    /// Looks up the function's types, which only handles need.
    ///
    /// # Errors
    /// `station.internal`: positions come from the graph.
    fn forms(&self) -> Result<Forms<'a>, Failure> {
        let import = self.run.node(self.importer)?.world.imports.get(self.position.import);
        let wanted = import.and_then(|import| import.functions.get(self.position.function)).ok_or_else(lost)?;
        let offered = self.run.node(self.link.provider)?.function(self.found).ok_or_else(lost)?;
        Ok(Forms { wanted, offered })
    }

    fn go(&self, way: &mut impl Way) -> Result<(), Failure> {
        let (bytes, fuel) = way.load();
        way.caller().data_mut().charge(fuel);
        self.run.tree.move_bytes(bytes)?;
        let lent = spendable(&way.caller()).min(self.run.node(self.link.provider)?.settings.limits.fuel);
        let entered = self.run.tree.enter(self.link.provider, Called::Function(self.found))?;
        let outcome = way.cross(self, lent);
        charge(&mut way.caller(), leave(self.run, entered, lent, &outcome));
        outcome.map(drop).map_err(|(named, _)| *named.failure)
    }

    /// The caller, as one who exchanges handles.
    fn importer(&self) -> Result<Party<'_>, Failure> {
        Ok(Party { node: self.importer, slot: usize::MAX, module: &self.run.node(self.importer)?.module })
    }

    /// The instance that serves a call which hands over handles with these keys.
    fn lease_for(&self, keys: &[u32], lent: u64) -> Result<Lease, (Named, u64)> {
        let free = |failure| (own(failure), 0);
        match handles::owner(self.run, keys, self.link.provider).map_err(free)? {
            Some(slot) => self.run.lease_owner(self.link.provider, slot, lent).map_err(free),
            None => self.run.lease(self.link.provider, lent),
        }
    }

    /// True for a failure that no caller may get as a value: a tree that is ended from outside, or whose unit of work is
    /// lost, goes on nowhere.
    fn ends_tree(&self, failure: &Failure) -> bool {
        let outside = matches!(failure.code, Code::CallCancelled | Code::StationDraining | Code::UnitTooLong);
        outside || self.run.tree.is_broken()
    }
}

/// Puts the instance back, or throws it away with the name of what went wrong. Answers with the fuel used.
fn settle(run: &Run, mut lease: Lease, lent: u64, outcome: wasmtime::Result<()>) -> Result<u64, (Named, u64)> {
    let used = lease.live.used(lent);
    let outcome = outcome.map_err(|error| name(run, &mut lease, &error));
    if let Err(named) = outcome {
        run.bury(lease);
        return Err((named, used));
    }
    let overdrawn = (used > lent).then(|| failure::out_of_fuel(lease.live.store.data()));
    run.give_back(lease);
    match overdrawn {
        None => Ok(used),
        Some(failure) => Err((own(failure), used)),
    }
}

fn name(run: &Run, lease: &mut Lease, error: &Error) -> Named {
    failure::name(error, &mut lease.live.store, &run.shared.host.capabilities)
}

/// Fuel that an instance may still spend or lend.
fn spendable(store: &StoreContextMut<'_, Ctx>) -> u64 {
    store.get_fuel().unwrap_or(0).saturating_sub(store.data().host_fuel())
}

/// Takes fuel from the caller for what it had others do.
fn charge(store: &mut StoreContextMut<'_, Ctx>, fuel: u64) {
    let left = store.get_fuel().unwrap_or(0).saturating_sub(fuel);
    // Fuel is always on, so this cannot fail.
    let _always_on = store.set_fuel(left);
}

fn while_it_starts() -> Error {
    Error::new(Failure::new(Code::StartTrap, "a component may not call other modules while it starts"))
}

#[cold]
fn lost() -> Failure {
    Failure::new(Code::StationInternal, "an import leads out of its graph")
}

#[cold]
fn not_ready() -> Failure {
    Failure::new(Code::CallNotReady, "the import has no provider")
}

/// Drops a handle of a module that is not the resource's owner: runs the owner's destructor.
pub(crate) fn drop_handle(mut caller: StoreContextMut<'_, Ctx>, key: u32) -> wasmtime::Result<()> {
    let Some(run) = caller.data().run().cloned() else { return Ok(()) };
    let entry = run.handles(|handles| handles.take(key)).flatten().map_err(Error::new)?;
    let follow = |failure| Error::new(Followed(failure));
    let export = exporting(&run, entry.node);
    let entered = run.tree.enter(entry.node, Called::Drop { export }).map_err(follow)?;
    let own = run.tree.graph.node(entry.node).map_or(u64::MAX, |node| node.settings.limits.fuel);
    let lent = spendable(&caller).min(own);
    let outcome = destroy(&run, &entry, lent).map(|used| (false, used));
    charge(&mut caller, leave(&run, entered, lent, &outcome));
    outcome.map(drop).map_err(|(named, _)| follow(*named.failure))
}

/// Runs a resource's destructor in the instance that owns it. Answers with the fuel that it used.
fn destroy(run: &Run, entry: &Entry, lent: u64) -> Result<u64, (Named, u64)> {
    let mut lease = match run.lease_owner(entry.node, entry.slot, lent) {
        Ok(lease) => lease,
        // What the owner's end took with it needs no destructor any more.
        Err(failure) if failure.code == Code::CallResourceGone => return Ok(0),
        Err(failure) => return Err((own(failure), 0)),
    };
    let outcome = entry.resource.resource_drop(&mut lease.live.store);
    settle(run, lease, lent, outcome)
}

/// The export that defines a module's resources, for the trace; the first one where there are several.
fn exporting(run: &Run, node: NodeIndex) -> usize {
    let exports = run.tree.graph.node(node).map(|node| &node.world.exports);
    exports.and_then(|exports| exports.iter().position(|export| !export.resources.is_empty())).unwrap_or(0)
}

/// Tells the tree how a call ended; one that did not fail says whether it answered with an `err`. Returns what to
/// charge for it.
pub(crate) fn leave(run: &Run, entered: Entered, lent: u64, outcome: &Ran<bool>) -> u64 {
    let (used, ended) = match outcome {
        Ok((false, used)) => (*used, Ended::Returned),
        Ok((true, used)) => (*used, Ended::Refused),
        Err((named, used)) if named.own => (*used, Ended::Failed(&named.failure, named.at.clone())),
        Err((named, used)) => (*used, Ended::Followed(named.failure.code, named.at.clone())),
    };
    run.tree.leave(entered, lent, used, ended)
}

fn own(failure: Failure) -> Named {
    Named { failure: Box::new(failure), own: true, at: Vec::new() }
}
