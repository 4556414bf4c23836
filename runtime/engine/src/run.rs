//! A call tree as the engine runs it: its instances, its handles, its waits.
//!
//! Within one tree a module has one instance, made or taken from the pool at its first call and kept until the
//! root call ends. Only re-entrance (A calls B calls A) gives it a second one, which then stays as well.

use crate::engine::{Engine, Shared};
use crate::failure::Named;
use crate::handles::Handles;
use crate::live::{Live, Making};
use station_kernel::graph::{Node, NodeIndex};
use station_kernel::tree::Tree;
use station_model::{Code, Failure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a call came to: what it answered, or what went wrong; and the fuel that it used, either way.
pub(crate) type Ran<T> = Result<(T, u64), (Named, u64)>;

/// One running call tree.
pub(crate) struct Run {
    pub(crate) tree: Arc<Tree<Engine>>,
    pub(crate) shared: Arc<Shared>,
    instances: Mutex<Vec<Vec<Slot>>>,
    handles: Mutex<Handles>,
}

/// Where an instance of the tree is.
enum Slot {
    Idle(Box<Live>),
    /// On the stack.
    Busy,
    /// It failed and was thrown away.
    Gone,
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
        drop(std::mem::take(&mut *self.0.slots()));
    }
}

impl Run {
    pub(crate) fn new(tree: &Arc<Tree<Engine>>, shared: &Arc<Shared>) -> Arc<Self> {
        let instances = Mutex::new((0..tree.graph.nodes.len()).map(|_| Vec::new()).collect());
        Arc::new(Self { tree: Arc::clone(tree), shared: Arc::clone(shared), instances, handles: Mutex::default() })
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
            run: Some((self, node)),
        };
        let live = match self.shared.pool.take(target, self, node) {
            Some(mut kept) => {
                lend(&mut kept, fuel);
                kept
            }
            None => Live::make(&self.shared, &making)?,
        };
        Ok(Lease { node, slot: self.add_slot(node), live })
    }

    /// Takes the very instance that owns a handle.
    ///
    /// # Errors
    /// `call.reentered` when it is on the stack, `call.resource_gone` when it is no more.
    pub(crate) fn lease_owner(&self, node: NodeIndex, slot: usize, fuel: u64) -> Result<Lease, Failure> {
        let mut slots = self.slots();
        let place = slots.get_mut(node).and_then(|slots| slots.get_mut(slot));
        match place.map(|place| (std::mem::replace(place, Slot::Busy), place)) {
            Some((Slot::Idle(mut live), _)) => {
                lend(&mut live, fuel);
                Ok(Lease { node, slot, live })
            }
            Some((Slot::Busy, _)) => {
                Err(Failure::new(Code::CallReentered, "the owner of the resource is already on the stack of this call"))
            }
            Some((Slot::Gone, place)) => {
                *place = Slot::Gone;
                Err(gone())
            }
            None => Err(gone()),
        }
    }

    fn take_idle(&self, node: NodeIndex) -> Option<Lease> {
        let mut slots = self.slots();
        let (slot, place) =
            slots.get_mut(node)?.iter_mut().enumerate().find(|(_, place)| matches!(place, Slot::Idle(_)))?;
        match std::mem::replace(place, Slot::Busy) {
            Slot::Idle(live) => Some(Lease { node, slot, live }),
            _ => None,
        }
    }

    fn add_slot(&self, node: NodeIndex) -> usize {
        let mut slots = self.slots();
        let Some(slots) = slots.get_mut(node) else { return 0 };
        slots.push(Slot::Busy);
        slots.len() - 1
    }

    /// Puts an instance back after a call that went well.
    pub(crate) fn give_back(&self, lease: Lease) {
        let mut slots = self.slots();
        if let Some(place) = slots.get_mut(lease.node).and_then(|slots| slots.get_mut(lease.slot)) {
            *place = Slot::Idle(lease.live);
        }
    }

    /// Throws an instance away after a call that failed: its store is poisoned.
    pub(crate) fn bury(&self, lease: Lease) {
        let mut slots = self.slots();
        if let Some(place) = slots.get_mut(lease.node).and_then(|slots| slots.get_mut(lease.slot)) {
            *place = Slot::Gone;
        }
        drop(slots);
        drop(lease.live);
    }

    /// Ends a tree that went well: instances of modules that keep theirs go back to the pool.
    pub(crate) fn keep_instances(&self) {
        let all = std::mem::take(&mut *self.slots());
        // An instance of a tree that was undone in part may remember what never was.
        let clean = self.handles().is_empty() && !self.tree.was_undone();
        for (index, slots) in all.into_iter().enumerate() {
            let Some(node) = self.tree.graph.node(index) else { continue };
            for slot in slots {
                if let (Slot::Idle(live), true) = (slot, clean) {
                    self.shared.pool.keep(node, live);
                }
            }
        }
    }

    pub(crate) fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Vec<Slot>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
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
