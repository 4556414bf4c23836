//! The body of an answer, which ends as the call ends.

use super::BodyError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use station_model::Failure;
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use wasmtime_wasi::runtime::poll_noop;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// How the handler ended, for the body that may still be on its way.
#[derive(Debug, Default)]
pub(super) struct Verdict(Mutex<(State, Option<Waker>)>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    Returned,
    Failed,
}

impl Verdict {
    fn lock(&self) -> MutexGuard<'_, (State, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the state; the first failure stays.
    fn set(&self, state: State) {
        let waker = {
            let mut now = self.lock();
            if now.0 != State::Failed {
                now.0 = state;
            }
            now.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> State {
        let mut now = self.lock();
        if now.0 != State::Failed {
            now.1 = Some(cx.waker().clone());
        }
        now.0
    }
}

/// Speaks the verdict. Dropped without one, as when the handler traps, it is a failure.
pub(super) struct Judge {
    verdict: Arc<Verdict>,
}

impl Judge {
    pub(super) fn new(verdict: &Arc<Verdict>) -> Self {
        Self { verdict: Arc::clone(verdict) }
    }

    /// The handler has returned; the body may end.
    pub(super) fn returned(&self) {
        self.verdict.set(State::Returned);
    }

    /// The call has failed with this, after all.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        self.verdict.set(State::Failed);
        failure
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        if self.verdict.lock().0 == State::Running {
            self.verdict.set(State::Failed);
        }
    }
}

/// The call failed after it had begun to answer.
#[derive(Debug, thiserror::Error)]
#[error("the call failed before its answer was complete")]
struct CutOff;

/// The body of a module's answer. Dropping it tells a call that still runs that nobody wants the rest.
pub struct AnswerBody(Inner);

enum Inner {
    Streaming(Streaming),
    Whole(Whole),
}

/// A body whose call still runs.
struct Streaming {
    inner: HyperOutgoingBody,
    verdict: Arc<Verdict>,
    delivered: Option<oneshot::Sender<()>>,
}

/// A body that is all there.
pub(super) struct Whole {
    frames: VecDeque<Result<Frame<Bytes>, Error>>,
}

impl AnswerBody {
    pub(super) fn new(inner: HyperOutgoingBody, verdict: Arc<Verdict>, delivered: oneshot::Sender<()>) -> Self {
        Self(Inner::Streaming(Streaming { inner, verdict, delivered: Some(delivered) }))
    }

    pub(super) fn whole(whole: Whole) -> Self {
        Self(Inner::Whole(whole))
    }
}

impl Whole {
    pub(super) fn new(frames: impl Iterator<Item = Frame<Bytes>>) -> Self {
        Self { frames: frames.map(Ok).collect() }
    }

    /// What can be had of a body now; as little as its channel holds.
    pub(super) fn drain(body: &mut HyperOutgoingBody) -> Self {
        let mut frames = VecDeque::new();
        // Unconstrained, so that pending means an empty channel and not tokio's idea of taking turns.
        while let Some(Some(frame)) = poll_noop(pin!(tokio::task::unconstrained(body.frame()))) {
            let last = frame.is_err();
            frames.push_back(frame);
            if last {
                break;
            }
        }
        Self { frames }
    }

    /// How long it is, where it is nothing but data.
    fn bytes(&self) -> Option<u64> {
        let len = |frame: &Result<Frame<Bytes>, Error>| frame.as_ref().ok()?.data_ref().map(Bytes::len);
        self.frames.iter().map(|frame| len(frame).map(|len| len as u64)).sum()
    }
}

impl Streaming {
    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(delivered) = self.delivered.take() {
            let _call_may_be_over = delivered.send(());
        }
        Poll::Ready(None)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // The verdict first: what the guest wrote before it returned must be seen after it.
        let state = self.verdict.poll(cx);
        if state == State::Failed {
            return Poll::Ready(Some(Err(CutOff.into())));
        }
        // Unconstrained, so that pending means an empty channel and not tokio's idea of taking turns.
        let frame = Pin::new(&mut tokio::task::unconstrained(self.inner.frame())).poll(cx);
        match (frame, state) {
            (Poll::Ready(Some(frame)), _) => Poll::Ready(Some(frame.map_err(BodyError::from))),
            // The guest finished its body, or returned and left it open: it cannot write any more.
            (_, State::Returned) => self.end(),
            (_, _) => Poll::Pending,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Streaming(streaming) => streaming.poll_frame(cx),
            Inner::Whole(whole) => Poll::Ready(whole.frames.pop_front().map(|frame| frame.map_err(BodyError::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Inner::Whole(whole) if whole.frames.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Streaming(streaming) => streaming.inner.size_hint(),
            Inner::Whole(whole) => whole.bytes().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
