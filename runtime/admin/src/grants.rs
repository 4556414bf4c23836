//! What the operator decides about a module: grants, links, limits, routes, configuration values.
//!
//! All of it needs the scope `admin`: whoever may upload must not be able to widen what an upload can reach.

use crate::access::Admin;
use crate::body::Json;
use crate::name::Name;
use crate::refusal::Result;
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json as Answer, extract::State};
use station_api::{ConfigBody, GrantList, Limits, LinkBody, Module, RouteList};
use station_kernel::control::ModuleView;
use station_model::{Code, Failure};

/// More than any module needs; the list is walked whenever the graph is built.
const GRANTS_MAX: usize = 1_000;
/// More than any module needs; the gateway walks the list.
const ROUTES_MAX: usize = 100;

/// Allows a module something.
#[utoipa::path(post, path = "/v1/modules/{name}/grants", tag = "modules", operation_id = "grant", request_body = GrantList,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn grant(
    Admin(who): Admin,
    State(app): State<App>,
    Name(name): Name,
    Json(body): Json<GrantList>,
) -> Result<Answer<Module>> {
    bounded("grants", body.grants.len(), GRANTS_MAX)?;
    answer(app.control.grant(who, name, body.grants).await)
}

/// No longer allows it. A module that needs it waits afterwards.
#[utoipa::path(delete, path = "/v1/modules/{name}/grants", tag = "modules", operation_id = "revoke", request_body = GrantList,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn revoke(
    Admin(who): Admin,
    State(app): State<App>,
    Name(name): Name,
    Json(body): Json<GrantList>,
) -> Result<Answer<Module>> {
    bounded("grants", body.grants.len(), GRANTS_MAX)?;
    answer(app.control.revoke(who, name, body.grants).await)
}

/// Settles who provides an import.
#[utoipa::path(put, path = "/v1/modules/{name}/links", tag = "modules", operation_id = "link", request_body = LinkBody,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn link(
    Admin(who): Admin,
    State(app): State<App>,
    Name(name): Name,
    Json(body): Json<LinkBody>,
) -> Result<Answer<Module>> {
    answer(app.control.link(who, name, body.interface, body.module).await)
}

/// Replaces the limits of a module.
#[utoipa::path(put, path = "/v1/modules/{name}/limits", tag = "modules", operation_id = "set_limits", request_body = Limits,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn limits(
    Admin(who): Admin,
    State(app): State<App>,
    Name(name): Name,
    Json(body): Json<Limits>,
) -> Result<Answer<Module>> {
    answer(app.control.set_limits(who, name, body.into()).await)
}

/// Replaces the routes of a module.
#[utoipa::path(put, path = "/v1/modules/{name}/routes", tag = "modules", operation_id = "set_routes", request_body = RouteList,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn routes(
    Admin(who): Admin,
    State(app): State<App>,
    Name(name): Name,
    Json(body): Json<RouteList>,
) -> Result<Answer<Module>> {
    bounded("routes", body.routes.len(), ROUTES_MAX)?;
    let routes = body.routes.into_iter().map(wire::kernel_route).collect();
    answer(app.control.set_routes(who, name, routes).await)
}

/// Replaces the values that a module reads by `wasi:config`.
#[utoipa::path(put, path = "/v1/modules/{name}/config", tag = "modules", operation_id = "set_config", request_body = ConfigBody,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = Module), openapi::Problems))]
pub(crate) async fn config(
    Admin(who): Admin,
    State(app): State<App>,
    Name(name): Name,
    Json(body): Json<ConfigBody>,
) -> Result<Answer<Module>> {
    answer(app.control.set_config(who, name, body.config).await)
}

fn answer(view: std::result::Result<ModuleView, Failure>) -> Result<Answer<Module>> {
    Ok(Answer(wire::module(&view?)))
}

fn bounded(what: &str, count: usize, max: usize) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    let failure = Failure::new(Code::AdminBadRequest, format!("{count} {what} in one request are too many"));
    Err(failure.with_limit(what, max as u64, count as u64).into())
}
