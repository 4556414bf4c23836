//! Where the guest puts its answer, and when it leaves: at once, or after the commit.
//!
//! A call that has written nothing streams its answer as it makes it, and can write nothing from then on. The answer
//! of a call that has written is held until everything is committed and on the disk, so that no client is told of
//! what never was; it is gathered while the guest writes it, up to [`HELD_BYTES_MAX`].

use super::body::{AnswerBody, Verdict};
use super::{BodyError, Respond};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use station_engine::UnitHandle;
use station_model::{Code, Failure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// The longest answer that is held. It lies in memory once per call that writes.
const HELD_BYTES_MAX: usize = 1 << 20;

/// The place of one answer, shared by the attempts of one call.
pub(super) struct Slot(Mutex<Inside>);

struct Inside {
    respond: Option<Respond>,
    held: Option<Held>,
}

/// An answer that waits for the commit.
struct Held {
    head: Response<()>,
    verdict: Arc<Verdict>,
    gathered: oneshot::Receiver<Result<Gathered, Failure>>,
}

/// A body that has ended.
struct Gathered {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

/// What there is when the handler has returned.
pub(super) enum Returned {
    /// The answer is on its way.
    Sent,
    /// The answer is held: send it when its body has ended and everything is committed.
    Held(Finish),
}

/// The end of a held answer.
pub(super) struct Finish {
    held: Held,
    respond: Respond,
}

impl Inside {
    /// Lets an answer go, if none has gone before.
    fn answer(&mut self, answer: Result<Response<AnswerBody>, Failure>) {
        let Some(respond) = self.respond.take() else { return };
        let _client_may_be_gone = respond.send(answer);
    }
}

impl Slot {
    pub(super) fn new(respond: Respond) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inside { respond: Some(respond), held: None })))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the guest's answer. One that tells of an error of the server has the unit of work rolled back.
    pub(super) fn set(
        &self,
        set: Result<Response<HyperOutgoingBody>, ErrorCode>,
        unit: &UnitHandle,
        verdict: Arc<Verdict>,
        delivered: oneshot::Sender<()>,
    ) {
        // A guest that sets an error keeps the place open: the call has failed, and `returned` says so.
        let Ok(response) = set else { return };
        if response.status().is_server_error() {
            unit.doom();
        }
        let mut inside = self.inside();
        match unit.begin_response() {
            Ok(true) => {
                let response = response.map(|body| AnswerBody::new(body, verdict, delivered));
                inside.answer(Ok(response));
            }
            Ok(false) => inside.held = Some(hold(response, verdict, delivered)),
            Err(failure) => inside.answer(Err(failure)),
        }
    }

    /// What there is now that the handler has returned.
    ///
    /// # Errors
    /// `call.trap` when there is no answer.
    pub(super) fn returned(&self) -> Result<Returned, Failure> {
        let mut inside = self.inside();
        let held = inside.held.take();
        match (inside.respond.take(), held) {
            (None, _) => Ok(Returned::Sent),
            (Some(respond), Some(held)) => Ok(Returned::Held(Finish { held, respond })),
            (Some(respond), None) => {
                let failure =
                    Failure::new(Code::CallTrap, "the module's handler returned without a response, or with an error");
                let _client_may_be_gone = respond.send(Err(failure.clone()));
                Err(failure)
            }
        }
    }
}

impl Finish {
    /// Waits for the body, commits, and lets the answer go; a failure goes instead.
    ///
    /// # Errors
    /// `unit.response_too_big`, `unit.too_long`, and why nothing could be committed.
    pub(super) fn finish(self, waiter: &station_engine::Waiter, unit: &UnitHandle) -> Result<(), Failure> {
        let Self { held, respond } = self;
        let lost = |_| Err(Failure::new(Code::StationInternal, "the body of the answer was lost"));
        let gathered = waiter.wait(held.gathered).and_then(|gathered| gathered.unwrap_or_else(lost));
        match gathered.and_then(|gathered| unit.commit().map(|()| gathered)) {
            Ok(gathered) => {
                let answer = held.head.map(|()| AnswerBody::gathered(gathered.into_body(), held.verdict));
                let _client_may_be_gone = respond.send(Ok(answer));
                Ok(())
            }
            Err(failure) => {
                let _client_may_be_gone = respond.send(Err(failure.clone()));
                Err(failure)
            }
        }
    }
}

impl Gathered {
    fn into_body(self) -> HyperOutgoingBody {
        let trailers = self.trailers.map(Ok);
        let body = Full::new(self.data).map_err(|never| match never {});
        body.with_trailers(std::future::ready(trailers)).boxed_unsync()
    }
}

fn hold(response: Response<HyperOutgoingBody>, verdict: Arc<Verdict>, delivered: oneshot::Sender<()>) -> Held {
    let (head, body) = response.into_parts();
    let body = AnswerBody::new(body, Arc::clone(&verdict), delivered);
    let (send, gathered) = oneshot::channel();
    tokio::spawn(async move { drop(send.send(gather(body).await)) });
    Held { head: Response::from_parts(head, ()), verdict, gathered }
}

/// Reads a body to its end, while the guest goes on writing it.
async fn gather(mut body: AnswerBody) -> Result<Gathered, Failure> {
    let (mut data, mut trailers, mut bytes) = (BytesMut::new(), None, 0_usize);
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| cut(&error)).map(Frame::into_data)? {
            Ok(chunk) => {
                bytes = bytes.saturating_add(chunk.len());
                // What is too long is read on and thrown away, so that the guest does not fail for another reason.
                if bytes <= HELD_BYTES_MAX {
                    data.extend_from_slice(&chunk);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    match bytes <= HELD_BYTES_MAX {
        true => Ok(Gathered { data: data.freeze(), trailers }),
        false => Err(too_big(bytes as u64)),
    }
}

fn cut(error: &BodyError) -> Failure {
    Failure::new(Code::CallTrap, format!("the answer has no end: {error}"))
}

fn too_big(bytes: u64) -> Failure {
    let message = "the answer of a call that writes is held until the commit, and this one is too long; write less, \
                   or answer without writing";
    let max = HELD_BYTES_MAX as u64;
    Failure::new(Code::UnitResponseTooBig, message).with_limit("held_response_bytes_max", max, bytes)
}
