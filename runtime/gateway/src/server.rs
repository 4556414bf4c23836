//! Connections: accept, tell HTTP/1.1 from HTTP/2, serve, drain.
//!
//! hyper's own bounds are used where it has them. Two are missing there and are ours: the time until the first
//! bytes tell which protocol a client speaks, and the number of connections.

use crate::backend::Backend;
use crate::request::Shared;
use crate::settings::Settings;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long to wait when the system has no file descriptor left, instead of asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often to look for the rest of the first bytes.
const PEEK_PAUSE: Duration = Duration::from_millis(20);
/// How often a silent client of HTTP/2 is asked whether it is there.
const PING: Duration = Duration::from_secs(20);

/// Serves public HTTP until `drain` is signalled; then answers what is open and ends, at the latest after
/// `settings.drain_max`.
pub async fn serve<B: Backend>(listener: TcpListener, backend: Arc<B>, settings: Settings, drain: CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let shared = Arc::new(Shared::new(backend, settings));
    let graceful = Arc::new(GracefulShutdown::new());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = drain.cancelled() => break,
            Some(_ended) = connections.join_next() => {}
            (stream, peer, place) = accept(&listener, &places) => {
                let serving = connection(Arc::clone(&shared), stream, peer, Arc::clone(&graceful), drain.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
        }
    }
    // Nobody connects any more while the open requests are answered.
    drop((listener, graceful));
    if timeout(shared.settings.drain_max, ended(&mut connections)).await.is_err() {
        tracing::warn!(connections = connections.len(), "gateway: connections are cut, they did not end in time");
    }
}

async fn ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it. Until then clients wait in the system's queue.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::warn!(%error, "gateway: accepting a connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<B: Backend>(
    shared: Arc<Shared<B>>,
    stream: TcpStream,
    peer: SocketAddr,
    graceful: Arc<GracefulShutdown>,
    drain: CancellationToken,
) {
    let head_max = shared.settings.head_max;
    let http2 = tokio::select! {
        () = drain.cancelled() => return,
        told = timeout(head_max, speaks_http2(&stream)) => match told {
            Ok(Some(http2)) => http2,
            _ => return,
        },
    };
    let _slower_without = stream.set_nodelay(true);
    let builder = builder(&shared.settings, http2);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request, peer.ip()).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watcher().watch(serving);
    drop(graceful);
    if let Err(error) = watched.await {
        tracing::debug!(%peer, error, "gateway: a connection ended badly");
    }
}

/// Which protocol the client speaks, by its first bytes; none when it is gone.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await.ok().filter(|seen| *seen > 0)?;
        let (seen, preface) = (first.get(..seen)?, PREFACE.get(..seen)?);
        if seen != preface {
            return Some(false);
        }
        if seen.len() == PREFACE.len() {
            return Some(true);
        }
        // The bytes stay where they are, so peeking again would not wait.
        sleep(PEEK_PAUSE).await;
    }
}

fn builder(settings: &Settings, http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_max)
        .max_headers(settings.headers_max)
        .max_buf_size(settings.head_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_max)
        .max_header_list_size(u32::try_from(settings.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(settings.head_max);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
