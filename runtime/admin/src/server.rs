//! The listener: connections within bounds, until the drain.
//!
//! `axum::serve` sets no timer, so that a client that sends its head byte by byte would hold a connection for ever;
//! therefore hyper is driven directly. Only HTTP/1.1 is spoken: hyper-util waits without any timer to find out
//! which version a connection speaks, and the admin API gains nothing from HTTP/2.

use crate::router::router;
use crate::settings::Settings;
use crate::stall::Stall;
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use station_kernel::Control;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Pause after a failed accept, which usually means that the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Headers of one request; browsers send about twenty.
const HEADERS_MAX: usize = 64;
/// hyper refuses to work with a smaller buffer.
const HEADER_BYTES_MIN: usize = 8 * 1024;

/// Answers on `listener` until `drain` is cancelled; then lets open requests end, for a bounded time, and returns.
pub async fn serve(listener: TcpListener, control: Arc<dyn Control>, settings: Settings, drain: CancellationToken) {
    let router = router(control, settings.clone(), drain.clone());
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let server = Arc::new(Server { builder: builder(&settings), router, settings, drain: drain.clone() });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = drain.cancelled() => break,
            (stream, slot) = accept(&listener, &slots) => drop(connections.spawn(Arc::clone(&server).connection(stream, slot))),
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    finish(connections, server.settings.drain_wait).await;
}

struct Server {
    builder: Builder<TokioExecutor>,
    router: Router,
    settings: Settings,
    drain: CancellationToken,
}

fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_wait)
        .max_headers(HEADERS_MAX)
        .max_buf_size(settings.header_bytes_max.max(HEADER_BYTES_MIN));
    builder
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a permit.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin API could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, _slot: Option<OwnedSemaphorePermit>) {
        // Answers are small; waiting to fill a packet only makes them late.
        stream.set_nodelay(true).ok();
        let io = TokioIo::new(Stall::new(stream, self.settings.stall_wait));
        let service = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(self.builder.serve_connection(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the admin API broke");
        }
    }
}

async fn finish(mut connections: JoinSet<()>, wait: Duration) {
    let ending = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(wait, ending).await.is_err() {
        tracing::warn!(open = connections.len(), "cutting connections to the admin API that did not end in time");
    }
    connections.shutdown().await;
}
