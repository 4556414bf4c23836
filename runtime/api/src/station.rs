//! The station itself: is it ready, its metrics, its API description, the pages about error codes.

use crate::{Client, Error, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the station serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready`.
    pub status: String,
    /// The station's version.
    pub version: String,
}

impl Client {
    /// Whether the station serves; a problem `station.draining` when it no longer does.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ready(&self) -> Result<Readiness, Error> {
        self.answer(self.get(&["readyz"])?).await
    }

    /// The metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics(&self) -> Result<String, Error> {
        self.text(self.get(&["metrics"])?).await
    }

    /// The OpenAPI description.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn openapi(&self) -> Result<serde_json::Value, Error> {
        self.answer(self.get(&["openapi.json"])?).await
    }

    /// The page about a problem's code, in Markdown.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn page(&self, problem: &Problem) -> Result<String, Error> {
        self.text(self.get(&["errors", &problem.code])?).await
    }
}
