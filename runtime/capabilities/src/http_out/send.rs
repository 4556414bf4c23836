//! One request on a connection of its own, and its answer.

use super::connect::{Connector, Place};
use super::gate::Target;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Headers of one hop, which are the connection's business and not the guest's, and `expect`, which would make an
/// answer wait for a body that may never come.
const HOP_HEADERS: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::HOST,
];

/// What runs on after the head of the answer: the connection.
pub(super) type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// How long each part may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    connect: Duration,
    first: Duration,
    between: Duration,
    ends: Instant,
}

impl Times {
    /// The guest's options, within the station's settings and what is left of the call.
    pub(super) fn new(connector: &Connector, options: Option<RequestOptions>, left: Duration) -> Self {
        let egress = &connector.egress;
        let options = options.unwrap_or_default();
        let within = |asked: Option<Duration>, ms_max: u64| {
            let max = Duration::from_millis(ms_max).min(left);
            asked.map_or(max, |asked| asked.min(max))
        };
        Self {
            connect: within(options.connect_timeout, egress.connect_ms_max),
            first: within(options.first_byte_timeout, egress.read_ms_max),
            between: within(options.between_bytes_timeout, egress.read_ms_max),
            ends: Instant::now() + Duration::from_millis(egress.total_ms_max).min(left),
        }
    }
}

/// Sends `request` to `target`, which was decided on before.
pub(super) async fn send(
    connector: Arc<Connector>,
    place: Place,
    target: Target,
    request: Request<WasiBody>,
    times: Times,
) -> Result<(Response<WasiBody>, Io), Error> {
    let request = outgoing(&target, request, connector.egress.body_bytes_max)?;
    let connecting = timeout(times.connect, connector.connect(&target));
    let stream = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(connector.egress.head_bytes_max);
    let (mut sender, connection) = builder.handshake(stream).await.map_err(|e| answer_error(&e))?;
    // Dropped with the answer's body, and then the connection ends with it.
    let connection = wasmtime_wasi::runtime::spawn(connection);
    let answer = timeout(times.first, sender.send_request(request)).await.map_err(|_| Error::HttpResponseTimeout)?;
    let answer = answer.map_err(|e| answer_error(&e))?;
    check_head(&answer, connector.egress.head_bytes_max)?;
    let bytes_max = connector.egress.body_bytes_max;
    let io = async move {
        let ended = connection.await;
        drop(place);
        ended.map_err(|e| answer_error(&e))
    };
    Ok((answer.map(|body| Answer::new(body, bytes_max, times).boxed_unsync()), Box::new(io)))
}

/// hyper's own bound is soft: it stops reading, but takes what one read has brought.
fn check_head(answer: &Response<Incoming>, bytes_max: usize) -> Result<(), Error> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    let bytes: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > bytes_max {
        return Err(Error::HttpResponseHeaderSectionSize(u32::try_from(bytes).ok()));
    }
    Ok(())
}

/// The request as it goes over the wire: origin form, our own `host`, no header of the hop, a bounded body.
fn outgoing(
    target: &Target,
    request: Request<WasiBody>,
    bytes_max: u64,
) -> Result<Request<impl Body<Data = Bytes, Error = Error> + Send + 'static>, Error> {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Err(Error::HttpRequestMethodInvalid);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    parts.uri = Uri::try_from(path).map_err(|_| Error::HttpRequestUriInvalid)?;
    clean(&mut parts.headers);
    let host = HeaderValue::try_from(target.authority()).map_err(|_| Error::HttpRequestUriInvalid)?;
    parts.headers.insert(header::HOST, host);
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let limited = Limited::new(body, usize::try_from(bytes_max).unwrap_or(usize::MAX));
    Ok(Request::from_parts(parts, limited.map_err(body_error)))
}

/// Removes headers of the hop, and those that `connection` names as such.
fn clean(headers: &mut HeaderMap) {
    let connection: Vec<_> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    let listed = connection.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for name in listed {
        headers.remove(name.trim());
    }
    for name in HOP_HEADERS {
        headers.remove(name);
    }
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    if error.is::<LengthLimitError>() {
        return Error::HttpRequestBodySize(None);
    }
    error.downcast::<Error>().map_or(Error::HttpProtocolError, |error| *error)
}

/// What hyper says, in the words of `wasi:http`.
fn answer_error(error: &hyper::Error) -> Error {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>());
    match source {
        Some(Error::HttpRequestBodySize(size)) => Error::HttpRequestBodySize(*size),
        _ if error.is_timeout() => Error::HttpResponseTimeout,
        _ if error.is_parse_too_large() => Error::HttpResponseHeaderSectionSize(None),
        _ if error.is_incomplete_message() => Error::HttpResponseIncomplete,
        _ if error.is_parse() || error.is_user() => Error::HttpProtocolError,
        _ => Error::ConnectionTerminated,
    }
}

/// The body of an answer, bounded in bytes and in time.
struct Answer {
    incoming: Incoming,
    left: u64,
    bytes_max: u64,
    between: Duration,
    ends: Instant,
    idle: Pin<Box<Sleep>>,
}

impl Answer {
    fn new(incoming: Incoming, bytes_max: u64, times: Times) -> Self {
        let idle = Box::pin(sleep_until(times.ends.min(Instant::now() + times.between)));
        Self { incoming, left: bytes_max, bytes_max, between: times.between, ends: times.ends, idle }
    }

    fn arrived(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self.left.checked_sub(bytes).ok_or(Error::HttpResponseBodySize(Some(self.bytes_max)))?;
        let now = Instant::now();
        if now >= self.ends {
            return Err(Error::ConnectionReadTimeout);
        }
        self.idle.as_mut().reset(self.ends.min(now + self.between));
        Ok(frame)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.arrived(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(answer_error(&error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.idle.as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
