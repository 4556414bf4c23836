//! Whether the process lives, and whether the station serves. Both answer without a token.

use crate::access::Anybody;
use crate::openapi;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use axum::{Json, extract::State};
use station_api::Readiness;
use station_model::Code;

/// Answers while the process works, also while it drains.
#[utoipa::path(get, path = "/livez", tag = "station", operation_id = "live", security(()),
    responses((status = 200, body = Readiness), openapi::Problems))]
pub(crate) async fn live(_: Anybody) -> Json<Readiness> {
    Json(status("live"))
}

/// Answers 503 once the station drains, and when its storage refuses everything until the next start.
#[utoipa::path(get, path = "/readyz", tag = "station", operation_id = "ready", security(()),
    responses((status = 200, body = Readiness), openapi::Problems))]
pub(crate) async fn ready(_: Anybody, State(app): State<App>) -> Result<Json<Readiness>> {
    if app.drain.is_cancelled() {
        return Err(Refusal::new(Code::StationDraining, "the station is shutting down"));
    }
    app.control.ready()?;
    Ok(Json(status("ready")))
}

fn status(status: &str) -> Readiness {
    Readiness { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
