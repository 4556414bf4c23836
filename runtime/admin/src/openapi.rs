//! The OpenAPI document, made from the handlers' own annotations.

use crate::access::Anybody;
use crate::router::App;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use station_api::{Problem, UploadEvent};
use std::collections::BTreeMap;
use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder, response,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Station admin API",
        description = "Upload modules, call them, see what they do. Every refusal is an RFC 9457 problem document \
                       with a stable `code`; its `type` leads to a page about the code."
    ),
    components(schemas(Problem, UploadEvent)),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "modules", description = "What was uploaded, and what the operator decided about it"),
        (name = "calls", description = "Calling functions, and the calls that ended"),
        (name = "graph", description = "Who provides what to whom"),
        (name = "logs", description = "What modules wrote"),
        (name = "tokens", description = "Who may use this API"),
        (name = "audit", description = "Who changed what"),
        (name = "station", description = "The station itself"),
    )
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// What every operation may answer besides.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let problem =
            ResponseBuilder::new().description("A problem; `code` says which").content(Problem::MEDIA_TYPE, content);
        BTreeMap::from([("default".to_owned(), problem.build().into())])
    }
}

/// A document without operations, to which the routes add theirs.
pub(crate) fn empty() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
}

/// The document as indented JSON, with a newline at its end.
pub fn document() -> String {
    let (_, document) = crate::router::routes().split_for_parts();
    // The types that utoipa builds always serialise; the golden test would see the empty text.
    document.to_pretty_json().map(|json| json + "\n").unwrap_or_default()
}

/// Shows this document.
#[utoipa::path(get, path = "/openapi.json", tag = "station", operation_id = "openapi", security(()),
    responses((status = 200, body = serde_json::Value), Problems))]
pub(crate) async fn show(_: Anybody, State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.clone()).into_response()
}
