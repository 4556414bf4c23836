//! What the operator decides about a module besides grants: limits, routes, configuration values. Each is replaced
//! as a whole.

use crate::{Client, Error, Module};
use serde::{Deserialize, Serialize};
use station_model::LimitsPatch;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Limits of a module that differ from the station's. What is absent is the station's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel units that one root call may use, nested calls included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Wall time that one root call may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Linear memory and tables of one instance, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Instances of the module at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances_max: Option<u32>,
}

/// A public address of a module: a host, a path prefix, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// The host name; absent for every host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path prefix, beginning with `/`; absent for every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// All routes of a module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteList {
    /// The routes.
    pub routes: Vec<Route>,
}

/// All values for `wasi:config` of a module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigBody {
    /// The values by key.
    pub config: BTreeMap<String, String>,
}

impl From<LimitsPatch> for Limits {
    fn from(patch: LimitsPatch) -> Self {
        Self {
            fuel: patch.fuel,
            deadline_ms: patch.deadline_ms,
            memory_bytes: patch.memory_bytes,
            instances_max: patch.instances_max,
        }
    }
}

impl From<Limits> for LimitsPatch {
    fn from(limits: Limits) -> Self {
        Self {
            fuel: limits.fuel,
            deadline_ms: limits.deadline_ms,
            memory_bytes: limits.memory_bytes,
            instances_max: limits.instances_max,
        }
    }
}

impl Client {
    /// Replaces a module's limits.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_limits(&self, name: &str, limits: &Limits) -> Result<Module, Error> {
        self.answer(self.put(&["v1", "modules", name, "limits"], limits)?).await
    }

    /// Replaces a module's routes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_routes(&self, name: &str, routes: &[Route]) -> Result<Module, Error> {
        let body = RouteList { routes: routes.to_vec() };
        self.answer(self.put(&["v1", "modules", name, "routes"], &body)?).await
    }

    /// Replaces a module's values for `wasi:config`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_config(&self, name: &str, config: &BTreeMap<String, String>) -> Result<Module, Error> {
        let body = ConfigBody { config: config.clone() };
        self.answer(self.put(&["v1", "modules", name, "config"], &body)?).await
    }
}
