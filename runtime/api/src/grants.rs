//! Grants and links: what a module may reach, and who provides it.

use crate::{Client, Error, Module};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use station_model::{Grant, InterfaceName, ModuleName};
use utoipa::ToSchema;

/// Permissions to give or to take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantList {
    /// Each is `ns:pkg`, `ns:pkg/iface[@1.2.0]`, `name`, each with an optional `@provider`, or an origin such as
    /// `https://api.example.com`.
    #[schema(value_type = Vec<String>, example = json!(["demo:calc/ops@adder", "https://api.example.com"]))]
    pub grants: Vec<Grant>,
}

/// Who shall provide an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// The import, as the module names it.
    #[schema(value_type = String)]
    pub interface: InterfaceName,
    /// The module that provides it.
    #[schema(value_type = String)]
    pub module: ModuleName,
}

impl Client {
    /// Allows a module something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn grant(&self, name: &str, grants: &[Grant]) -> Result<Module, Error> {
        let body = GrantList { grants: grants.to_vec() };
        self.answer(self.post(&["v1", "modules", name, "grants"], &body)?).await
    }

    /// No longer allows it. A module that needs it waits afterwards.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn revoke(&self, name: &str, grants: &[Grant]) -> Result<Module, Error> {
        let body = GrantList { grants: grants.to_vec() };
        self.answer(self.with_body(Method::DELETE, &["v1", "modules", name, "grants"], &body)?).await
    }

    /// Settles who provides an import.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn link(&self, name: &str, interface: &InterfaceName, provider: &ModuleName) -> Result<Module, Error> {
        let body = LinkBody { interface: interface.clone(), module: provider.clone() };
        self.answer(self.put(&["v1", "modules", name, "links"], &body)?).await
    }
}
