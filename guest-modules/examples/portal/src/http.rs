//! The little of HTTP that is needed: read a body within a bound, answer with JSON.

use serde_json::Value;

use crate::exports::wasi::http::incoming_handler::{IncomingRequest, ResponseOutparam};
use crate::problem::Problem;
use crate::wasi::http::types::{Fields, Method, OutgoingBody, OutgoingResponse};
use crate::wasi::io::streams::StreamError;

/// A case file is a few hundred bytes; more than this is a mistake or an attack.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What one call of `blocking-write-and-flush` may carry.
const CHUNK_BYTES: usize = 4096;

pub fn method(request: &IncomingRequest) -> String {
    match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Other(name) => name,
        other => format!("{other:?}"),
    }
}

/// Who is acting, as the request says.
pub fn actor(request: &IncomingRequest) -> String {
    let value = request.headers().get("x-actor").into_iter().next();
    let name = value.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "anonymous".to_owned())
}

pub fn body(request: &IncomingRequest) -> Result<Vec<u8>, Problem> {
    let unreadable = || Problem::new(400, "the body cannot be read");
    let body = request.consume().map_err(|()| unreadable())?;
    let stream = body.stream().map_err(|()| unreadable())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES as u64) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(unreadable()),
        }
        if bytes.len() > BODY_BYTES_MAX {
            return Err(Problem::new(
                413,
                format!("the body is longer than {BODY_BYTES_MAX} bytes"),
            ));
        }
    }
}

/// Sends the whole answer. If the client has gone there is nobody left to tell, so a failed write is not reported.
pub fn send(
    out: ResponseOutparam,
    status: u16,
    content_type: &str,
    headers: &[(&'static str, String)],
    body: &Value,
) {
    let fields = Fields::new();
    let _ = fields.append("content-type", content_type.as_bytes());
    for (name, value) in headers {
        let _ = fields.append(name, value.as_bytes());
    }
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let outgoing = response.body().expect("a new response has its body");
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().expect("a new body has its stream");
    let text = format!("{body}\n");
    let written = text
        .as_bytes()
        .chunks(CHUNK_BYTES)
        .try_for_each(|chunk| stream.blocking_write_and_flush(chunk));
    drop(stream);
    if written.is_ok() {
        let _ = OutgoingBody::finish(outgoing, None);
    }
}
