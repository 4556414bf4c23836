//! How a refusal becomes a problem document.
//!
//! A handler returns [`Refusal`], which only attaches the problem to the response. [`render`], around all routes,
//! writes it down with the path of the request. An answer that refuses without a problem (a route that does not
//! exist, a method that is not allowed, an extractor of axum) gets one there too, so that no client ever has to
//! read plain text.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use station_api::Problem;
use station_model::{Code, Failure};
use std::{any::Any, time::Instant};

/// Why a request is not done.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Box<Problem>);

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::from(Problem::new(code, detail))
    }

    /// The problem as it will be answered, but for the request's path.
    pub(crate) fn into_problem(self) -> Box<Problem> {
        self.0
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Problem::from(failure).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = status_of(&self.0).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Writes problems down, adds the headers that every answer has, and leaves one line in the log. The query is not
/// logged: somebody may have put a token there.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let problem = problem_of(&mut response, method.as_str(), &path);
    let code = problem.as_ref().map(|problem| problem.code.clone());
    if let Some(problem) = problem {
        response = write(response, problem);
    }
    common_headers(&mut response);
    let (status, ms) = (response.status().as_u16(), began.elapsed().as_millis());
    tracing::debug!(%method, ?path, status, code, ms, "admin request");
    response
}

fn problem_of(response: &mut Response, method: &str, path: &str) -> Option<Problem> {
    let attached = response.extensions_mut().remove::<Refusal>().map(|refusal| *refusal.0);
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    let mut problem = attached.or_else(|| refused.then(|| unexplained(status, method, path)))?;
    problem.instance = Some(shown(path));
    Some(problem)
}

/// A problem for a refusal that came from no handler of ours.
fn unexplained(status: StatusCode, method: &str, path: &str) -> Problem {
    let path = shown(path);
    let mut problem = match status {
        StatusCode::NOT_FOUND => {
            Problem::new(Code::AdminNotFound, format!("there is nothing at {path}; /openapi.json lists what there is"))
        }
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            Code::AdminBadRequest,
            format!("{path} does not take {method}; the Allow header says what it takes"),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::AdminTooLarge, "the request body is too large"),
        status if status.is_client_error() => {
            Problem::new(Code::AdminBadRequest, format!("the request is not well formed ({status})"))
        }
        _ => Problem::new(Code::StationInternal, "the station made a mistake; its log has the reason"),
    };
    problem.status = status.as_u16();
    problem
}

/// A path cut to what belongs in a message.
fn shown(path: &str) -> String {
    path.chars().take(256).collect()
}

fn write(from: Response, problem: Problem) -> Response {
    let (mut parts, _) = from.into_parts();
    parts.status = status_of(&problem);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    if parts.status == StatusCode::UNAUTHORIZED {
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if problem.retryable && matches!(parts.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

fn common_headers(response: &mut Response) {
    let headers = response.headers_mut();
    let nosniff = HeaderName::from_static("x-content-type-options");
    headers.insert(nosniff, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The answer to a request whose handler panicked. The panic itself is in the log, by the panic hook.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler of the admin API panicked");
    Refusal::new(Code::StationInternal, "the station made a mistake; its log has the reason").into_response()
}
