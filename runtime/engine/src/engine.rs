//! The executor: everything that runs modules, behind the kernel's port.

use crate::broker;
use crate::cache::{Cache, Found as Cached};
use crate::capability::Capability;
use crate::config::{self, Place, PoolSize};
use crate::confined::Confined;
use crate::entry::{Answer, Entry};
use crate::failure::{self, Named};
use crate::host::Host;
use crate::lane::{Choice, Lane};
use crate::live::{Live, Making, Purpose};
use crate::migrations;
use crate::module::Module;
use crate::pool::Pool;
use crate::run::{EndOfTree, Lease, Ran, Run};
use crate::sealed::Sealed;
use crate::spares;
use crate::worker::{Limits, Worker};
use serde_json::Value;
use station_kernel::ports::{Arguments, BoxFuture, Habit, ModuleSettings};
use station_kernel::state::Migration;
use station_kernel::tree::{Called, Tree};
use station_kernel::{Executor, Meter, Prepared};
use station_model::{Code, Digest, Failure, Function, InterfaceName, Location, World};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use wasmtime::component::Component;

/// Fuel of a trial instance: ample for initialisers, nothing for a loop.
const TRIAL_FUEL: u64 = 200_000_000;
/// Resolved places of traps that are remembered.
const SYMBOLS_MAX: usize = 10_000;

/// Bytes that one call may move between two modules, or between guest and host. In the dynamic lane a list costs 40
/// bytes per element, so there it is a `list<u8>` of 1.6 MiB.
pub const HOSTCALL_BYTES: usize = 64 << 20;

/// What the operator decided about the engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Instances of modules at one time, over all modules.
    pub instances_max: u32,
    /// Memory of all instances together, in bytes.
    pub memory_bytes_max: u64,
    /// Bytes that one call may copy between guest and host, in the dynamic lane 40 per list element.
    pub hostcall_bytes_max: usize,
    /// How values move between modules.
    pub lane: Choice,
    /// Limits of a compile child.
    pub compile: Limits,
    /// Our own binary, which knows the verbs of the compile child.
    pub worker: PathBuf,
    /// The folder of compiled code; none for no cache.
    pub cache: Option<PathBuf>,
    /// The file with the key to it.
    pub cache_key: PathBuf,
}

/// Runs modules.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    worker: Worker,
    cache: Arc<Cache>,
    loaded: Mutex<HashMap<Digest, Weak<Module>>>,
    symbols: Mutex<HashMap<(Digest, u64), Vec<Location>>>,
    /// Compile children that were asked for.
    compiles: AtomicU64,
}

/// What every call needs of the engine.
pub(crate) struct Shared {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) host: Host,
    pub(crate) settings: Settings,
    pub(crate) meter: Arc<Meter>,
    pub(crate) pool: Pool,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// wasmtime refused.
    #[error("setting up the engine: {0}")]
    Engine(String),
    /// The key of the cache.
    #[error("the key of the compiled cache at {path}")]
    CacheKey {
        /// Where it should be.
        path: PathBuf,
        /// Why it is not.
        #[source]
        source: std::io::Error,
    },
}

impl Engine {
    /// An engine that offers `capabilities` to every module. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When the machine cannot reserve the pool, two capabilities define the same name, or the cache has no key.
    pub fn new(settings: Settings, capabilities: Vec<Arc<dyn Capability>>) -> Result<Self, Error> {
        let refused = |error: wasmtime::Error| Error::Engine(format!("{error:#}"));
        let engine = config::engine(Place::Pool(PoolSize { instances: settings.instances_max })).map_err(refused)?;
        let host = Host::new(&engine, capabilities).map_err(refused)?;
        let cache = Cache::open(settings.cache.as_deref(), &settings.cache_key, config::compatibility(&engine))
            .map_err(|source| Error::CacheKey { path: settings.cache_key.clone(), source })?;
        let worker = Worker::new(settings.worker.clone(), settings.compile);
        let shared = Shared { engine, host, settings, meter: Arc::default(), pool: Pool::default() };
        Ok(Self {
            shared: Arc::new(shared),
            worker,
            cache: Arc::new(cache),
            loaded: Mutex::default(),
            symbols: Mutex::default(),
            compiles: AtomicU64::new(0),
        })
    }

    async fn compile(&self, digest: Digest, wasm: &Path) -> Result<(Prepared, Vec<u8>), Failure> {
        self.compiles.fetch_add(1, Ordering::Relaxed);
        let compiled = self.worker.compile(wasm).await?;
        self.shared.host.check(&compiled.prepared.world)?;
        let cache = Arc::clone(&self.cache);
        let keep = move || {
            cache.put(&digest, &compiled.prepared, &compiled.code);
            (compiled.prepared, compiled.code)
        };
        tokio::task::spawn_blocking(keep).await.map_err(|_| lost())
    }

    /// What a component is: known since it was compiled here, or found out by compiling it.
    async fn inspect(&self, digest: Digest, wasm: &Path) -> Result<Prepared, Failure> {
        let cache = Arc::clone(&self.cache);
        let known = tokio::task::spawn_blocking(move || cache.prepared(&digest)).await.map_err(|_| lost())?;
        match known {
            // What the host offers may have changed since.
            Some(prepared) => self.shared.host.check(&prepared.world).map(|()| prepared),
            None => Ok(self.compile(digest, wasm).await?.0),
        }
    }

    /// The code of a component, loaded: from the cache, or compiled.
    async fn component(&self, digest: Digest, wasm: &Path) -> Result<Component, Failure> {
        let cache = Arc::clone(&self.cache);
        let cached = tokio::task::spawn_blocking(move || cache.get(&digest)).await.map_err(|_| lost())?;
        match cached {
            Cached::Code(code) => map(&self.shared.engine, &code),
            Cached::Nothing | Cached::Rejected => {
                check_artifact(digest, wasm).await?;
                deserialize(&self.shared.engine, &self.compile(digest, wasm).await?.1)
            }
        }
    }

    fn link(&self, component: &Component, world: &World) -> Result<Arc<Module>, Failure> {
        Module::link(component, world, &self.shared.host, self.shared.settings.lane).map(Arc::new)
    }

    fn already(&self, digest: &Digest) -> Option<Arc<Module>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest).and_then(Weak::upgrade)
    }

    fn remember(&self, digest: Digest, module: &Arc<Module>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, module| module.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(module));
    }

    async fn resolve(&self, digest: Digest, wasm: &Path, at: &[Location]) -> Vec<Location> {
        let known = |location: &Location| {
            let symbols = self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
            location.offset.and_then(|offset| symbols.get(&(digest, offset)).cloned())
        };
        if let Some(all) = at.iter().map(known).collect::<Option<Vec<_>>>() {
            return all.concat();
        }
        let Some(found) = self.worker.symbolize(wasm, at).await else { return at.to_vec() };
        let mut symbols = self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        if symbols.len() > SYMBOLS_MAX {
            symbols.clear();
        }
        let keys = at.iter().map(|location| location.offset);
        symbols.extend(keys.zip(&found).filter_map(|(offset, places)| Some(((digest, offset?), places.clone()))));
        found.concat()
    }
}

/// Maps authenticated code. With [`deserialize`] the one place where the station trusts bytes to be code.
#[expect(unsafe_code, reason = "loading machine code is running it; see the proof inside")]
fn map(engine: &wasmtime::Engine, code: &Sealed) -> Result<Component, Failure> {
    // SAFETY: the file must be what `Component::serialize` wrote, and must not change as long as it is mapped. It is a
    // cache entry whose MAC, under a key that only this station has, was checked over this very file after that was
    // sealed: from then on the system refuses every write to it and every change of its length, whoever asks. The path
    // names it by a descriptor of this process that `code` keeps open, and the mapping keeps it alive from then on.
    let component = unsafe { Component::deserialize_file(engine, code.path()) };
    component.map_err(|error| does_not_fit(&error))
}

/// Turns code that was compiled just now into code that can run.
#[expect(unsafe_code, reason = "loading machine code is running it; see the proof inside")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> Result<Component, Failure> {
    // SAFETY: `code` must be bytes that `Component::serialize` wrote, unchanged. They come straight from a compile child of
    // our own binary over a pipe that nobody else holds. wasmtime itself checks that they were written by the same version
    // with the same settings.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| does_not_fit(&error))
}

/// Code that the engine will not load: it needs more than the pool has places for, or was made by another engine,
/// which the cache's names rule out.
fn does_not_fit(error: &wasmtime::Error) -> Failure {
    let cause = error.root_cause().to_string();
    if cause.contains("exceed") || cause.contains("limit") {
        return Failure::new(Code::UploadLimit, format!("the component needs more than an instance may have: {cause}"));
    }
    tracing::error!(error = format!("{error:#}"), "loading compiled code");
    Failure::new(Code::StationInternal, "the compiled code does not fit the engine")
}

/// The artifact on disk must still be what was uploaded, before it is compiled again.
async fn check_artifact(digest: Digest, wasm: &Path) -> Result<(), Failure> {
    let path = wasm.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(path).map(|bytes| Digest::of(&bytes)));
    match read.await.map_err(|_| lost())? {
        Ok(found) if found == digest => Ok(()),
        Ok(_) => Err(Failure::new(
            Code::UploadDigestMismatch,
            format!("the stored component {digest} was changed on disk; upload it again"),
        )),
        Err(_) => Err(Failure::new(
            Code::UploadStorage,
            format!("the stored component {digest} cannot be read; upload it again"),
        )),
    }
}

fn lost() -> Failure {
    Failure::new(Code::StationInternal, "a task of the station was lost")
}

impl Executor for Engine {
    type Module = Module;
    type Lane = Lane;
    type Entry = Entry;
    type Confined<T: Send + 'static> = Confined<T>;

    fn prepare<'a>(&'a self, digest: Digest, wasm: &'a Path) -> BoxFuture<'a, Result<Prepared, Failure>> {
        Box::pin(self.inspect(digest, wasm))
    }

    fn load<'a>(
        &'a self,
        digest: Digest,
        wasm: &'a Path,
        world: &'a World,
    ) -> BoxFuture<'a, Result<Arc<Module>, Failure>> {
        Box::pin(async move {
            if let Some(module) = self.already(&digest) {
                return Ok(module);
            }
            let module = self.link(&self.component(digest, wasm).await?, world)?;
            self.remember(digest, &module);
            Ok(module)
        })
    }

    fn trial(&self, module: &Arc<Module>, settings: &Arc<ModuleSettings>) -> Result<Vec<Migration>, Failure> {
        let meter = Arc::default();
        let making = Making { module, settings, meter: &meter, fuel: TRIAL_FUEL, purpose: Purpose::Trial };
        let mut live = Live::make(&self.shared, &making).map_err(|(named, _)| failure::of_start(*named.failure))?;
        let Live { store, instance, .. } = &mut *live;
        migrations::exported(store, instance)
            .map_err(|error| failure::of_start(*failure::name(&error, store, &self.shared.host.capabilities).failure))
    }

    fn host_provides(&self, interface: &InterfaceName) -> bool {
        self.shared.host.offer(interface).is_some()
    }

    fn host_calls(&self, interface: &InterfaceName) -> bool {
        migrations::is_interface(interface) || interface.to_string().starts_with("wasi:http/incoming-handler@0.2.")
    }

    fn harmless(&self, interface: &InterfaceName) -> bool {
        self.shared.host.offer(interface).is_some_and(|offer| offer.harmless)
    }

    fn habit(&self, interface: &InterfaceName, function: &str) -> Option<Habit> {
        self.shared.host.offer(interface)?.habit(function)
    }

    fn lane(&self, import: &Function, _export: &Function) -> Lane {
        Lane::of(import, self.shared.settings.lane)
    }

    fn describe(lane: &Lane) -> (&'static str, Option<&str>) {
        lane.describe()
    }

    fn entry(&self, arguments: Arguments) -> Entry {
        Entry::Text(arguments)
    }

    fn spare(&self, entry: &Entry) -> Option<Entry> {
        entry.spare()
    }

    fn run(&self, tree: &Arc<Tree<Self>>, entry: Entry) -> Result<Option<Value>, Failure> {
        let run = Run::new(tree, &self.shared);
        let _end = EndOfTree(&run);
        let entered = tree.enter(tree.root, tree.called.clone())?;
        let (answer, outcome) = split(root(&run, entry));
        broker::leave(&run, entered, tree.fuel, &outcome);
        let stays = matches!(outcome, Ok((false, _)));
        outcome.map_err(|(named, _)| *named.failure)?;
        tree.end_unit(stays)?;
        run.keep_instances();
        Ok(answer)
    }

    fn rest(&self) {
        self.shared.pool.used.throw_away();
        spares::make_one(&self.shared);
    }

    fn symbolize<'a>(&'a self, digest: Digest, wasm: &'a Path, at: &'a [Location]) -> BoxFuture<'a, Vec<Location>> {
        Box::pin(self.resolve(digest, wasm, at))
    }

    fn tick(&self) {
        self.shared.engine.increment_epoch();
        self.shared.pool.tick();
    }

    fn compiles(&self) -> u64 {
        self.compiles.load(Ordering::Relaxed)
    }

    fn forget(&self, digest: Digest) {
        if let Some(module) = self.already(&digest) {
            self.shared.pool.forget(&module);
        }
        self.cache.remove(&digest);
    }
}

/// The answer, and how the call ended.
fn split(outcome: Ran<Answer>) -> (Option<Value>, Ran<bool>) {
    match outcome {
        Ok((answer, used)) => (answer.json, Ok((answer.refused, used))),
        Err(failed) => (None, Err(failed)),
    }
}

/// Runs the root instance. Answers with the fuel that the whole tree used, also when it failed.
fn root(run: &Arc<Run>, entry: Entry) -> Ran<Answer> {
    let (node, fuel) = (run.tree.root, run.tree.fuel);
    let mut lease = run.lease(node, fuel)?;
    let target = match run.tree.called {
        Called::Function(found) => run.tree.graph.node(node).and_then(|node| Some((found, node.function(found)?))),
        _ => None,
    };
    let outcome = entry.enter(&mut lease.live, target);
    settle_root(run, lease, fuel, outcome)
}

fn settle_root(run: &Arc<Run>, mut lease: Lease, fuel: u64, outcome: wasmtime::Result<Answer>) -> Ran<Answer> {
    let used = lease.live.used(fuel);
    match outcome {
        Ok(_) if used > fuel => {
            let failure = failure::out_of_fuel(lease.live.store.data());
            run.bury(lease);
            Err((Named { failure: Box::new(failure), own: true, at: Vec::new() }, used))
        }
        Ok(answer) => {
            run.give_back(lease);
            Ok((answer, used))
        }
        Err(error) => {
            let named = failure::name(&error, &mut lease.live.store, &run.shared.host.capabilities);
            run.bury(lease);
            Err((named, used))
        }
    }
}
