//! The pages about error codes: `docs/errors/<code>.md`, built into the program so that a problem's `type` always
//! leads somewhere. A code without a page does not compile; a page without a code fails the test.

use crate::access::Anybody;
use crate::name::Id;
use crate::openapi;
use crate::refusal::{Refusal, Result};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use station_model::Code;

macro_rules! pages {
    ($($variant:ident $text:literal;)*) => {
        /// The page about a code, in Markdown: what happened, what to try.
        pub fn page(code: Code) -> &'static str {
            match code {
                $(Code::$variant => include_str!(concat!("../../../docs/errors/", $text, ".md")),)*
            }
        }
    };
}

pages! {
    UploadTooLarge "upload.too_large";
    UploadTruncated "upload.truncated";
    UploadNotWasm "upload.not_wasm";
    UploadNotAComponent "upload.not_a_component";
    UploadPrecompiledRefused "upload.precompiled_refused";
    UploadInvalid "upload.invalid";
    UploadUnsupportedFeature "upload.unsupported_feature";
    UploadLimit "upload.limit";
    UploadBadName "upload.bad_name";
    UploadCompileTimeout "upload.compile_timeout";
    UploadCompileMemory "upload.compile_memory";
    UploadDigestMismatch "upload.digest_mismatch";
    UploadConflict "upload.conflict";
    UploadQuota "upload.quota";
    UploadStorage "upload.storage";
    LinkUnknownImport "link.unknown_import";
    LinkVersion "link.version";
    LinkTypeMismatch "link.type_mismatch";
    LinkNotGranted "link.not_granted";
    LinkNoSuchExport "link.no_such_export";
    StartTrap "start.trap";
    StartOutOfFuel "start.out_of_fuel";
    StartDeadline "start.deadline";
    StartLimit "start.limit";
    CallTrap "call.trap";
    CallStackOverflow "call.stack_overflow";
    CallOutOfFuel "call.out_of_fuel";
    CallDeadline "call.deadline";
    CallMemoryLimit "call.memory_limit";
    CallResourceLimit "call.resource_limit";
    CallAbi "call.abi";
    CallExit "call.exit";
    CallDepth "call.depth";
    CallCycle "call.cycle";
    CallDenied "call.denied";
    CallCancelled "call.cancelled";
    CallBusy "call.busy";
    CallNoSuchModule "call.no_such_module";
    CallNoSuchFunction "call.no_such_function";
    CallBadArgument "call.bad_argument";
    CallNotReady "call.not_ready";
    CallReentered "call.reentered";
    CallResourceGone "call.resource_gone";
    CallUnavailable "call.unavailable";
    UnitConflict "unit.conflict";
    UnitTooLong "unit.too_long";
    UnitResponseStarted "unit.response_started";
    UnitResponseTooBig "unit.response_too_big";
    SqlDenied "sql.denied";
    SqlInterrupted "sql.interrupted";
    SqlTooBig "sql.too_big";
    SqlTooManyRows "sql.too_many_rows";
    SqlBusy "sql.busy";
    SqlConstraint "sql.constraint";
    SqlSyntax "sql.syntax";
    EventTooBig "event.too_big";
    EventQuota "event.quota";
    EventLoop "event.loop";
    EventSchema "event.schema";
    EventNoSuchTopic "event.no_such_topic";
    RollbackSchemaAhead "rollback.schema_ahead";
    HttpDenied "http.denied";
    HttpDns "http.dns";
    HttpConnectTimeout "http.connect_timeout";
    HttpTimeout "http.timeout";
    HttpTooBig "http.too_big";
    HttpBadResponse "http.bad_response";
    HttpTooManyRedirects "http.too_many_redirects";
    AdminUnauthenticated "admin.unauthenticated";
    AdminForbidden "admin.forbidden";
    AdminRateLimited "admin.rate_limited";
    AdminBadRequest "admin.bad_request";
    AdminTooLarge "admin.too_large";
    AdminConflict "admin.conflict";
    AdminNotFound "admin.not_found";
    StationBusy "station.busy";
    StationDraining "station.draining";
    StationReadOnly "station.read_only";
    StationInternal "station.internal";
}

/// Shows the page about an error code.
#[utoipa::path(get, path = "/errors/{code}", tag = "station", operation_id = "error_page", security(()),
    params(("code" = String, Path, description = "The code, such as call.trap")),
    responses((status = 200, body = String, content_type = "text/markdown"), openapi::Problems))]
pub(crate) async fn show(_: Anybody, Id(code): Id) -> Result<Response> {
    match Code::parse(&code) {
        Some(code) => Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page(code)).into_response()),
        None => Err(Refusal::new(Code::AdminNotFound, "there is no such error code")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_about_its_code() {
        for &code in Code::ALL {
            assert!(page(code).starts_with(&format!("# {code}\n")), "{code}");
        }
    }

    #[test]
    fn every_file_is_the_page_of_a_code() {
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.strip_suffix(".md").and_then(Code::parse).is_some(), "{name}");
        }
    }
}
