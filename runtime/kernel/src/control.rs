//! What an operator can ask of a station, whatever runs the modules: the port that the admin API drives.

use crate::events::{Published, Wanted};
use crate::graph::{Edge, Health};
use crate::logs::Line;
use crate::ports::{Arguments, Backup, BoxFuture};
use crate::state::{AuditEntry, Route, Scope, State, Token};
use serde_json::Value;
use station_model::{CallId, CallReport, Digest, Failure, FunctionPath, Grant, InterfaceName, LimitsPatch, ModuleName};
use std::{path::PathBuf, sync::Arc};

/// Who asks, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// As it stands in the audit log, such as `admin:root`.
    pub name: String,
    /// The widest scope that was proved.
    pub scope: Scope,
}

/// An upload that was received in full.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The module that it is a revision of.
    pub module: ModuleName,
    /// Where the bytes are; taken over by the deployment.
    pub file: PathBuf,
    /// Their SHA-256, computed while they came in.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What to grant in the same step.
    pub grants: Vec<Grant>,
    /// Grant everything that this revision imports.
    pub grant_all: bool,
    /// Who shall provide which import.
    pub links: Vec<(InterfaceName, ModuleName)>,
    /// Only say what would become of it.
    pub plan: bool,
}

/// What became of an upload, or would become of one that is only planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    /// The module.
    pub module: ModuleName,
    /// The revision that is active now.
    pub digest: Digest,
    /// False when this very revision was already active.
    pub changed: bool,
    /// True when nothing was done.
    pub planned: bool,
    /// Whether it can be called.
    pub health: Health,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
}

/// Something about a module that is no reason to refuse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A stable word.
    pub code: &'static str,
    /// The same in a sentence, with the next step.
    pub detail: String,
}

/// A call as the operator asks for it.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// The module to call.
    pub module: ModuleName,
    /// The function; its version may be left out where that is not ambiguous.
    pub function: FunctionPath,
    /// Its arguments.
    pub arguments: Arguments,
    /// At most this much fuel.
    pub fuel: Option<u64>,
    /// At most this many milliseconds.
    pub deadline_ms: Option<u64>,
}

/// How a call ended. The report of a failed call carries the failure.
#[derive(Debug, Clone, PartialEq)]
pub struct CallAnswer {
    /// The result as JSON; null for a function without one, and after a failure.
    pub result: Value,
    /// Fuel, time and frames.
    pub report: CallReport,
}

/// One module as the station sees it now.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleView {
    /// Its name.
    pub name: ModuleName,
    /// Whether it can be called.
    pub health: Health,
    /// Which of its imports other modules meet, and how values move there.
    pub linked: Vec<Edge>,
    /// What is remembered about it.
    pub state: crate::state::ModuleState,
    /// Root calls and nested calls since the start.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Fuel used since the start.
    pub fuel: u64,
    /// Instances that exist now, idle ones included.
    pub instances: u64,
    /// Bytes of their memories and tables.
    pub memory_bytes: u64,
}

/// The whole graph as the station sees it now.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphView {
    /// Every module.
    pub modules: Vec<ModuleView>,
    /// Every settled link between modules.
    pub links: Vec<Edge>,
}

/// A table of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    /// Whose it is.
    pub module: ModuleName,
    /// What the module calls it.
    pub name: String,
    /// What the database calls it.
    pub physical: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes of its pages and of those of its indices.
    pub bytes: u64,
}

/// The keys of a module, those of all its buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysView {
    /// Whose they are.
    pub module: ModuleName,
    /// How many.
    pub keys: u64,
    /// Bytes of the keys and of their values.
    pub bytes: u64,
}

/// What modules keep in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataView {
    /// Their tables, by module and name.
    pub tables: Vec<TableView>,
    /// Their keys, by module; modules without keys are left out.
    pub keys: Vec<KeysView>,
}

/// Figures for `/metrics` that belong to no module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Root calls that run now.
    pub calls_running: u64,
    /// Root calls that wait for a thread.
    pub calls_queued: u64,
    /// Call threads at most.
    pub threads_max: u64,
    /// Components that were compiled since the start, and not found compiled.
    pub compiles: u64,
}

/// The operator's side of a station.
pub trait Control: Send + Sync + 'static {
    /// Takes in an upload: checks, compiles, stores and activates it. All or nothing; the same bytes twice are one. One
    /// that is only planned is checked and compiled, and nothing remains of it.
    fn deploy(&self, who: Principal, upload: Upload) -> BoxFuture<'_, Result<Deployed, Failure>>;
    /// Removes a module with everything that is remembered about it.
    fn remove(&self, who: Principal, module: ModuleName) -> BoxFuture<'_, Result<(), Failure>>;
    /// Allows a module something.
    fn grant(
        &self,
        who: Principal,
        module: ModuleName,
        grants: Vec<Grant>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>>;
    /// No longer allows it. A module that needs it is `waiting` afterwards.
    fn revoke(
        &self,
        who: Principal,
        module: ModuleName,
        grants: Vec<Grant>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>>;
    /// Settles who provides an import.
    fn link(
        &self,
        who: Principal,
        module: ModuleName,
        interface: InterfaceName,
        provider: ModuleName,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>>;
    /// Replaces a module's limits.
    fn set_limits(
        &self,
        who: Principal,
        module: ModuleName,
        limits: LimitsPatch,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>>;
    /// Replaces a module's routes.
    fn set_routes(
        &self,
        who: Principal,
        module: ModuleName,
        routes: Vec<Route>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>>;
    /// Replaces a module's values for `wasi:config`.
    fn set_config(
        &self,
        who: Principal,
        module: ModuleName,
        config: std::collections::BTreeMap<String, String>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>>;
    /// Calls a function. The future may be dropped: the call is then cancelled.
    fn call(&self, who: Principal, request: CallRequest) -> BoxFuture<'_, Result<CallAnswer, Failure>>;
    /// Remembers a token.
    fn add_token(&self, who: Principal, token: Token) -> BoxFuture<'_, Result<(), Failure>>;
    /// Forgets a token.
    fn remove_token(&self, who: Principal, id: String) -> BoxFuture<'_, Result<(), Failure>>;

    /// What is remembered, as of now.
    fn state(&self) -> Arc<State>;
    /// The modules and links, as of now.
    fn graph(&self) -> GraphView;
    /// One module, as of now.
    fn module(&self, name: &ModuleName) -> Option<ModuleView>;
    /// The last calls, newest first.
    fn calls(&self, limit: usize, failed_only: bool) -> Vec<Arc<CallReport>>;
    /// One call, with file and line of every trap that can be resolved.
    fn trace(&self, id: CallId) -> BoxFuture<'_, Option<CallReport>>;
    /// The last lines that a module wrote, oldest first; only those after `after`.
    fn logs(&self, module: &ModuleName, after: u64, limit: usize) -> Vec<Line>;
    /// The last entries of the audit log, newest first.
    fn audit(&self, limit: u32) -> BoxFuture<'_, Result<Vec<AuditEntry>, Failure>>;
    /// Events that were published, oldest first. What is told of is on the disk.
    fn events(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Published>, Failure>>;
    /// Forgets events up to and including an offset.
    fn prune_events(&self, who: Principal, through: u64) -> BoxFuture<'_, Result<(), Failure>>;
    /// The tables of all modules, or of one.
    fn tables(&self, module: Option<ModuleName>) -> BoxFuture<'_, Result<DataView, Failure>>;
    /// Makes a backup of the whole station, which goes on working; the audit log says who asked for it.
    fn backup(&self, who: Principal) -> BoxFuture<'_, Result<Backup, Failure>>;
    /// A path where an upload may be received.
    fn upload_path(&self) -> PathBuf;
    /// Figures for the metrics.
    fn figures(&self) -> Figures;
    /// Whether the station serves.
    ///
    /// # Errors
    /// `station.draining`, and `station.read_only` when the storage refuses everything until the next start.
    fn ready(&self) -> Result<(), Failure>;
}
