//! What the host keeps for one instance: the call tree it works for, its limits, and what capabilities put there.
//!
//! A `Ctx` is the data of a wasmtime store. Host functions reach everything through it: the tree for deadline and
//! identity, [`Ctx::charge`] for fuel, [`Ctx::waiter`] for anything that waits.

use crate::limiter::Limiter;
use crate::run::Run;
use station_kernel::graph::NodeIndex;
use station_kernel::ports::ModuleSettings;
use station_model::{CallId, Failure, ModuleName};
use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;

/// Host resources (streams, pollables, requests) that one instance may hold.
const RESOURCES_MAX: usize = 1_000;

/// Ticks of 5 ms that a trial instance may take, start function included.
const TRIAL_TICKS_MAX: u32 = 400;

/// The data of an instance's store.
pub struct Ctx {
    run: Option<Arc<Run>>,
    node: NodeIndex,
    settings: Arc<ModuleSettings>,
    host_fuel: u64,
    trial_ticks: u32,
    extensions: Vec<(TypeId, Box<dyn Any + Send>)>,
    /// Handles of host resources.
    pub table: ResourceTable,
    pub(crate) limiter: Limiter,
}

impl Ctx {
    pub(crate) fn new(settings: Arc<ModuleSettings>, limiter: Limiter) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self { run: None, node: 0, settings, host_fuel: 0, trial_ticks: 0, extensions: Vec::new(), table, limiter }
    }

    /// Makes the instance work for a tree, as its node `node`.
    pub(crate) fn bind(&mut self, run: &Arc<Run>, node: NodeIndex) {
        self.run = Some(Arc::clone(run));
        self.node = node;
        self.host_fuel = 0;
    }

    /// Makes the instance work for no tree, and returns the one it worked for.
    pub(crate) fn unbind(&mut self) -> Option<Arc<Run>> {
        self.run.take()
    }

    /// The tree's run; none in a trial instance.
    pub(crate) fn run(&self) -> Option<&Arc<Run>> {
        self.run.as_ref()
    }

    /// The instance's position in the tree's graph.
    pub(crate) fn node(&self) -> NodeIndex {
        self.node
    }

    /// The module that the instance is of.
    pub fn module(&self) -> &ModuleName {
        &self.settings.module
    }

    /// What the operator decided about the module.
    pub fn settings(&self) -> &Arc<ModuleSettings> {
        &self.settings
    }

    /// The root call; none in a trial instance.
    pub fn call_id(&self) -> Option<CallId> {
        self.run.as_ref().map(|run| run.tree.id)
    }

    /// Who called the function that runs: the calling module, and who started the root call.
    pub fn caller(&self) -> (Option<ModuleName>, String) {
        match &self.run {
            Some(run) => (run.tree.caller(), run.tree.principal.clone()),
            None => (None, "host".to_owned()),
        }
    }

    /// Wall time and levels of nested calls that are left.
    pub fn left(&self) -> (Duration, u32) {
        self.run.as_ref().map_or((Duration::ZERO, 0), |run| (run.time_left(), run.tree.depth_left()))
    }

    /// Keeps one line that the module wrote.
    pub fn log(&self, level: &str, text: &str) {
        if let Some(run) = &self.run {
            let tree = &run.tree;
            tree.logs.write(self.module(), tree.clock.now_ms(), Some(tree.id), level, text);
        }
    }

    /// Charges fuel for work that the host did. It counts from now on: against what the guest has left, at the next
    /// nested call, at the next tick, and on the bill.
    pub fn charge(&mut self, fuel: u64) {
        self.host_fuel = self.host_fuel.saturating_add(fuel);
    }

    /// Counts a tick of the pulse in an instance that works for no tree.
    ///
    /// # Errors
    /// `start.deadline`.
    pub(crate) fn tick_of_trial(&mut self) -> Result<(), Failure> {
        self.trial_ticks += 1;
        match self.trial_ticks > TRIAL_TICKS_MAX {
            true => Err(Failure::new(station_model::Code::StartDeadline, "the component takes too long to start")),
            false => Ok(()),
        }
    }

    /// Fuel that the host's work for this instance has cost in the running call.
    pub fn host_fuel(&self) -> u64 {
        self.host_fuel
    }

    /// The most that a call into this instance may use in its tree: what the tree has, or the module's own limit.
    pub(crate) fn fuel_max(&self) -> u64 {
        let own = self.settings.limits.fuel;
        self.run.as_ref().map_or(own, |run| run.tree.fuel.min(own))
    }

    pub(crate) fn take_host_fuel(&mut self) -> u64 {
        std::mem::take(&mut self.host_fuel)
    }

    /// A handle through which host functions wait.
    pub fn waiter(&self) -> Waiter {
        Waiter(self.run.clone())
    }

    /// Keeps a capability's state, in place of an earlier one of the same type.
    pub fn insert<T: Any + Send>(&mut self, state: T) {
        self.extensions.retain(|(id, _)| *id != TypeId::of::<T>());
        self.extensions.push((TypeId::of::<T>(), Box::new(state)));
    }

    /// A capability's state.
    ///
    /// # Errors
    /// When the capability was not prepared, which is a mistake of the station.
    pub fn state<T: Any + Send>(&mut self) -> Result<&mut T, Failure> {
        self.parts().map(|(state, _)| state)
    }

    /// A capability's state and the table of host resources, both at once.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn parts<T: Any + Send>(&mut self) -> Result<(&mut T, &mut ResourceTable), Failure> {
        let found = self.extensions.iter_mut().find(|(id, _)| *id == TypeId::of::<T>());
        let state = found.and_then(|(_, state)| state.downcast_mut::<T>());
        let missing = || {
            let what = std::any::type_name::<T>();
            Failure::new(station_model::Code::StationInternal, format!("capability state {what} is missing"))
        };
        Ok((state.ok_or_else(missing)?, &mut self.table))
    }
}

/// Waits on the call's own thread, no longer than the call may take.
#[derive(Clone)]
pub struct Waiter(Option<Arc<Run>>);

impl Waiter {
    /// Waits for `future` until the call's deadline, or until the call is cancelled. This is the only way in which
    /// a host function may wait.
    ///
    /// # Errors
    /// `call.deadline`, `call.cancelled`, `station.draining`; `start.deadline` in a trial instance, which may not
    /// wait at all. Return it from the host function, so that the call ends with it.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        match &self.0 {
            Some(run) => run.wait(future),
            None => Err(Failure::new(station_model::Code::StartDeadline, "a component may not wait while it starts")),
        }
    }
}
