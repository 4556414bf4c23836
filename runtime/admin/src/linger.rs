//! Lets a refused client finish its sentence.
//!
//! Whoever is refused while it still sends would get a connection reset instead of the reason, because a socket
//! that is closed with unread bytes takes the answer with it. So after a refusal what is still coming is read and
//! thrown away, within bounds; whoever sends more than that gets the reset.

use axum::{body::Body, extract::Request, http::header, middleware::Next, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// As much as the largest ordinary upload.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Long enough for a client on the same network, short enough for a connection to be held by one who is refused.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Around all routes: reads the rest of the body when the answer is a refusal.
pub(crate) async fn linger(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let waits = parts.headers.contains_key(header::EXPECT);
    let shared = Shared { body: Arc::new(Mutex::new(body)), read: Arc::default() };
    let rest = shared.clone();
    let response = next.run(Request::from_parts(parts, Body::new(shared))).await;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && is_sending(&rest, waits) {
        // Whether the client came to its end or not, it is answered now.
        tokio::time::timeout(WAIT_MAX, discard(rest)).await.ok();
    }
    response
}

/// A client that said `Expect: 100-continue` sends nothing before somebody reads.
fn is_sending(rest: &Shared, waits: bool) -> bool {
    !waits || rest.read.load(Ordering::Relaxed)
}

async fn discard(mut body: Shared) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BYTES_MAX {
            return;
        }
    }
}

/// A body that the handler reads first, and afterwards whoever has the other half.
#[derive(Clone)]
struct Shared {
    body: Arc<Mutex<Body>>,
    read: Arc<AtomicBool>,
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.read.store(true, Ordering::Relaxed);
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
