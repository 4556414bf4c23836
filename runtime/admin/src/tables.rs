//! Tables and keys of modules: which there are, and how big.

use crate::access::Reader;
use crate::query::Query;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json, extract::State};
use serde::Deserialize;
use station_api::TableList;
use station_model::{Code, ModuleName};
use utoipa::IntoParams;

/// Which tables to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only those of this module.
    #[param(value_type = Option<String>)]
    module: Option<ModuleName>,
}

/// Lists the tables of modules with their rows and bytes, and how many keys they have. Every row is counted, so this takes a while where there are many.
#[utoipa::path(get, path = "/v1/tables", tag = "modules", operation_id = "tables", params(Wanted),
    responses((status = 200, body = TableList), openapi::Problems))]
pub(crate) async fn list(_: Reader, State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Json<TableList>> {
    let busy = |_| Refusal::new(Code::StationBusy, "others count the rows of all tables now; try again in a moment");
    let _turn = app.counts.try_acquire().map_err(busy)?;
    Ok(Json(wire::data(app.control.tables(wanted.module).await?)))
}
