//! Modules: what there is, and whether it can be called.

use crate::{CallFailure, Client, Error, GraphEdge, Limits, Route};
use serde::{Deserialize, Serialize};
use station_model::{Digest, Grant, InterfaceName, ModuleName};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Whether a module can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every import is met.
    Ready,
    /// Some import is not met; calls answer `call.not_ready`.
    Waiting,
    /// Its component could not be loaded when the station started; calls answer `call.not_ready`.
    Broken,
}

impl State {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Broken => "broken",
        }
    }
}

/// An import that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// The import.
    #[schema(value_type = String)]
    pub interface: InterfaceName,
    /// `no_provider`, `ambiguous`, `not_granted`, `type_mismatch`, `provider_waiting` or `provider_gone`.
    pub reason: String,
    /// The same in a sentence, with the next step.
    pub detail: String,
    /// The modules that could provide it.
    #[schema(value_type = Vec<String>)]
    pub candidates: Vec<ModuleName>,
}

/// A module in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModuleSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub name: ModuleName,
    /// Whether it can be called.
    pub state: State,
    /// What it waits for; empty when it is ready.
    pub waiting_for: Vec<Waiting>,
    /// Why it is broken; absent when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<CallFailure>,
    /// The revision that serves calls; null when there is none.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// The owner's version, if the component says one.
    pub version: Option<String>,
    /// How many revisions are kept.
    pub revisions: usize,
    /// Calls since the start of the station, nested ones included.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Fuel used since the start of the station.
    pub fuel: u64,
}

/// Every module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModuleList {
    /// In the order of their names.
    pub modules: Vec<ModuleSummary>,
}

/// Everything about one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Module {
    /// What the list says too.
    #[serde(flatten)]
    pub summary: ModuleSummary,
    /// What the component says about itself.
    pub metadata: Metadata,
    /// What it imports.
    pub imports: Vec<Interface>,
    /// What it exports.
    pub exports: Vec<Interface>,
    /// What the operator allows.
    #[schema(value_type = Vec<String>)]
    pub grants: Vec<Grant>,
    /// Who shall provide which import, as the operator said.
    #[schema(value_type = BTreeMap<String, String>)]
    pub links: BTreeMap<InterfaceName, ModuleName>,
    /// Which of its imports other modules meet now, and how values move there.
    pub linked: Vec<GraphEdge>,
    /// Limits that differ from the station's.
    pub limits: Limits,
    /// Where the gateway sends requests to it.
    pub routes: Vec<Route>,
    /// The keys of its `wasi:config` values; the values may be secret and are not shown.
    pub config_keys: Vec<String>,
}

/// What a component says about itself. For people; nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// The owner's version.
    pub version: Option<String>,
    /// A sentence about it.
    pub description: Option<String>,
    /// Its licence.
    pub licence: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// The languages and tools that made it.
    pub producers: Vec<String>,
}

/// The functions behind one import or export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interface {
    /// The name it is imported or exported under.
    #[schema(value_type = String)]
    pub name: InterfaceName,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Function {
    /// Its name in the component.
    pub name: String,
    /// As `station call` names it, such as `demo:calc/ops@1.0.0#add`.
    pub path: String,
    /// Its type as WIT writes it, such as `func(a: u32, b: u32) -> u32`.
    pub signature: String,
}

/// One revision of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The SHA-256 of the component.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// True for the one that serves calls.
    pub active: bool,
    /// Its size in bytes.
    pub size: u64,
    /// When it was first uploaded, in milliseconds since 1970.
    pub uploaded_ms: u64,
    /// What it says about itself.
    pub metadata: Metadata,
}

/// The revisions of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionList {
    /// Newest first.
    pub versions: Vec<Version>,
}

impl Client {
    /// Every module.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn modules(&self) -> Result<ModuleList, Error> {
        self.answer(self.get(&["v1", "modules"])?).await
    }

    /// Everything about one module.
    ///
    /// # Errors
    /// `admin.not_found` when there is none of this name.
    pub async fn module(&self, name: &str) -> Result<Module, Error> {
        self.answer(self.get(&["v1", "modules", name])?).await
    }

    /// The revisions of a module, newest first.
    ///
    /// # Errors
    /// `admin.not_found` when there is none of this name.
    pub async fn versions(&self, name: &str) -> Result<VersionList, Error> {
        self.answer(self.get(&["v1", "modules", name, "versions"])?).await
    }

    /// Removes a module with everything that is remembered about it.
    ///
    /// # Errors
    /// `admin.not_found` when there is none of this name.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        self.done(self.delete(&["v1", "modules", name])?).await
    }
}
