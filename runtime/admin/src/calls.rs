//! Calls: making one, and looking at those that ended.
//!
//! The call runs inside the future of its request and nowhere else. When the client goes away hyper drops that
//! future, which cancels the call; a client that only closes its sending half counts as gone.

use crate::access::{Deployer, Reader};
use crate::body::Json;
use crate::name::{Id, Name};
use crate::openapi;
use crate::query::Query;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use station_api::{CallAnswer, CallBody, CallList, CallRecord, Problem};
use station_kernel::control::CallRequest;
use station_kernel::ports::Arguments;
use station_model::{CallReport, Code, ModuleName};
use utoipa::IntoParams;

/// As many calls as the station remembers.
const CALLS_MAX: usize = 1_000;

/// Which calls to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// At most so many; 1,000 at most.
    limit: usize,
    /// Only those that failed.
    failed: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { limit: 50, failed: false }
    }
}

/// Calls a function. A failed call is a problem with the status of its code and the call's frames.
#[utoipa::path(post, path = "/v1/modules/{name}/call", tag = "calls", operation_id = "call", request_body = CallBody,
    params(("name" = String, Path, description = "The module's name")),
    responses((status = 200, body = CallAnswer), openapi::Problems))]
pub(crate) async fn call(
    Deployer(who): Deployer,
    State(app): State<App>,
    Name(module): Name,
    Json(body): Json<CallBody>,
) -> Result<Answer<CallAnswer>> {
    let request = request(module, body)?;
    let answer = app.control.call(who, request).await?;
    let mut report: CallReport = answer.report;
    match report.failure.take() {
        Some(failure) => Err(Problem::from(failure).with_call(report).into()),
        None => Ok(Answer(CallAnswer { result: answer.result, call: report.into() })),
    }
}

fn request(module: ModuleName, body: CallBody) -> Result<CallRequest> {
    let arguments = match (body.args, body.wave) {
        (Some(_), Some(_)) => {
            return Err(Refusal::new(Code::AdminBadRequest, "give the arguments as `args` or as `wave`, not as both"));
        }
        (None, Some(wave)) => Arguments::Wave(wave),
        (args, None) => Arguments::Json(args.unwrap_or_default()),
    };
    Ok(CallRequest {
        module,
        function: body.function,
        arguments,
        fuel: body.fuel,
        deadline_ms: body.deadline.map(|deadline| deadline.ms),
    })
}

/// Lists the last calls, newest first.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", operation_id = "calls", params(Wanted),
    responses((status = 200, body = CallList), openapi::Problems))]
pub(crate) async fn list(_: Reader, State(app): State<App>, Query(wanted): Query<Wanted>) -> Answer<CallList> {
    let reports = app.control.calls(wanted.limit.min(CALLS_MAX), wanted.failed);
    let calls = reports.iter().map(|report| CallRecord::from(CallReport::clone(report))).collect();
    Answer(CallList { calls })
}

/// Shows one call, with file and line where it trapped.
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", operation_id = "trace",
    params(("id" = String, Path, description = "The call's id")),
    responses((status = 200, body = CallRecord), openapi::Problems))]
pub(crate) async fn trace(_: Reader, State(app): State<App>, Id(id): Id) -> Result<Answer<CallRecord>> {
    let missing = || {
        Refusal::new(
            Code::AdminNotFound,
            "the station remembers no such call; it keeps the last 1,000 and those that failed",
        )
    };
    let id = id.parse().map_err(|_| missing())?;
    let report = app.control.trace(id).await.ok_or_else(missing)?;
    Ok(Answer(report.into()))
}
