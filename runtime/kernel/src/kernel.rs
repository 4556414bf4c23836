//! The kernel as a whole: what it is made of, how it starts and how it ends.
//!
//! What is remembered ([`State`]) and what follows from it ([`Graph`]) are immutable and replaced together, under
//! one lock for changes; whoever runs a call keeps the graph it began with.

use crate::graph::{Graph, Health, Loaded};
use crate::journal::Journal;
use crate::logs::Logs;
use crate::meter::Meter;
use crate::places::Places;
use crate::ports::{Clock, Executor, ModuleSettings, Registry, StorageError};
use crate::pulse::Pulse;
use crate::quarantine::Panics;
use crate::state::{ModuleState, State};
use crate::threads::Threads;
use crate::tree::{Cancel, Ceilings, Reason, Tree};
use crate::work::{Units, Workshop};
use arc_swap::ArcSwap;
use station_model::{CallId, Digest, Failure, Grant, Limits, ModuleName};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What the operator decided about the station as a whole.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits of a module that has none of its own.
    pub limits: Limits,
    /// Call trees that run at one time.
    pub threads_max: usize,
    /// Root calls that wait for their turn.
    pub queue_max: usize,
    /// Ceilings that are the same for every tree.
    pub ceilings: Ceilings,
    /// How long a call may take from its first write to its end, in milliseconds (`unit.write-max`).
    pub write_ms_max: u64,
    /// Modules that the station keeps.
    pub modules_max: usize,
    /// Revisions of one module that the station keeps.
    pub revisions_max: usize,
    /// How long a start waits for modules whose code must be compiled again, in milliseconds. The rest come later.
    pub start_wait_ms_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits { fuel: 200_000_000, deadline_ms: 5_000, memory_bytes: 64 << 20, instances_max: 32 },
            // Trees mostly wait or compute; more threads than this only add memory, as the cores are long busy.
            threads_max: 32,
            queue_max: 256,
            ceilings: Ceilings {
                depth_max: 12,
                // With fuel spent per call this is never the first limit that an honest module meets.
                calls_max: 1_000_000,
                bytes_max: 1 << 30,
                stack_bytes_min: 512 * 1024,
            },
            // Writers queue, so this is what the next one may have to wait for.
            write_ms_max: 500,
            modules_max: 1_000,
            revisions_max: 1_000,
            // Compiled code loads within milliseconds; only a compilation takes longer than this.
            start_wait_ms_max: 3_000,
        }
    }
}

/// The kernel of one station.
pub struct Kernel<E: Executor> {
    settings: Settings,
    executor: Arc<E>,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    logs: Arc<Logs>,
    shop: Workshop,
    journal: Arc<Journal>,
    threads: Threads,
    pulse: Arc<Pulse>,
    state: ArcSwap<State>,
    graph: ArcSwap<Graph<E>>,
    changing: Arc<tokio::sync::Mutex<()>>,
    broken: Mutex<BTreeMap<ModuleName, Failure>>,
    panics: Panics,
    meters: Mutex<BTreeMap<ModuleName, Arc<Meter>>>,
    places: Mutex<BTreeMap<ModuleName, Arc<Places>>>,
    waiting: AtomicU64,
    running: Arc<Running>,
}

/// The root calls that run now.
#[derive(Default)]
struct Running {
    calls: Mutex<HashMap<CallId, Arc<Cancel>>>,
    ended: Notify,
    draining: AtomicBool,
}

/// One running root call; dropped when it has ended.
pub(crate) struct Registered {
    running: Arc<Running>,
    id: CallId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.running.calls).remove(&self.id);
        self.running.ended.notify_waiters();
    }
}

/// What the kernel is plugged into.
pub struct Ports<E: Executor> {
    /// Runs modules.
    pub executor: Arc<E>,
    /// Remembers the state.
    pub registry: Arc<dyn Registry>,
    /// Opens units of work, on the database that the registry is in.
    pub units: Arc<dyn Units>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where modules write.
    pub logs: Arc<Logs>,
}

/// Why the kernel did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What was remembered could not be read.
    #[error("reading the registry")]
    Registry(#[source] StorageError),
    /// The pulse could not be started.
    #[error("starting the pulse thread")]
    Pulse(#[source] std::io::Error),
}

impl<E: Executor> Kernel<E> {
    /// Reads what is remembered and loads every active revision. A module that cannot be loaded is `broken` and
    /// keeps nobody else from serving.
    ///
    /// # Errors
    /// When the registry cannot be read or the pulse cannot be started.
    pub async fn start(settings: Settings, ports: Ports<E>) -> Result<Arc<Self>, StartError> {
        let Ports { executor, registry, units, clock, logs } = ports;
        let state = registry.load().map_err(StartError::Registry)?;
        registry.sweep(&state).map_err(StartError::Registry)?;
        let threads = Threads::new(settings.threads_max, settings.queue_max, tokio::runtime::Handle::current());
        let (ticking, ticker) = (Arc::clone(&executor), threads.ticker());
        let tick = move || {
            ticker.tick();
            ticking.tick();
        };
        let pulse = Pulse::start(tick).map_err(StartError::Pulse)?;
        let kernel = Arc::new(Self {
            shop: Workshop::new(units, settings.write_ms_max),
            threads,
            settings,
            executor,
            registry,
            clock,
            logs,
            pulse,
            journal: Arc::default(),
            state: ArcSwap::from_pointee(state),
            graph: ArcSwap::from_pointee(Graph::empty()),
            changing: Arc::default(),
            broken: Mutex::default(),
            panics: Panics::default(),
            meters: Mutex::default(),
            places: Mutex::default(),
            waiting: AtomicU64::new(0),
            running: Arc::default(),
        });
        kernel.load_all().await;
        Ok(kernel)
    }

    /// Everything that is loaded, with the settings that follow from `state`. Machine code comes from `fresh` or
    /// from the graph of now. A broken module is left out, whose code may be at hand: it is out of service, or another
    /// module has the same. What the change `mends` is broken until the change is made.
    pub(crate) fn assemble(
        &self,
        state: &State,
        fresh: &BTreeMap<Digest, Arc<E::Module>>,
        mends: Option<&ModuleName>,
    ) -> BTreeMap<ModuleName, Loaded<E>> {
        let graph = self.graph_now();
        let known: BTreeMap<_, _> = graph.nodes.iter().map(|n| (n.digest, (&n.module, &n.world))).collect();
        let loaded = state.modules.iter().filter_map(|(name, module)| {
            if self.broken(name).is_some() && mends != Some(name) {
                return None;
            }
            let revision = module.active_revision()?;
            let (code, world) = match (fresh.get(&revision.digest), known.get(&revision.digest)) {
                (Some(code), _) => (Arc::clone(code), Arc::new(revision.world.clone())),
                (None, Some((code, world))) => (Arc::clone(code), Arc::clone(world)),
                (None, None) => return None,
            };
            let settings = Arc::new(self.module_settings(name, module));
            let loaded = Loaded { digest: revision.digest, world, module: code, settings, meter: self.meter(name) };
            Some((name.clone(), loaded))
        });
        loaded.collect()
    }

    pub(crate) fn module_settings(&self, name: &ModuleName, module: &ModuleState) -> ModuleSettings {
        let host = |grant: &Grant| match grant {
            Grant::Host(pattern) => Some(pattern.clone()),
            Grant::Import { .. } => None,
        };
        ModuleSettings {
            module: name.clone(),
            limits: self.settings.limits.patched(&module.limits),
            hosts: module.grants.iter().filter_map(host).collect(),
            config: module.config.clone(),
        }
    }

    /// Lets running calls end for `patience`, then ends them. New calls are refused from now on.
    pub async fn drain(&self, patience: Duration) {
        self.running.draining.store(true, Ordering::Relaxed);
        if tokio::time::timeout(patience, self.idle()).await.is_err() {
            let cut: Vec<_> = lock(&self.running.calls).values().cloned().collect();
            tracing::warn!(calls = cut.len(), "drain time is over, ending the calls that still run");
            cut.iter().for_each(|cancel| cancel.set(Reason::Draining));
            // A cut call ends within a tick or two; what a host call holds up longer is not waited for.
            let _late = tokio::time::timeout(Duration::from_secs(2), self.idle()).await;
        }
    }

    async fn idle(&self) {
        loop {
            let ended = self.running.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if lock(&self.running.calls).is_empty() {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn register(&self, tree: &Tree<E>) -> Registered {
        lock(&self.running.calls).insert(tree.id, Arc::clone(&tree.cancel));
        Registered { running: Arc::clone(&self.running), id: tree.id }
    }

    /// False once the station drains.
    pub fn accepts_calls(&self) -> bool {
        !self.running.draining.load(Ordering::Relaxed)
    }

    /// Root calls that run now.
    pub(crate) fn running(&self) -> usize {
        lock(&self.running.calls).len()
    }

    /// The places for root calls of a module, as many as its ceiling says.
    pub(crate) fn places(&self, module: &ModuleName, ceiling: u32) -> Arc<Places> {
        // A quarter of the threads is out of reach for any one module.
        let share = u32::try_from(self.settings.threads_max * 3 / 4).unwrap_or(u32::MAX).max(1);
        let max = ceiling.min(share).max(1);
        let mut all = lock(&self.places);
        let places = all.entry(module.clone()).or_insert_with(|| Arc::new(Places::new(max)));
        places.resize(max);
        Arc::clone(places)
    }

    pub(crate) fn meter(&self, module: &ModuleName) -> Arc<Meter> {
        Arc::clone(lock(&self.meters).entry(module.clone()).or_default())
    }

    /// Forgets what is counted and kept in memory about a module that is gone. What its last calls still use stays
    /// counted, so that a module of the same name does not get everything twice.
    pub(crate) fn forget(&self, module: &ModuleName) {
        let gone = |name: &ModuleName| !self.state_now().modules.contains_key(name);
        lock(&self.meters).retain(|name, meter| !gone(name) || !meter.read().is_idle());
        lock(&self.places).retain(|name, places| !gone(name) || Arc::strong_count(places) > 1);
        self.mended(module);
        self.logs.forget(module);
    }

    pub(crate) fn broken(&self, module: &ModuleName) -> Option<Failure> {
        lock(&self.broken).get(module).cloned()
    }

    /// Remembers why a module does not serve.
    pub(crate) fn break_down(&self, module: &ModuleName, why: Failure) {
        lock(&self.broken).insert(module.clone(), why);
    }

    pub(crate) fn mended(&self, module: &ModuleName) {
        lock(&self.broken).remove(module);
        self.panics.forget(module);
    }

    pub(crate) fn panics(&self) -> &Panics {
        &self.panics
    }

    /// Whether a module can be called in `graph`.
    pub(crate) fn health(&self, graph: &Graph<E>, module: &ModuleName) -> Health {
        match graph.find(module).and_then(|at| graph.node(at)) {
            Some(node) => node.health.clone(),
            None => self.broken(module).map_or_else(|| Health::Waiting(Vec::new()), Health::Broken),
        }
    }

    pub(crate) fn show(&self, state: State, graph: Graph<E>) {
        self.state.store(Arc::new(state));
        self.show_graph(graph);
    }

    pub(crate) fn show_graph(&self, graph: Graph<E>) {
        self.graph.store(Arc::new(graph));
    }

    pub(crate) fn changing(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.changing
    }

    pub(crate) fn waiting(&self) -> &AtomicU64 {
        &self.waiting
    }

    /// What is remembered, as of now.
    pub fn state_now(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The graph that a root call would begin with now.
    pub fn graph_now(&self) -> Arc<Graph<E>> {
        self.graph.load_full()
    }

    /// The executor.
    pub fn executor(&self) -> &Arc<E> {
        &self.executor
    }

    /// The registry.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// The time of day.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn shop(&self) -> &Workshop {
        &self.shop
    }

    /// What modules wrote.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.logs
    }

    /// The last calls.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
