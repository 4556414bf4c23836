//! What the host keeps for one instance: the call tree it works for, its limits, and what capabilities put there.
//!
//! A `Ctx` is the data of a wasmtime store. Host functions reach everything through it: the tree for deadline and
//! identity, [`Ctx::charge`] for fuel, [`Ctx::waiter`] for anything that waits.

use crate::engine::Engine;
use crate::limiter::Limiter;
use crate::run::Run;
use station_kernel::Tree;
use station_kernel::events::Event;
use station_kernel::graph::NodeIndex;
use station_kernel::ports::ModuleSettings;
use station_kernel::tree::Told;
use station_kernel::work::{Caps, Rows, SqlError, Unit, Value};
use station_model::{CallId, Failure, ModuleName};
use std::any::{Any, TypeId};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::ResourceTable;

/// Host resources (streams, pollables, requests) that one instance may hold.
const RESOURCES_MAX: usize = 1_000;

/// Ticks of 5 ms that an instance may take to start that works for no tree.
const TICKS_ALONE_MAX: u32 = 400;

/// Fuel of one step of the database's machine: 24 ns (10 to 110, docs/performance.md) at 0.8 ns for one of a guest.
const FUEL_PER_STEP: u64 = 30;

/// The data of an instance's store.
pub struct Ctx {
    run: Option<Arc<Run>>,
    node: NodeIndex,
    settings: Arc<ModuleSettings>,
    host_fuel: u64,
    ticks_alone: u32,
    asked_alone: Cell<bool>,
    extensions: Vec<(TypeId, Box<dyn Any + Send>)>,
    /// Handles of host resources.
    pub table: ResourceTable,
    pub(crate) limiter: Limiter,
}

impl Ctx {
    pub(crate) fn new(settings: Arc<ModuleSettings>, limiter: Limiter) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            run: None,
            node: 0,
            settings,
            host_fuel: 0,
            ticks_alone: 0,
            asked_alone: Cell::new(false),
            extensions: Vec::new(),
            table,
            limiter,
        }
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

    /// Lets go of what the host holds for an instance that nobody will enter again.
    pub(crate) fn retire(&mut self) {
        self.extensions.clear();
        self.table = ResourceTable::new();
        self.limiter.retire();
    }

    /// The tree's run; none in an instance that works for no tree, of which it is remembered that it asked.
    pub(crate) fn run(&self) -> Option<&Arc<Run>> {
        if self.run.is_none() {
            self.asked_alone.set(true);
        }
        self.run.as_ref()
    }

    /// True when something was asked of a tree while there was none. Made within a call, the instance might have become
    /// another one.
    pub(crate) fn asked_alone(&self) -> bool {
        self.asked_alone.get()
    }

    /// Does `work` with the tree's run, lent for as long as that takes; none in an instance that works for no tree. A call
    /// from module to module needs the run while it has the store for itself, and counting it up and down is a tenth of
    /// what such a call costs.
    #[expect(unsafe_code, reason = "a reference count that is not touched; see the proof inside")]
    pub(crate) fn with_run<R>(
        caller: StoreContextMut<'_, Self>,
        work: impl FnOnce(StoreContextMut<'_, Self>, &Arc<Run>) -> R,
    ) -> Option<R> {
        let run = Arc::as_ptr(caller.data().run()?);
        // SAFETY: the pointer comes from an `Arc` of this context, and the reference that is made of it ends with `work`.
        // Until then the run lives: `Engine::run` holds it from the first to the last instruction of its tree, and what
        // works for a tree runs below that. The context holds it, too: it loses it by `bind`, by `unbind` or with the
        // store, all of which need the store, which `work` has for itself. `ManuallyDrop` keeps the count as it was.
        let lent = ManuallyDrop::new(unsafe { Arc::from_raw(run) });
        Some(work(caller, &lent))
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
        self.run().map(|run| run.tree.id)
    }

    /// Who called the function that runs: the calling module, and who started the root call.
    pub fn caller(&self) -> (Option<ModuleName>, String) {
        match self.run() {
            Some(run) => (run.tree.caller(), run.tree.principal.clone()),
            None => (None, "host".to_owned()),
        }
    }

    /// Wall time and levels of nested calls that are left.
    pub fn left(&self) -> (Duration, u32) {
        self.run().map_or((Duration::ZERO, 0), |run| (run.time_left(), run.tree.depth_left()))
    }

    /// Keeps one line that the module wrote.
    pub fn log(&self, level: &str, text: &str) {
        if let Some(run) = self.run() {
            let tree = &run.tree;
            tree.logs.write(self.module(), tree.clock.now_ms(), Some(tree.id), level, text);
        }
    }

    /// Charges fuel for work that the host did. It counts from now on: against what the guest has left, at the next
    /// nested call, at the next tick, and on the bill.
    pub fn charge(&mut self, fuel: u64) {
        self.host_fuel = self.host_fuel.saturating_add(fuel);
    }

    /// Fails when the running call must end; an instance that works for no tree has a number of ticks instead.
    ///
    /// # Errors
    /// `call.deadline`, `call.cancelled`, `station.draining`, `unit.too_long`, `start.deadline`.
    pub(crate) fn check_time(&mut self) -> Result<(), Failure> {
        match &self.run {
            Some(run) => run.tree.check_time(),
            None => self.tick_alone(),
        }
    }

    fn tick_alone(&mut self) -> Result<(), Failure> {
        self.ticks_alone += 1;
        match self.ticks_alone > TICKS_ALONE_MAX {
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

    /// Runs one statement of the module inside the call's unit of work, and charges what it cost.
    ///
    /// # Errors
    /// Outside: what ends the call; return it from the host function. Inside: what the guest did wrong.
    pub fn sql(&mut self, sql: &str, params: &[Value], caps: Caps) -> wasmtime::Result<Result<Rows, SqlError>> {
        self.in_unit(|tree, steps_max| tree.sql(sql, params, caps, steps_max))
    }

    /// Reads in the call's unit of work, and charges what it cost.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn read<T>(
        &mut self,
        read: impl FnOnce(&mut dyn Unit, &ModuleName) -> Result<T, SqlError>,
    ) -> wasmtime::Result<Result<T, SqlError>> {
        self.in_unit(|tree, steps_max| tree.read(steps_max, read))
    }

    /// Writes in the call's unit of work, and charges what it cost.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn write<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Unit, &ModuleName) -> Result<T, SqlError>,
    ) -> wasmtime::Result<Result<T, SqlError>> {
        self.in_unit(|tree, steps_max| tree.write(steps_max, write))
    }

    /// Publishes an event of the module in the call's unit of work.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn publish(&mut self, news: News, quota_bytes: u64) -> wasmtime::Result<Result<(), SqlError>> {
        self.in_unit(|tree, _| tree.publish(&news.in_call(tree), quota_bytes))
    }

    /// Publishes an event of the module when the root call has ended, whatever has become of it.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn publish_always(&mut self, news: News, quota_bytes: u64) -> wasmtime::Result<Result<(), SqlError>> {
        self.in_unit(|tree, _| tree.publish_always(news.in_call(tree), quota_bytes))
    }

    /// Notes rows that the module changed, for the report of the call.
    pub fn note_write(&self, table: &str, rows: u64) {
        if let Some(run) = self.run() {
            run.tree.note_write(Some(table.to_owned()), rows);
        }
    }

    /// Notes that something happened outside which cannot be done twice: the call is then not run again by itself.
    pub fn note_outside(&self) {
        if let Some(run) = self.run() {
            run.tree.note_outside();
        }
    }

    fn in_unit<T>(
        &mut self,
        work: impl FnOnce(&Tree<Engine>, u64) -> Told<T>,
    ) -> wasmtime::Result<Result<T, SqlError>> {
        let Some(run) = self.run().cloned() else {
            return Ok(Err(SqlError::Denied("a component reaches no data while it starts".into())));
        };
        // What the guest has left is not known here, but what the module may use at most is.
        let steps_max = self.fuel_max().saturating_sub(self.host_fuel) / FUEL_PER_STEP;
        let told = work(&run.tree, steps_max);
        self.charge(run.tree.steps().saturating_mul(FUEL_PER_STEP));
        told.map_err(wasmtime::Error::new)
    }

    /// The unit of work, for an entry that answers before the root call has ended.
    pub fn unit(&self) -> UnitHandle {
        UnitHandle(self.run().cloned())
    }

    /// A handle through which host functions wait.
    pub fn waiter(&self) -> Waiter {
        Waiter(self.run().cloned())
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

/// An event as a module tells it.
#[derive(Debug)]
pub struct News {
    /// What it is about.
    pub topic: String,
    /// What it belongs to.
    pub key: String,
    /// What it says.
    pub payload: Vec<u8>,
}

impl News {
    fn in_call(self, tree: &Tree<Engine>) -> Event {
        let Self { topic, key, payload } = self;
        Event { topic, key, payload, call: tree.id, at_ms: tree.clock.now_ms() }
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
            Some(run) => run.tree.wait(future),
            None => Err(Failure::new(station_model::Code::StartDeadline, "a component may not wait while it starts")),
        }
    }
}

/// The unit of work of the tree that an entry serves; of no tree by default, and then nothing is ever written.
#[derive(Clone, Default)]
pub struct UnitHandle(Option<Arc<Run>>);

impl UnitHandle {
    /// Begins the response. True when it may leave at once: then nothing can be written any more, and what was read
    /// is on the disk. False when it must be held until [`commit`](Self::commit).
    ///
    /// # Errors
    /// `station.internal` when the disk refused.
    pub fn begin_response(&self) -> Result<bool, Failure> {
        let Some(run) = &self.0 else { return Ok(true) };
        let streams = run.tree.begin_response();
        if streams {
            run.tree.wait_durable()?;
        }
        Ok(streams)
    }

    /// Has everything rolled back, whatever the root call comes to.
    pub fn doom(&self) {
        if let Some(run) = &self.0 {
            run.tree.doom();
        }
    }

    /// Commits. That it is on the disk is waited for by whoever [runs](station_kernel::Underway::ended) the call, without
    /// a thread, before anything of its answer leaves.
    ///
    /// # Errors
    /// Why it could not be committed; then nothing has happened.
    pub fn commit(&self) -> Result<(), Failure> {
        self.0.as_ref().map_or(Ok(()), |run| run.tree.end_unit(true).map(drop))
    }
}
