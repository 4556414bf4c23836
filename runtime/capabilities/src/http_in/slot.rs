//! Where the guest puts its answer, and when it leaves: at the end of the call, earlier, or after the commit.
//!
//! A call that has written nothing can write nothing from its answer on. What it has made of it when it waits for the first
//! time, or has computed for a tick, leaves then and streams from there; otherwise it leaves when the call ends, in one
//! piece. The answer of a call that has written is held until everything is committed and on the disk, so that no client is
//! told of what never was. It is gathered when the handler has returned, or from the moment on at which the guest waits for
//! room, up to [`HELD_BYTES_MAX`].

use super::BodyError;
use super::body::{AnswerBody, Judge, Verdict, Whole};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use station_engine::{UnitHandle, Waiter};
use station_kernel::threads;
use station_model::{Code, Failure};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use wasmtime_wasi::runtime::poll_noop;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// The longest answer that is held. It lies in memory once per call that writes.
const HELD_BYTES_MAX: usize = 1 << 20;

/// The place of one answer, shared by the attempts of one call.
pub(super) struct Slot(Mutex<Inside>);

struct Inside {
    early: Option<oneshot::Sender<Response<AnswerBody>>>,
    state: State,
}

/// Where the answer is.
enum State {
    /// Nowhere yet, or taken.
    Nothing,
    /// It may leave, and nobody has it yet.
    Ready(Response<HyperOutgoingBody>),
    /// It is on its way.
    Streaming(Streaming),
    /// It waits for the commit, and nobody reads it yet.
    Unread(Response<HyperOutgoingBody>),
    /// It waits for the commit, and is read while the guest writes it.
    Held(Held),
    /// It must not leave.
    Refused(Failure),
    /// All of it, for the end of the call.
    Whole(Response<AnswerBody>),
}

/// An answer that is on its way.
pub(super) struct Streaming {
    judge: Judge,
    delivered: oneshot::Receiver<()>,
}

/// An answer that waits for the commit.
pub(super) struct Held {
    head: Response<()>,
    body: HeldBody,
}

/// The body of an answer that waits for the commit.
enum HeldBody {
    /// All of it is here.
    Here(Result<Gathered, Failure>),
    /// The guest has waited for room, so somebody reads it.
    Coming(Judge, oneshot::Receiver<Result<Gathered, Failure>>),
}

/// A body that has ended.
struct Gathered {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

/// What there is when the handler has returned.
pub(super) enum Returned {
    /// The answer is whole, and leaves when the call has ended.
    Whole,
    /// The answer is on its way.
    Streaming(Streaming),
    /// The answer is held: send it when its body has ended and everything is committed.
    Held(Box<Held>),
}

/// One run of the handler. Dropped before that has returned, as when it traps, it cuts what is on its way.
pub(super) struct Attempt<'a>(Option<&'a Slot>);

impl<'a> Attempt<'a> {
    /// Begins; what an earlier attempt left behind is gone.
    pub(super) fn begin(slot: &'a Slot) -> Self {
        slot.put(State::Nothing);
        Self(Some(slot))
    }

    /// What there is now that the handler has returned.
    ///
    /// # Errors
    /// `call.trap` when there is no answer.
    pub(super) fn returned(mut self) -> Result<Returned, Failure> {
        let silent =
            || Failure::new(Code::CallTrap, "the module's handler returned without a response, or with an error");
        let slot = self.0.take().ok_or_else(silent)?;
        match slot.put(State::Nothing) {
            State::Ready(response) => {
                slot.put(State::Whole(whole(response)));
                Ok(Returned::Whole)
            }
            State::Streaming(streaming) => Ok(Returned::Streaming(streaming)),
            State::Unread(response) => Ok(Returned::Held(Box::new(Held::here(response)))),
            State::Held(held) => Ok(Returned::Held(Box::new(held))),
            State::Refused(failure) => Err(failure),
            State::Nothing | State::Whole(_) => Err(silent()),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|slot| drop(slot.put(State::Nothing)));
    }
}

impl Slot {
    /// A place, and where an answer arrives that leaves before the end of its call.
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<Response<AnswerBody>>) {
        let (early, arrives) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Inside { early: Some(early), state: State::Nothing }))), arrives)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: State) -> State {
        std::mem::replace(&mut self.inside().state, state)
    }

    /// The whole answer, once.
    pub(super) fn take_whole(&self) -> Option<Response<AnswerBody>> {
        match self.put(State::Nothing) {
            State::Whole(answer) => Some(answer),
            _ => None,
        }
    }

    /// Takes the guest's answer. One that tells of an error of the server has the unit of work rolled back.
    pub(super) fn set(self: &Arc<Self>, set: Result<Response<HyperOutgoingBody>, ErrorCode>, unit: &UnitHandle) {
        // A guest that sets an error keeps the place open: the call has failed, and `returned` says so.
        let Ok(response) = set else { return };
        if response.status().is_server_error() {
            unit.doom();
        }
        let state = match unit.begin_response() {
            Ok(true) => State::Ready(response),
            Ok(false) => State::Unread(response),
            Err(failure) => State::Refused(failure),
        };
        if matches!(state, State::Ready(_) | State::Unread(_)) {
            let slot = Arc::clone(self);
            threads::before_wait(move || slot.let_go());
        }
        self.put(state);
    }

    /// Lets an answer leave before its call has ended, or has it read while it must stay.
    fn let_go(&self) {
        let mut inside = self.inside();
        match std::mem::replace(&mut inside.state, State::Nothing) {
            State::Ready(response) => {
                let (response, streaming) = stream(response);
                if let Some(early) = inside.early.take() {
                    let _client_may_be_gone = early.send(response);
                }
                inside.state = State::Streaming(streaming);
            }
            State::Unread(response) => inside.state = State::Held(Held::coming(response)),
            other => inside.state = other,
        }
    }
}

fn stream(response: Response<HyperOutgoingBody>) -> (Response<AnswerBody>, Streaming) {
    let verdict = Arc::new(Verdict::default());
    let judge = Judge::new(&verdict);
    let (deliver, delivered) = oneshot::channel();
    (response.map(|body| AnswerBody::new(body, verdict, deliver)), Streaming { judge, delivered })
}

/// All that the guest has written of a response. It has returned, so it writes no more, also where it left the body open.
fn whole(response: Response<HyperOutgoingBody>) -> Response<AnswerBody> {
    response.map(|mut body| AnswerBody::whole(Whole::drain(&mut body)))
}

impl Streaming {
    /// Waits until the body is delivered.
    ///
    /// # Errors
    /// What ends the wait; the body is cut then.
    pub(super) fn finish(self, waiter: &Waiter) -> Result<(), Failure> {
        self.judge.returned();
        // An error inside means that the body was dropped: nobody wants more of it.
        waiter.wait(self.delivered).map(drop).map_err(|failure| self.judge.failed(failure))
    }
}

impl Held {
    /// An answer whose handler has returned without ever waiting for room: all of it lies in its channel. Nobody else is
    /// asked to read it, because others wait to write until this call has committed.
    fn here(response: Response<HyperOutgoingBody>) -> Self {
        let (head, mut body) = response.into_parts();
        let lost = || Err(Failure::new(Code::StationInternal, "the body of the answer is not whole"));
        let gathered = poll_noop(pin!(gather(AnswerBody::whole(Whole::drain(&mut body)))));
        Self { head: Response::from_parts(head, ()), body: HeldBody::Here(gathered.unwrap_or_else(lost)) }
    }

    /// An answer that is read while its guest goes on writing it.
    fn coming(response: Response<HyperOutgoingBody>) -> Self {
        let (response, Streaming { judge, .. }) = stream(response);
        let (head, body) = response.into_parts();
        let (send, gathered) = oneshot::channel();
        tokio::spawn(async move { drop(send.send(gather(body).await)) });
        Self { head: Response::from_parts(head, ()), body: HeldBody::Coming(judge, gathered) }
    }

    /// Waits for the body and commits. The answer leaves when the call has ended.
    ///
    /// # Errors
    /// `unit.response_too_big`, `unit.too_long`, and why nothing could be committed.
    pub(super) fn finish(self, waiter: &Waiter, unit: &UnitHandle, slot: &Slot) -> Result<(), Failure> {
        let gathered = self.body.gathered(waiter)?;
        unit.commit()?;
        slot.put(State::Whole(self.head.map(|()| AnswerBody::whole(gathered.into_body()))));
        Ok(())
    }
}

impl HeldBody {
    /// All of it, now that the handler has returned.
    fn gathered(self, waiter: &Waiter) -> Result<Gathered, Failure> {
        match self {
            Self::Here(gathered) => gathered,
            Self::Coming(judge, gathered) => {
                judge.returned();
                let lost = |_| Err(Failure::new(Code::StationInternal, "the body of the answer was lost"));
                waiter.wait(gathered)?.unwrap_or_else(lost)
            }
        }
    }
}

impl Gathered {
    fn into_body(self) -> Whole {
        let data = (!self.data.is_empty()).then(|| Frame::data(self.data));
        Whole::new(data.into_iter().chain(self.trailers.map(Frame::trailers)))
    }
}

/// Reads a body to its end.
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
