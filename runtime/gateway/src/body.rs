//! Bodies on both sides of a module.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Limited;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What goes wrong in a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of a request as it streams in. It fails when it is longer than the gateway allows.
pub type RequestBody = Limited<Incoming>;
/// The body of an answer as it streams out. When it fails, the connection or the HTTP/2 stream is cut.
pub type ResponseBody = UnsyncBoxBody<Bytes, BodyError>;

/// A body that keeps something alive until it is dropped, such as a guard that cancels the call behind it.
#[derive(Debug)]
pub struct Held<B, G> {
    body: B,
    _guard: G,
}

impl<B, G> Held<B, G> {
    /// `body`, with `guard`.
    pub fn new(body: B, guard: G) -> Self {
        Self { body, _guard: guard }
    }
}

impl<B, G> Body for Held<B, G>
where
    B: Body + Unpin,
    G: Unpin,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
