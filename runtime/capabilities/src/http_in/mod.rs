//! Incoming HTTP: a root call that serves one request with `wasi:http/incoming-handler`, any 0.2.x.
//!
//! An answer that is complete when the handler returns crosses to the gateway in one piece, with the end of the call: waking
//! somebody else costs more than a small request. One that takes longer leaves as soon as the module waits for anything (the
//! room for its next bytes above all) or has computed for a tick, and its body streams while the module runs on. What
//! ends it decides how it ends: the body ends cleanly only after the handler has returned; when the handler traps,
//! runs out of something or is cancelled, the body fails, so that nobody takes half an answer for a whole one. As long as
//! nothing has left, the client is told of the failure instead.
//!
//! A call that has written holds its answer until the commit ([`slot`]), and one that conflicts is run again with the
//! same request ([`replay`]).
//!
//! A root call that streams lasts until the body is delivered, because only then is the request served; its deadline bounds a
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
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError};
use replay::{Replay, Tape};
use slot::{Returned, Slot};
use station_engine::{Ctx, Entry, RootEntry};
use station_model::Code;
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
/// The handler's name in traces.
pub const HANDLER: &str = "wasi:http/incoming-handler#handle";

/// An entry that serves `request`, and where its answer will be.
pub fn entry<B>(request: Request<B>) -> (Entry, Answering)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let (head, body) = request.into_parts();
    let (slot, early) = Slot::new();
    let asked = Arc::new(Asked { head, tape: Tape::new(body), slot: Arc::clone(&slot) });
    (Entry::Custom(Box::new(Serve(asked))), Answering { slot, early })
}

/// The answer of one call, as whoever runs the call sees it.
pub struct Answering {
    slot: Arc<Slot>,
    early: oneshot::Receiver<Response<AnswerBody>>,
}

impl Answering {
    /// Waits for an answer that leaves before its call has ended. There may never be one. Dropping the future loses nothing.
    pub async fn early(&mut self) -> Response<AnswerBody> {
        match (&mut self.early).await {
            Ok(answer) => answer,
            Err(_there_will_be_none) => std::future::pending().await,
        }
    }

    /// The answer of a call that has ended, unless it left early.
    pub fn whole(&self) -> Option<Response<AnswerBody>> {
        self.slot.take_whole()
    }
}

/// What was asked for, shared by the attempts of one call.
struct Asked {
    head: Parts,
    tape: Arc<Tape>,
    slot: Arc<Slot>,
}

struct Serve(Arc<Asked>);

impl RootEntry for Serve {
    fn serve(self: Box<Self>, store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<()> {
        let Self(asked) = *self;
        if !asked.tape.is_whole() {
            return Err(fail(Code::UnitConflict, "too much of the request was read to run the call again"));
        }
        let proxy = proxy(store, instance).map_err(|error| no_handler(&error))?;
        let (scheme, request) = asked.request();
        let (unit, slot) = (store.data().unit(), Arc::clone(&asked.slot));
        let attempt = slot::Attempt::begin(&asked.slot);
        let of_call = unit.clone();
        let mut view = view(store.data_mut());
        let request = view.new_incoming_request(scheme, request)?;
        let out = view.new_response_outparam_from_callback(move |set| slot.set(set, &of_call))?;
        proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out)?;
        let waiter = store.data().waiter();
        match attempt.returned()? {
            Returned::Whole => Ok(()),
            Returned::Streaming(streaming) => streaming.finish(&waiter),
            Returned::Held(held) => held.finish(&waiter, &unit, &asked.slot),
        }
        .map_err(Into::into)
    }

    fn spare(&self) -> Option<Box<dyn RootEntry>> {
        Some(Box::new(Self(Arc::clone(&self.0))))
    }
}

impl Asked {
    fn request(&self) -> (Scheme, Request<HyperIncomingBody>) {
        let request = Request::from_parts(self.head.clone(), Replay::new(&self.tape));
        let scheme = scheme(&request);
        (scheme, with_host(request).map(|body| body.map_err(|e| body_error(&*e)).boxed_unsync()))
    }
}

/// The instance's handler. A kept instance keeps it: finding it takes a tenth of a small request.
fn proxy(store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<Arc<Proxy>> {
    if let Ok(known) = store.data_mut().state::<Arc<Proxy>>() {
        return Ok(Arc::clone(known));
    }
    let proxy = Arc::new(Proxy::new(&mut *store, instance)?);
    store.data_mut().insert(Arc::clone(&proxy));
    Ok(proxy)
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
