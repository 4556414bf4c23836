//! The graph: every module and every settled link.

use crate::access::Reader;
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json, extract::State};
use station_api::Graph;

/// Shows every module and every settled link, as of one moment.
#[utoipa::path(get, path = "/v1/graph", tag = "graph", operation_id = "graph",
    responses((status = 200, body = Graph), openapi::Problems))]
pub(crate) async fn show(_: Reader, State(app): State<App>) -> Json<Graph> {
    let view = app.control.graph();
    let modules = view.modules.iter().map(wire::node).collect();
    Json(Graph { modules, links: view.links.into_iter().map(wire::edge).collect() })
}
