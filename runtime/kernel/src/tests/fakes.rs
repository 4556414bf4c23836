//! An executor that does what a test says, and a registry in memory with files in a folder.

use super::database::{Database, Shared};
use crate::control::DataView;
use crate::events::{Published, Wanted};
use crate::kernel::{Kernel, Ports, Settings};
use crate::logs::Logs;
use crate::ports::{
    Arguments, Backup, BoxFuture, Clock, Executor, Habit, ModuleSettings, Prepared, Registry, StorageError,
};
use crate::state::{AuditEntry, Change, Migration, State};
use crate::tree::{Ended, Tree};
use serde_json::Value;
use station_model::{Code, Digest, Failure, Function, Interface, InterfaceName, Location, ModuleName, World};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

type Behaviour = Box<dyn Fn(&Tree<Fake>) -> Result<Option<Value>, Failure> + Send + Sync>;

/// Runs a closure instead of wasm. A "component" is a text: `export NAME` or `import NAME`, or several of them with
/// `;` between.
#[derive(Default)]
pub(super) struct Fake {
    behaviour: Mutex<Option<Arc<Behaviour>>>,
    unloadable: Mutex<Vec<Digest>>,
    /// Fuel of callees that the next root call to end is charged with, as a guest's counter would have it.
    pub(super) charged: Arc<AtomicU64>,
    /// What a trial instance exports from now on.
    pub(super) migrations: Mutex<Vec<Migration>>,
    /// Components whose compiled code was dropped.
    pub(super) forgotten: Mutex<Vec<Digest>>,
}

pub(super) fn exporting(name: &str) -> String {
    format!("export {name}")
}

pub(super) fn importing(name: &str) -> String {
    format!("import {name}")
}

impl Fake {
    /// What every call does from now on.
    pub(super) fn behave(&self, with: impl Fn(&Tree<Self>) -> Result<Option<Value>, Failure> + Send + Sync + 'static) {
        *self.behaviour.lock().unwrap() = Some(Arc::new(Box::new(with)));
    }

    pub(super) fn cannot_load(&self, digest: Digest) {
        self.unloadable.lock().unwrap().push(digest);
    }
}

fn world(text: &str) -> World {
    let mut world = World { imports: vec![], exports: vec![] };
    for item in text.split(';') {
        let (kind, name) = item.trim().split_once(' ').unwrap();
        let function = if name.contains('/') { "f" } else { name };
        let functions = vec![Function { name: function.into(), params: vec![], result: None }];
        let root = !name.contains('/');
        let interface = Interface { name: name.parse().unwrap(), root, functions, resources: vec![] };
        let side = if kind == "export" { &mut world.exports } else { &mut world.imports };
        side.push(interface);
    }
    world
}

impl Executor for Fake {
    type Module = ();
    type Lane = ();
    type Entry = ();
    type Confined<T: Send + 'static> = Mutex<T>;

    fn prepare<'a>(&'a self, _: Digest, wasm: &'a Path) -> BoxFuture<'a, Result<Prepared, Failure>> {
        let text = std::fs::read_to_string(wasm).unwrap();
        Box::pin(async move { Ok(Prepared { world: world(&text), metadata: Default::default() }) })
    }

    fn load<'a>(&'a self, digest: Digest, _: &'a Path, _: &'a World) -> BoxFuture<'a, Result<Arc<()>, Failure>> {
        let bad = self.unloadable.lock().unwrap().contains(&digest);
        let outcome = if bad { Err(Failure::new(Code::UploadStorage, "it is gone")) } else { Ok(Arc::new(())) };
        Box::pin(std::future::ready(outcome))
    }

    fn trial(&self, _: &Arc<()>, _: &Arc<ModuleSettings>) -> Result<Vec<Migration>, Failure> {
        Ok(self.migrations.lock().unwrap().clone())
    }

    fn host_calls(&self, _: &InterfaceName) -> bool {
        false
    }

    fn host_provides(&self, interface: &InterfaceName) -> bool {
        interface.is_reserved()
    }

    fn habit(&self, interface: &InterfaceName, _: &str) -> Option<Habit> {
        match interface.to_string().as_str() {
            "wasi:rows/rows" => Some(Habit::Writes),
            "wasi:net/net" => Some(Habit::Waits),
            _ => None,
        }
    }

    fn harmless(&self, interface: &InterfaceName) -> bool {
        interface.is_reserved()
    }

    fn lane(&self, _: &Function, _: &Function) {}

    fn describe((): &()) -> (&'static str, Option<&str>) {
        ("fake", None)
    }

    fn entry(&self, _: Arguments) {}

    fn spare(&self, (): &()) -> Option<()> {
        Some(())
    }

    fn run(&self, tree: &Arc<Tree<Self>>, (): ()) -> Result<Option<Value>, Failure> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        let entered = tree.enter(tree.root, tree.called.clone())?;
        let outcome = behaviour.map_or(Ok(None), |behave| behave(tree));
        let ended = match &outcome {
            Ok(_) => Ended::Returned,
            Err(failure) => Ended::Failed(failure, vec![]),
        };
        tree.leave(entered, tree.fuel, 1 + self.charged.swap(0, Ordering::Relaxed), ended);
        tree.end_unit(outcome.is_ok()).and(outcome)
    }

    fn rest(&self) {}

    fn symbolize<'a>(&'a self, _: Digest, _: &'a Path, at: &'a [Location]) -> BoxFuture<'a, Vec<Location>> {
        Box::pin(std::future::ready(at.to_vec()))
    }

    fn tick(&self) {}

    fn compiles(&self) -> u64 {
        0
    }

    fn forget(&self, digest: Digest) {
        self.forgotten.lock().unwrap().push(digest);
    }
}

/// Holds calls up until it is opened.
#[derive(Clone)]
pub(super) struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn arrive_and_wait(&self) {
        let (state, opened) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        while !state.1 {
            state = opened.wait(state).unwrap();
        }
    }

    pub(super) fn arrived(&self) -> bool {
        self.0.0.lock().unwrap().0 > 0
    }

    pub(super) fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

/// Remembers in memory; files are in a folder of their own.
pub(super) struct Memory {
    state: Mutex<State>,
    folder: tempfile::TempDir,
    refusing: Mutex<bool>,
    uploads: Mutex<u32>,
    pub(super) commits: AtomicU64,
}

impl Memory {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            state: Mutex::default(),
            folder,
            refusing: Mutex::new(false),
            uploads: Mutex::new(0),
            commits: AtomicU64::new(0),
        }
    }

    pub(super) fn refuse_commits(&self, refuse: bool) {
        *self.refusing.lock().unwrap() = refuse;
    }

    pub(super) fn upload(&self, bytes: &str) -> PathBuf {
        let path = self.upload_path();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The names of all files that are left.
    pub(super) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Registry for Memory {
    fn load(&self) -> Result<State, StorageError> {
        Ok(self.state.lock().unwrap().clone())
    }

    fn commit(&self, changes: &[Change], _: &AuditEntry) -> Result<(), StorageError> {
        if *self.refusing.lock().unwrap() {
            return Err(StorageError { doing: "writing".into(), source: "the disk is full".into() });
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.state.lock().unwrap().apply(changes);
        Ok(())
    }

    fn keep_artifact(&self, digest: &Digest, uploaded: &Path) -> Result<(), StorageError> {
        std::fs::rename(uploaded, self.artifact(digest)).unwrap();
        Ok(())
    }

    fn artifact(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join(digest.hex())
    }

    fn upload_path(&self) -> PathBuf {
        let mut uploads = self.uploads.lock().unwrap();
        *uploads += 1;
        self.folder.path().join(format!("upload-{uploads}"))
    }

    fn drop_artifact(&self, digest: &Digest) -> Result<(), StorageError> {
        let _gone = std::fs::remove_file(self.artifact(digest));
        Ok(())
    }

    fn sweep(&self, _: &State) -> Result<(), StorageError> {
        Ok(())
    }

    fn audit(&self, _: u32) -> Result<Vec<AuditEntry>, StorageError> {
        Ok(vec![])
    }

    fn events(&self, _: &Wanted) -> Result<Vec<Published>, StorageError> {
        Ok(vec![])
    }

    fn tables(&self, _: Option<&ModuleName>) -> Result<DataView, StorageError> {
        Ok(DataView::default())
    }

    fn backup(&self, _: u64) -> Result<Backup, StorageError> {
        Ok(Backup { bytes: 0, archive: Box::new(std::io::empty()) })
    }
}

struct Stopped;

impl Clock for Stopped {
    fn now_ms(&self) -> u64 {
        1_000
    }
}

/// A kernel with these fakes.
pub(super) async fn kernel(
    settings: Settings,
    executor: &Arc<Fake>,
    registry: &Arc<Memory>,
    database: &Arc<Database>,
) -> Arc<Kernel<Fake>> {
    let registry: Arc<dyn Registry> = Arc::<Memory>::clone(registry);
    let units = Arc::new(Shared(Arc::clone(database)));
    let (clock, logs) = (Arc::new(Stopped), Arc::new(Logs::default()));
    let ports = Ports { executor: Arc::clone(executor), registry, units, clock, logs };
    Kernel::start(settings, ports).await.unwrap()
}
