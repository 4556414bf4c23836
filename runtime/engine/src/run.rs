//! A call tree as the engine runs it: its instances, its handles, its waits.
//!
//! Within one tree a module has one instance, made or taken from the pool at its first call and kept until the
//! root call ends. Only re-entrance (A calls B calls A) gives it a second one, which then stays as well.

use crate::confined::Confined;
use crate::engine::{Engine, Shared};
use crate::failure::Named;
use crate::handles::Handles;
use crate::live::{Live, Making, Purpose};
use station_kernel::graph::{Node, NodeIndex};
use station_kernel::ports::Confine;
use station_kernel::tree::Tree;
use station_model::{Code, Failure};
use std::sync::Arc;
use std::time::Duration;

/// What a call came to: what it answered, or what went wrong; and the fuel that it used, either way.
pub(crate) type Ran<T> = Result<(T, u64), (Named, u64)>;

/// One running call tree.
pub(crate) struct Run {
    pub(crate) tree: Arc<Tree<Engine>>,
    pub(crate) shared: Arc<Shared>,
    instances: Confined<Vec<Vec<Slot>>>,
    handles: Confined<Handles>,
}

/// Where an instance of the tree is.
enum Slot {
    Idle(Box<Live>),
    /// On the stack.
    Busy,
    /// It failed and was thrown away.
    Gone,
}

impl Slot {
    /// Takes the instance for a call.
    ///
    /// # Errors
    /// `call.reentered`, `call.resource_gone`.
    fn take(&mut self) -> Result<Box<Live>, Failure> {
        match std::mem::replace(self, Self::Busy) {
            Self::Idle(live) => Ok(live),
            Self::Busy => {
                Err(Failure::new(Code::CallReentered, "the owner of the resource is already on the stack of this call"))
            }
            Self::Gone => {
                *self = Self::Gone;
                Err(gone())
            }
        }
    }
}

/// An instance taken out of its slot for the time of a call.
pub(crate) struct Lease {
    pub(crate) node: NodeIndex,
    pub(crate) slot: usize,
    pub(crate) live: Box<Live>,
}

/// Throws the instances away when the tree ends, however it ends. They hold the run, so nothing else would.
pub(crate) struct EndOfTree<'a>(pub(crate) &'a Run);

impl Drop for EndOfTree<'_> {
    fn drop(&mut self) {
        drop(self.0.take_all());
    }
}

impl Run {
    pub(crate) fn new(tree: &Arc<Tree<Engine>>, shared: &Arc<Shared>) -> Arc<Self> {
        let instances = Confined::new((0..tree.graph.nodes.len()).map(|_| Vec::new()).collect());
        let handles = Confined::new(Handles::default());
        Arc::new(Self { tree: Arc::clone(tree), shared: Arc::clone(shared), instances, handles })
    }

    /// The node at `index`.
    ///
    /// # Errors
    /// `station.internal`: positions come from the tree's own graph.
    pub(crate) fn node(&self, index: NodeIndex) -> Result<&Node<Engine>, Failure> {
        let missing = || Failure::new(Code::StationInternal, "a link leads out of its graph");
        self.tree.graph.node(index).ok_or_else(missing)
    }

    /// Takes an instance that is not on the stack, or makes one. It has `fuel` to go on with.
    ///
    /// # Errors
    /// As [`Live::make`].
    pub(crate) fn lease(self: &Arc<Self>, node: NodeIndex, fuel: u64) -> Result<Lease, (Named, u64)> {
        let internal = |failure| (Named { failure: Box::new(failure), own: true, at: Vec::new() }, 0);
        if let Some(mut lease) = self.take_idle(node) {
            lend(&mut lease.live, fuel);
            return Ok(lease);
        }
        let target = self.node(node).map_err(internal)?;
        let making = Making {
            module: &target.module,
            settings: &target.settings,
            meter: &target.meter,
            fuel,
            purpose: Purpose::Call(self, node),
        };
        let live = self.ready_or_made(node, target, &making)?;
        Ok(Lease { node, slot: self.add_slot(node), live })
    }

    /// An instance that works for no tree yet. Where a spare that is being made has the last place, it is waited for.
    fn ready_or_made(
        self: &Arc<Self>,
        node: NodeIndex,
        target: &Node<Engine>,
        making: &Making<'_>,
    ) -> Result<Box<Live>, (Named, u64)> {
        let mut ready = self.ready(node, target, making.fuel);
        loop {
            if let Some(ready) = ready {
                return Ok(ready);
            }
            let made = Live::make(&self.shared, making);
            let no_place = matches!(&made, Err((named, 0)) if named.failure.code == Code::StationBusy);
            let waited = no_place && self.shared.pool.spares.wait();
            // Also one that was done between the two looks.
            ready = if no_place { self.ready(node, target, making.fuel) } else { None };
            if ready.is_none() && (!waited || self.time_left().is_zero()) {
                return made;
            }
        }
    }

    /// An instance that was kept or made ahead, with fuel to go on with; less what its start took, if it is new.
    fn ready(self: &Arc<Self>, node: NodeIndex, target: &Node<Engine>, fuel: u64) -> Option<Box<Live>> {
        let mut ready = self.shared.pool.take(target, self, node)?;
        lend(&mut ready, fuel);
        let owed = std::mem::take(&mut ready.owed);
        ready.store.data_mut().charge(owed);
        Some(ready)
    }

    /// Takes the very instance that owns a handle.
    ///
    /// # Errors
    /// `call.reentered` when it is on the stack, `call.resource_gone` when it is no more.
    pub(crate) fn lease_owner(&self, node: NodeIndex, slot: usize, fuel: u64) -> Result<Lease, Failure> {
        let mut live = self.slot(node, slot, Slot::take).unwrap_or_else(|| Err(gone()))?;
        lend(&mut live, fuel);
        Ok(Lease { node, slot, live })
    }

    fn take_idle(&self, node: NodeIndex) -> Option<Lease> {
        self.slots(|slots| {
            let (slot, place) =
                slots.get_mut(node)?.iter_mut().enumerate().find(|(_, place)| matches!(place, Slot::Idle(_)))?;
            Some(Lease { node, slot, live: place.take().ok()? })
        })?
    }

    fn add_slot(&self, node: NodeIndex) -> usize {
        let add = |slots: &mut Vec<Vec<Slot>>| {
            let slots = slots.get_mut(node)?;
            slots.push(Slot::Busy);
            Some(slots.len() - 1)
        };
        self.slots(add).flatten().unwrap_or(0)
    }

    /// Puts an instance back after a call that went well.
    pub(crate) fn give_back(&self, Lease { node, slot, live }: Lease) {
        self.slot(node, slot, |place| *place = Slot::Idle(live));
    }

    /// Throws an instance away after a call that failed: its store is poisoned.
    pub(crate) fn bury(&self, Lease { node, slot, live }: Lease) {
        self.slot(node, slot, |place| *place = Slot::Gone);
        drop(live);
    }

    /// Ends a tree that went well: instances of modules that keep theirs go back to the pool.
    pub(crate) fn keep_instances(&self) {
        let all = self.take_all();
        // An instance of a tree that was undone in part may remember what never was.
        let clean = matches!(self.handles(|handles| handles.is_empty()), Ok(true)) && !self.tree.was_undone();
        for (index, slots) in all.into_iter().enumerate() {
            let Some(node) = self.tree.graph.node(index) else { continue };
            for slot in slots {
                if let (Slot::Idle(live), true) = (slot, clean) {
                    self.shared.pool.keep(node, live);
                }
            }
        }
    }

    /// Does something with the tree's handles.
    ///
    /// # Errors
    /// `station.internal` on a thread that is not the tree's own.
    pub(crate) fn handles<R>(&self, work: impl FnOnce(&mut Handles) -> R) -> Result<R, Failure> {
        let elsewhere =
            || Failure::new(Code::StationInternal, "a handle was used on a thread that is not its tree's own");
        self.handles.with(work).ok_or_else(elsewhere)
    }

    fn take_all(&self) -> Vec<Vec<Slot>> {
        self.slots(std::mem::take).unwrap_or_default()
    }

    fn slot<R>(&self, node: NodeIndex, slot: usize, work: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.slots(|slots| slots.get_mut(node)?.get_mut(slot).map(work))?
    }

    /// Does something with the instances. Nothing on any thread but the tree's own.
    fn slots<R>(&self, work: impl FnOnce(&mut Vec<Vec<Slot>>) -> R) -> Option<R> {
        self.instances.with(work)
    }

    /// Wall time until the deadline.
    pub(crate) fn time_left(&self) -> Duration {
        Duration::from_micros(self.tree.due_us().saturating_sub(self.tree.pulse.exact_us()))
    }
}

fn lend(live: &mut Live, fuel: u64) {
    live.store.data_mut().take_host_fuel();
    live.store.set_epoch_deadline(1);
    // Fuel is always on, so this cannot fail.
    let _always_on = live.store.set_fuel(fuel);
}

fn gone() -> Failure {
    Failure::new(Code::CallResourceGone, "the instance that owned the resource failed earlier in this call")
}
