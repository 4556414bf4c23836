//! HTTP/1.1 over loopback: axum answers, hyper asks, one connection that is kept.

use crate::hops::Peer;
use crate::stats::{Moment, Took};
use anyhow::{Context as _, Result};
use axum::serve::ListenerExt as _;
use axum::{Router, extract::DefaultBodyLimit, routing::post};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A server and a client in this process, each on a worker of its own, as two services are.
pub struct Http {
    runtime: Runtime,
    _server: Runtime,
    client: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    pub fn start() -> Result<Self> {
        let (server, runtime) = (workers(1)?, workers(1)?);
        let echo = Router::new().route("/echo", post(|body: Bytes| async { body })).layer(DefaultBodyLimit::disable());
        let addr = serve(&server, echo)?;
        let client = runtime.block_on(connect(addr))?;
        Ok(Self { runtime, _server: server, client: Some(client) })
    }

    /// On a worker of the runtime, as a service would be.
    fn send(&mut self, bytes: &[u8], times: u64) -> Result<(Took, Bytes)> {
        let mut client = self.client.take().context("the connection is gone")?;
        let bytes = Bytes::copy_from_slice(bytes);
        let sending = self.runtime.spawn(async move {
            let start = Moment::now();
            let mut last = Bytes::new();
            for _ in 0..times {
                last = echo(&mut client, bytes.clone()).await?;
            }
            anyhow::Ok((client, start.elapsed(), last))
        });
        let (client, took, last) = self.runtime.block_on(sending)??;
        self.client = Some(client);
        Ok((took, last))
    }
}

impl Peer for Http {
    fn name(&self) -> &'static str {
        "HTTP/1.1 over loopback"
    }

    fn waits(&self) -> bool {
        true
    }

    fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(self.send(bytes, 1)?.1.to_vec())
    }

    fn time(&mut self, bytes: &[u8], times: u64) -> Result<Took> {
        Ok(self.send(bytes, times)?.0)
    }
}

/// Serves on a free port of the loopback address for as long as the runtime lives.
pub fn serve(runtime: &Runtime, router: Router) -> Result<SocketAddr> {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async { axum::serve(listener, router).await });
        anyhow::Ok(addr)
    })
}

/// A runtime with so many threads.
pub fn workers(threads: usize) -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

async fn connect(addr: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn echo(client: &mut SendRequest<Full<Bytes>>, bytes: Bytes) -> Result<Bytes> {
    let request = Request::post("/echo").header("host", "localhost").body(Full::new(bytes))?;
    client.ready().await?;
    Ok(client.send_request(request).await?.into_body().collect().await?.to_bytes())
}
