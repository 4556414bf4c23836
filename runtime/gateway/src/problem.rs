//! A failure as the public sees it: a code and the id of the call, for the operator to look up.

use crate::backend::Refused;
use crate::body::{BodyError, ResponseBody};
use crate::headers;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use station_model::{CallId, Code};

/// Seconds after which a client may try again. Calls last milliseconds, so a second is a long queue.
const RETRY_AFTER_S: &str = "1";

/// The answer to a request that failed. What a module said stays inside.
pub(crate) fn refused(refused: &Refused) -> Response<ResponseBody> {
    of(refused.failure.code, refused.call)
}

/// The answer with this code.
pub(crate) fn of(code: Code, call: Option<CallId>) -> Response<ResponseBody> {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(full(document(code, call)));
    *response.status_mut() = status;
    headers::outgoing(response.headers_mut(), call);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

fn document(code: Code, call: Option<CallId>) -> String {
    let mut document = serde_json::json!({
        "type": "about:blank",
        "title": code.title(),
        "status": code.status(),
        "code": code.as_str(),
        "retryable": code.retryable(),
    });
    if let (Some(members), Some(id)) = (document.as_object_mut(), call) {
        members.insert("call".to_owned(), serde_json::json!({ "id": id.to_string() }));
    }
    document.to_string()
}

fn full(text: String) -> ResponseBody {
    let never = |never: std::convert::Infallible| -> BodyError { match never {} };
    Full::new(Bytes::from(text)).map_err(never).boxed_unsync()
}
