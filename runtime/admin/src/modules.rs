//! Modules: listing, showing, removing. Uploading is in [`crate::upload`].

use crate::access::{Admin, Reader};
use crate::name::Name;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json, extract::State, http::StatusCode};
use station_api::{Module, ModuleList, VersionList};
use station_kernel::control::ModuleView;
use station_model::{Code, ModuleName};

/// Lists the modules.
#[utoipa::path(get, path = "/v1/modules", tag = "modules", operation_id = "modules",
    responses((status = 200, body = ModuleList), openapi::Problems))]
pub(crate) async fn list(_: Reader, State(app): State<App>) -> Json<ModuleList> {
    let modules = app.control.graph().modules.iter().map(wire::summary).collect();
    Json(ModuleList { modules })
}

/// Shows one module.
#[utoipa::path(get, path = "/v1/modules/{name}", tag = "modules", operation_id = "module",
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn show(_: Reader, State(app): State<App>, Name(name): Name) -> Result<Json<Module>> {
    found(&app, &name).map(|view| Json(wire::module(&view)))
}

/// Lists the revisions of a module, newest first.
#[utoipa::path(get, path = "/v1/modules/{name}/versions", tag = "modules", operation_id = "versions",
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = VersionList), openapi::Problems))]
pub(crate) async fn versions(_: Reader, State(app): State<App>, Name(name): Name) -> Result<Json<VersionList>> {
    found(&app, &name).map(|view| Json(VersionList { versions: wire::versions(&view.state) }))
}

/// Removes a module with its revisions, grants, links and data.
#[utoipa::path(delete, path = "/v1/modules/{name}", tag = "modules", operation_id = "remove_module",
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 204, description = "Removed"), openapi::Problems))]
pub(crate) async fn remove(Admin(who): Admin, State(app): State<App>, Name(name): Name) -> Result<StatusCode> {
    found(&app, &name)?;
    app.control.remove(who, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The module, or the refusal that says that there is none.
pub(crate) fn found(app: &App, name: &ModuleName) -> Result<ModuleView> {
    let missing = || Refusal::new(Code::AdminNotFound, format!("there is no module {name}; `station ls` lists them"));
    app.control.module(name).ok_or_else(missing)
}
