//! A request's body that can be read a second time, while little of it was read.
//!
//! A call that conflicts is run again, and must then see the same request. What the first attempt has read is kept up
//! to [`KEPT_BYTES_MAX`]; once more was read, or trailers, there is no second attempt.

use super::BodyError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// What is kept of a body. Most requests that change something are far smaller; more would have to be held for each
/// request that runs.
const KEPT_BYTES_MAX: usize = 64 << 10;

type Inner = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

/// A body and what was read of it, shared by the attempts of one call.
pub(super) struct Tape(Mutex<Reel>);

struct Reel {
    body: Inner,
    kept: Vec<Bytes>,
    bytes: usize,
    /// Something was read that is not kept.
    torn: bool,
}

/// The body as one attempt reads it, from the beginning.
pub(super) struct Replay {
    tape: Arc<Tape>,
    next: usize,
}

impl Tape {
    pub(super) fn new<B>(body: B) -> Arc<Self>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let body = http_body_util::BodyExt::map_err(body, Into::into);
        Arc::new(Self(Mutex::new(Reel { body: Box::pin(body), kept: Vec::new(), bytes: 0, torn: false })))
    }

    /// True when all that was read can be read again.
    pub(super) fn is_whole(&self) -> bool {
        !self.reel().torn
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reel {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) if self.bytes.saturating_add(data.len()) <= KEPT_BYTES_MAX && !self.torn => {
                self.bytes += data.len();
                self.kept.push(data.clone());
            }
            _ => {
                self.torn = true;
                self.kept = Vec::new();
            }
        }
    }
}

impl Replay {
    pub(super) fn new(tape: &Arc<Tape>) -> Self {
        Self { tape: Arc::clone(tape), next: 0 }
    }
}

impl Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let tape = Arc::clone(&self.tape);
        let mut reel = tape.reel();
        if let Some(kept) = reel.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(kept.clone()))));
        }
        let polled = reel.body.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                reel.keep(frame);
                self.next += 1;
            }
            Poll::Ready(Some(Err(_))) => reel.torn = true,
            _ => {}
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        let reel = self.tape.reel();
        let unread: usize = reel.kept.iter().skip(self.next).map(Bytes::len).sum();
        let (rest, unread) = (reel.body.size_hint(), unread as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unread));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(unread));
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        let reel = self.tape.reel();
        self.next >= reel.kept.len() && reel.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full};

    struct Chunks(Vec<&'static str>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready((!self.0.is_empty()).then(|| Ok(Frame::data(Bytes::from(self.0.remove(0))))))
        }
    }

    async fn read(tape: &Arc<Tape>) -> Bytes {
        Replay::new(tape).collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_second_attempt_reads_the_same_body() {
        let tape = Tape::new(Full::new(Bytes::from_static(b"all of it")));
        assert_eq!(Replay::new(&tape).size_hint().exact(), Some(9));
        assert_eq!(read(&tape).await, "all of it");
        assert_eq!(Replay::new(&tape).size_hint().exact(), Some(9));
        assert_eq!(read(&tape).await, "all of it");
        assert!(tape.is_whole());
    }

    #[tokio::test]
    async fn what_was_half_read_goes_on_where_the_first_attempt_stopped() {
        let tape = Tape::new(Chunks(vec!["a", "b", "c"]));
        let mut first = Replay::new(&tape);
        first.frame().await.unwrap().unwrap();
        drop(first);
        assert_eq!(read(&tape).await, "abc");
    }

    #[tokio::test]
    async fn a_long_body_is_read_once_and_in_full() {
        let long = Bytes::from(vec![7; KEPT_BYTES_MAX + 1]);
        let tape = Tape::new(Full::new(long.clone()));
        assert_eq!(read(&tape).await, long);
        assert!(!tape.is_whole());
    }
}
