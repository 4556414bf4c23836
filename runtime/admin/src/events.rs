//! Events that modules have published: reading them, and forgetting old ones.

use crate::access::{Admin, Reader};
use crate::query::Query;
use crate::refusal::Result;
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use station_api::EventList;
use station_kernel::events;
use station_model::ModuleName;
use utoipa::IntoParams;

/// Events of one answer; fewer where they are large.
const EVENTS_MAX: u32 = 1_000;

/// Which events to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Those after this offset; the last ones without it.
    after: Option<u64>,
    /// At most so many; 1,000 at most, and fewer where they are large.
    limit: u32,
    /// Only those of this module.
    #[param(value_type = Option<String>)]
    module: Option<ModuleName>,
    /// Only those with this topic.
    topic: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { after: None, limit: 100, module: None, topic: None }
    }
}

/// Which events to forget.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Prune {
    /// Those up to and including this offset.
    through: u64,
}

/// Lists events, oldest first. What is listed is on the disk.
#[utoipa::path(get, path = "/v1/events", tag = "events", operation_id = "events", params(Wanted),
    responses((status = 200, body = EventList), openapi::Problems))]
pub(crate) async fn list(_: Reader, State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Json<EventList>> {
    let Wanted { after, limit, module, topic } = wanted;
    let limit = limit.min(EVENTS_MAX);
    let found = app.control.events(events::Wanted { after, limit, module, topic }).await?;
    Ok(Json(EventList { events: found.into_iter().map(wire::event).collect() }))
}

/// Forgets events up to and including an offset, which makes room in the quotas of their modules.
#[utoipa::path(delete, path = "/v1/events", tag = "events", operation_id = "pruneEvents", params(Prune),
    responses((status = 204, description = "They are forgotten"), openapi::Problems))]
pub(crate) async fn prune(Admin(who): Admin, State(app): State<App>, Query(prune): Query<Prune>) -> Result<StatusCode> {
    app.control.prune_events(who, prune.through).await?;
    Ok(StatusCode::NO_CONTENT)
}
