//! Incoming HTTP: a root call that serves one request with `wasi:http/incoming-handler`, any 0.2.x.
//!
//! The answer is handed over as soon as the module has set it, and its body streams while the module runs on. What
//! ends it decides how it ends: the body ends cleanly only after the handler has returned; when the handler traps,
//! runs out of something or is cancelled, the body fails, so that nobody takes half an answer for a whole one.
//!
//! The root call lasts until the body is delivered, because only then is the request served; its deadline bounds a
//! client that reads slowly. A client that goes away drops the body: the guest sees a closed stream, and whoever
//! runs the call cancels it.

mod body;
#[cfg(test)]
mod tests;

pub use body::AnswerBody;

use crate::host::fail;
use crate::http_out::view;
use body::{Judge, Verdict};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError};
use station_engine::{Ctx, Entry, RootEntry};
use station_model::{Code, Failure};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Instance;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::bindings::sync::Proxy;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// What goes wrong in a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// Where the answer goes.
pub type Respond = oneshot::Sender<Result<Response<AnswerBody>, Failure>>;

/// The handler's name in traces.
pub const HANDLER: &str = "wasi:http/incoming-handler#handle";

/// An entry that serves `request` and answers through `respond`.
///
/// When `respond` is dropped without an answer, the root call has failed before there was one; its report says why.
pub fn entry<B>(request: Request<B>, respond: Respond) -> Entry
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    Entry::Custom(Box::new(Serve { request, respond }))
}

struct Serve<B> {
    request: Request<B>,
    respond: Respond,
}

impl<B> RootEntry for Serve<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    fn serve(self: Box<Self>, store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<()> {
        let proxy = Proxy::new(&mut *store, instance).map_err(|error| no_handler(&error))?;
        let scheme = scheme(&self.request);
        let request = with_host(self.request).map(|body| body.map_err(|e| body_error(&*e.into())));
        let verdict = Arc::new(Verdict::default());
        let judge = Judge::new(&verdict);
        let slot = Arc::new(Slot(Mutex::new(Some(self.respond))));
        let (delivered, waiting) = oneshot::channel();
        let answer = Arc::clone(&slot);
        let mut view = view(store.data_mut());
        let request = view.new_incoming_request(scheme, request)?;
        let out = view.new_response_outparam_from_callback(move |set| answer.set(set, verdict, delivered))?;
        proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out)?;
        slot.check()?;
        judge.returned();
        // An error here means that the body was dropped: nobody wants more of it.
        let delivered = store.data().waiter().wait(waiting);
        delivered.map(drop).map_err(|failure| judge.failed(failure).into())
    }
}

/// Where the guest puts its answer, once.
struct Slot(Mutex<Option<Respond>>);

impl Slot {
    fn take(&self) -> Option<Respond> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(
        &self,
        set: Result<Response<HyperOutgoingBody>, ErrorCode>,
        verdict: Arc<Verdict>,
        delivered: oneshot::Sender<()>,
    ) {
        // A guest that sets an error keeps the place open: the call has failed, and `check` says so.
        let Ok(response) = set else { return };
        let Some(respond) = self.take() else { return };
        let response = response.map(|body| AnswerBody::new(body, verdict, delivered));
        let _client_may_be_gone = respond.send(Ok(response));
    }

    /// Fails when the handler has returned and there is no answer.
    fn check(&self) -> wasmtime::Result<()> {
        let Some(respond) = self.take() else { return Ok(()) };
        let failure =
            Failure::new(Code::CallTrap, "the module's handler returned without a response, or with an error");
        let _client_may_be_gone = respond.send(Err(failure.clone()));
        Err(failure.into())
    }
}

fn no_handler(error: &wasmtime::Error) -> wasmtime::Error {
    let message = format!("the module does not export wasi:http/incoming-handler@0.2.x as it should be: {error}");
    fail(Code::CallNoSuchFunction, message)
}

fn scheme<B>(request: &Request<B>) -> Scheme {
    match request.uri().scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    }
}

/// A request of HTTP/1.0 may come without a host; a guest always gets an authority.
fn with_host<B>(mut request: Request<B>) -> Request<B> {
    if request.uri().authority().is_none() {
        let text = request.headers().get(HOST).is_some_and(|host| host.to_str().is_ok());
        if !text {
            request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        }
    }
    request
}

fn body_error(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    match error.is::<LengthLimitError>() {
        true => Error::HttpRequestBodySize(None),
        false => Error::ConnectionTerminated,
    }
}
