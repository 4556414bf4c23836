//! The graph: every module and every settled link.

use crate::{Client, Error, State, Waiting};
use serde::{Deserialize, Serialize};
use station_model::{Digest, InterfaceName, ModuleName};
use utoipa::ToSchema;

/// Every module and every settled link, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    /// The modules, in the order of their names.
    pub modules: Vec<GraphNode>,
    /// The links between them.
    pub links: Vec<GraphEdge>,
}

/// One module in the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    /// Its name.
    #[schema(value_type = String)]
    pub name: ModuleName,
    /// Whether it can be called.
    pub state: State,
    /// What it waits for; empty when it is ready.
    pub waiting_for: Vec<Waiting>,
    /// The revision that serves calls.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// What it imports.
    #[schema(value_type = Vec<String>)]
    pub imports: Vec<InterfaceName>,
    /// What it exports.
    #[schema(value_type = Vec<String>)]
    pub exports: Vec<InterfaceName>,
}

/// A settled link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdge {
    /// Who imports.
    #[schema(value_type = String)]
    pub importer: ModuleName,
    /// Under which name.
    #[schema(value_type = String)]
    pub interface: InterfaceName,
    /// Who provides.
    #[schema(value_type = String)]
    pub provider: ModuleName,
    /// Under which name; the version may be newer.
    #[schema(value_type = String)]
    pub exported: InterfaceName,
    /// How values move over it: `raw`, from memory to memory, or `dynamic`. Of a link whose functions differ, the slower.
    pub lane: String,
    /// Why it is not the raw lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane_reason: Option<String>,
}

impl Client {
    /// The graph as of now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn graph(&self) -> Result<Graph, Error> {
        self.answer(self.get(&["v1", "graph"])?).await
    }
}
