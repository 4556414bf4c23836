//! Incoming HTTP: a root call that serves one request with `wasi:http/incoming-handler`, any 0.2.x.
//!
//! The answer is handed over as soon as the module has set it, and its body streams while the module runs on. What
//! ends it decides how it ends: the body ends cleanly only after the handler has returned; when the handler traps,
//! runs out of something or is cancelled, the body fails, so that nobody takes half an answer for a whole one.
//!
//! A call that has written holds its answer until the commit ([`slot`]), and one that conflicts is run again with the
//! same request ([`replay`]).
//!
//! The root call lasts until the body is delivered, because only then is the request served; its deadline bounds a
//! client that reads slowly. A client that goes away drops the body: the guest sees a closed stream, and whoever
//! runs the call cancels it.

mod body;
mod replay;
mod slot;
#[cfg(test)]
mod tests;

pub use body::AnswerBody;

use crate::host::fail;
use crate::http_out::view;
use body::{Judge, Verdict};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError};
use replay::{Replay, Tape};
use slot::{Returned, Slot};
use station_engine::{Ctx, Entry, RootEntry};
use station_model::{Code, Failure};
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Instance;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::sync::Proxy;
use wasmtime_wasi_http::p2::body::HyperIncomingBody;

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
    let (head, body) = request.into_parts();
    Entry::Custom(Box::new(Serve { head, tape: Tape::new(body), slot: Slot::new(respond) }))
}

struct Serve {
    head: Parts,
    tape: Arc<Tape>,
    slot: Arc<Slot>,
}

impl RootEntry for Serve {
    fn serve(self: Box<Self>, store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<()> {
        if !self.tape.is_whole() {
            return Err(fail(Code::UnitConflict, "too much of the request was read to run the call again"));
        }
        let proxy = Proxy::new(&mut *store, instance).map_err(|error| no_handler(&error))?;
        let (scheme, request) = self.request();
        let (unit, verdict) = (store.data().unit(), Arc::new(Verdict::default()));
        let judge = Judge::new(&verdict);
        let (delivered, waiting) = oneshot::channel();
        let (slot, of_call) = (Arc::clone(&self.slot), unit.clone());
        let mut view = view(store.data_mut());
        let request = view.new_incoming_request(scheme, request)?;
        let out = view.new_response_outparam_from_callback(move |set| slot.set(set, &of_call, verdict, delivered))?;
        proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out)?;
        let returned = self.slot.returned()?;
        judge.returned();
        let waiter = store.data().waiter();
        match returned {
            // An error here means that the body was dropped: nobody wants more of it.
            Returned::Sent => waiter.wait(waiting).map(drop),
            Returned::Held(answer) => answer.finish(&waiter, &unit),
        }
        .map_err(|failure| judge.failed(failure).into())
    }

    fn spare(&self) -> Option<Box<dyn RootEntry>> {
        let (tape, slot) = (Arc::clone(&self.tape), Arc::clone(&self.slot));
        Some(Box::new(Self { head: self.head.clone(), tape, slot }))
    }
}

impl Serve {
    fn request(&self) -> (Scheme, Request<HyperIncomingBody>) {
        let request = Request::from_parts(self.head.clone(), Replay::new(&self.tape));
        let scheme = scheme(&request);
        (scheme, with_host(request).map(|body| body.map_err(|e| body_error(&*e)).boxed_unsync()))
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
