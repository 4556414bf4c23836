//! The audit log: who changed what.

use crate::access::Reader;
use crate::query::Query;
use crate::refusal::Result;
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json, extract::State};
use serde::Deserialize;
use station_api::AuditList;
use utoipa::IntoParams;

/// Enough for one look; the database has the rest.
const ENTRIES_MAX: u32 = 1_000;

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// At most so many; 1,000 at most.
    limit: u32,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

/// Lists the last changes, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", operation_id = "audit", params(Wanted),
    responses((status = 200, body = AuditList), openapi::Problems))]
pub(crate) async fn list(_: Reader, State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Json<AuditList>> {
    let entries = app.control.audit(wanted.limit.min(ENTRIES_MAX)).await?;
    Ok(Json(AuditList { entries: entries.into_iter().map(wire::audit).collect() }))
}
