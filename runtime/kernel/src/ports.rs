//! What the kernel needs from outside, as traits. The adapters implement them; `station-host` plugs them in.

use crate::control::DataView;
use crate::events::{Published, Wanted};
use crate::state::{AuditEntry, Change, Metadata, Migration, State};
use crate::tree::Tree;
use serde_json::Value;
use station_model::{Code, Digest, Failure, Function, Limits, Location, ModuleName, World};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

/// A future that is boxed because it crosses a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a component turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What it imports and exports.
    pub world: World,
    /// What it says about itself.
    pub metadata: Metadata,
}

/// Arguments of a call as text, parsed by the executor against the function's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Arguments {
    /// One JSON value per parameter.
    Json(Vec<Value>),
    /// A WAVE tuple, `(1, "x", {a: 2})`.
    Wave(String),
}

/// The operator's choices that an instance is made with.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleSettings {
    /// The module's name.
    pub module: ModuleName,
    /// What it may use.
    pub limits: Limits,
    /// Where it may send HTTP requests.
    pub hosts: Vec<station_model::HostPattern>,
    /// Values for `wasi:config`.
    pub config: BTreeMap<String, String>,
}

/// What a function of the host does to the unit of work of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// It may write to the database. From the first write on nobody else can, and the call has to end soon.
    Writes,
    /// It waits for what is outside.
    Waits,
}

/// A value that one thread works with: the first that asks for it. It is no lock: others get nothing.
pub trait Confine<T>: Send + Sync {
    /// Confines the value, to nobody yet.
    fn new(value: T) -> Self;

    /// Has `work` done with the value. None on any thread but the owner's, and inside `work`.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R>;
}

/// Runs modules. The only implementation for production is the engine; the kernel's tests use a fake.
pub trait Executor: Send + Sync + Sized + 'static {
    /// A loaded revision: machine code linked against the host, from which instances are made.
    type Module: Send + Sync + 'static;
    /// How values move over one linked function; chosen once, when the graph is built.
    type Lane: Send + Sync + 'static;
    /// What a root call carries in: arguments as text, or a request to serve.
    type Entry: Send + 'static;
    /// What only the thread of a call touches.
    type Confined<T: Send + 'static>: Confine<T>;

    /// Checks, inspects and compiles a component, apart from the process that serves calls.
    ///
    /// Compiled code goes to the cache, so that a later [`load`](Self::load) of the same digest is quick.
    ///
    /// # Errors
    /// `upload.*` and `link.unknown_import`, `link.version`.
    fn prepare<'a>(&'a self, digest: Digest, wasm: &'a Path) -> BoxFuture<'a, Result<Prepared, Failure>>;

    /// Loads a prepared component; compiles it again when the cache has nothing or something damaged.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and `upload.storage`.
    fn load<'a>(
        &'a self,
        digest: Digest,
        wasm: &'a Path,
        world: &'a World,
    ) -> BoxFuture<'a, Result<Arc<Self::Module>, Failure>>;

    /// Makes one instance without any authority, asks it for the migrations that it exports, and throws it away.
    /// Blocks; run on a call thread.
    ///
    /// # Errors
    /// `start.*`, `upload.limit`.
    fn trial(&self, module: &Arc<Self::Module>, settings: &Arc<ModuleSettings>) -> Result<Vec<Migration>, Failure>;

    /// True for an interface of the host's own that modules export and the host calls.
    fn host_calls(&self, interface: &station_model::InterfaceName) -> bool;

    /// True when the host itself provides this import, granted to everybody or not.
    fn host_provides(&self, interface: &station_model::InterfaceName) -> bool;

    /// True when a host interface needs no grant: clocks, random, bounded stdio.
    fn harmless(&self, interface: &station_model::InterfaceName) -> bool;

    /// What a function of a host interface does to the unit of work, if anything.
    fn habit(&self, interface: &station_model::InterfaceName, function: &str) -> Option<Habit>;

    /// Chooses how values move from an importer's function to the provider's.
    fn lane(&self, import: &Function, export: &Function) -> Self::Lane;

    /// A lane's name, and why it is not the best one.
    fn describe(lane: &Self::Lane) -> (&'static str, Option<&str>);

    /// An entry that calls a function with arguments from outside and answers with JSON.
    fn entry(&self, arguments: Arguments) -> Self::Entry;

    /// A second entry that can stand in for this one if the call must be run again; asked for before the first is
    /// used up. None when it cannot be repeated.
    fn spare(&self, entry: &Self::Entry) -> Option<Self::Entry>;

    /// Runs the root call of `tree` to its end, on this thread, and ends its unit of work with it: before instances
    /// are kept, so that none outlives what it wrote. `None` for an entry without a JSON answer.
    ///
    /// # Errors
    /// `call.*`, `unit.*`, `station.*`.
    fn run(&self, tree: &Arc<Tree<Self>>, entry: Self::Entry) -> Result<Option<Value>, Failure>;

    /// Throws away what a call has left and makes ready what the next calls will want, when it has been answered. Called
    /// on its thread; takes no longer than an instance takes to start.
    fn rest(&self);

    /// Resolves trap offsets to names, files and lines from the component's debug information.
    fn symbolize<'a>(&'a self, digest: Digest, wasm: &'a Path, at: &'a [Location]) -> BoxFuture<'a, Vec<Location>>;

    /// Looks at the deadlines of everything that runs. The pulse calls it every few milliseconds.
    fn tick(&self);

    /// How many components were compiled since the start, and not found compiled.
    fn compiles(&self) -> u64;

    /// Forgets the compiled code of a component that no module has any more.
    fn forget(&self, digest: Digest);
}

/// What went wrong in the registry.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct StorageError {
    /// What was being done.
    pub doing: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StorageError {
    /// Why everything is refused until the next start; none of a failure that may pass.
    pub(crate) fn stopped(&self) -> Option<Failure> {
        let first: &(dyn std::error::Error + 'static) = &*self.source;
        let mut all = std::iter::successors(Some(first), |error| error.source());
        let stopped = all.find_map(|error| error.downcast_ref::<Stopped>())?;
        Some(Failure::new(Code::StationReadOnly, stopped.to_string()))
    }
}

/// Among the sources of a [`StorageError`] when the storage refuses everything until the station is started again. The
/// storage has said so in the log itself, once.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Stopped(pub String);

/// An error and its sources in one line, for the log, which shows only the first of them by itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// The source of a [`StorageError`] when the change itself is at fault, and not the disk: what to tell who asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RefusedChange(pub Failure);

/// Remembers the state. Blocks: call it from a blocking thread.
pub trait Registry: Send + Sync + 'static {
    /// What was remembered.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn load(&self) -> Result<State, StorageError>;

    /// Makes all changes and the audit entry durable, or none of them.
    ///
    /// # Errors
    /// When the database cannot be written; then nothing has changed.
    fn commit(&self, changes: &[Change], entry: &AuditEntry) -> Result<(), StorageError>;

    /// Moves a finished upload to where it stays, durably. Does nothing when the digest is already there.
    ///
    /// # Errors
    /// When the file cannot be moved or flushed.
    fn keep_artifact(&self, digest: &Digest, uploaded: &Path) -> Result<(), StorageError>;

    /// Where the component with this digest is.
    fn artifact(&self, digest: &Digest) -> PathBuf;

    /// A path for an upload that is being received, on the file system where artifacts stay.
    fn upload_path(&self) -> PathBuf;

    /// Removes the artifact with this digest, which no revision has any more. Does nothing when it is not there.
    ///
    /// # Errors
    /// When the file cannot be removed.
    fn drop_artifact(&self, digest: &Digest) -> Result<(), StorageError>;

    /// Removes artifacts that no revision in `state` has, and uploads that were cut off. Only while nothing is
    /// being uploaded.
    ///
    /// # Errors
    /// When a file cannot be removed.
    fn sweep(&self, state: &State) -> Result<(), StorageError>;

    /// The last `limit` audit entries, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StorageError>;

    /// Makes a backup of everything that is remembered, as of one moment, while the station works.
    ///
    /// # Errors
    /// When the database cannot be copied.
    fn backup(&self, at_ms: u64) -> Result<Backup, StorageError>;

    /// Events that were published, oldest first.
    ///
    /// # Errors
    /// When the database failed.
    fn events(&self, wanted: &Wanted) -> Result<Vec<Published>, StorageError>;

    /// The tables and keys of all modules, or of one, in the order of their names. Counts rows and keys, which takes a while.
    ///
    /// # Errors
    /// [`RefusedChange`] when there is no such module or counting takes too long.
    fn tables(&self, module: Option<&ModuleName>) -> Result<DataView, StorageError>;
}

/// A backup, read from its beginning to its end. What it needs on the disk ends with it.
pub struct Backup {
    /// How many bytes it has.
    pub bytes: u64,
    /// The bytes. Reading blocks.
    pub archive: Box<dyn std::io::Read + Send>,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The time of day. A port so that a test can choose it.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// What the kernel's tests use.
#[cfg(test)]
impl<T: Send> Confine<T> for std::sync::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.try_lock().ok().map(|mut value| work(&mut value))
    }
}
