//! Unary gRPC over loopback by tonic, one channel. The service is written by hand, so that nothing needs protoc.

use crate::hops::Peer;
use crate::http::workers;
use crate::stats::{Moment, Took};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::client::Grpc as Client;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc as Server, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, body::Body};
use tonic_prost::ProstCodec;

const PATH: &str = "/peers.Echo/Echo";
/// Messages of the largest payload and their frame.
const BYTES_MAX: usize = 8 << 20;

/// `message Payload { bytes bytes = 1; }`
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

type Codec = ProstCodec<Payload, Payload>;

/// A server and a client in this process, each on a worker of its own, as two services are.
pub struct Grpc {
    runtime: Runtime,
    _server: Runtime,
    client: Option<Client<Channel>>,
}

impl Grpc {
    pub fn start() -> Result<Self> {
        let (server, runtime) = (workers(1)?, workers(1)?);
        let addr = server.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let addr = listener.local_addr()?;
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let echo = tonic::transport::Server::builder().add_service(Echo);
            tokio::spawn(echo.serve_with_incoming(incoming));
            anyhow::Ok(addr)
        })?;
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))?.tcp_nodelay(true);
        let channel = runtime.block_on(endpoint.connect())?;
        let client = Client::new(channel).max_decoding_message_size(BYTES_MAX);
        Ok(Self { runtime, _server: server, client: Some(client) })
    }

    fn send(&mut self, bytes: &[u8], times: u64) -> Result<(Took, Bytes)> {
        let mut client = self.client.take().context("the channel is gone")?;
        let bytes = Bytes::copy_from_slice(bytes);
        let sending = self.runtime.spawn(async move {
            let start = Moment::now();
            let mut last = Bytes::new();
            for _ in 0..times {
                client.ready().await?;
                let request = Request::new(Payload { bytes: bytes.clone() });
                let answer = client.unary(request, PathAndQuery::from_static(PATH), Codec::default()).await?;
                last = answer.into_inner().bytes;
            }
            anyhow::Ok((client, start.elapsed(), last))
        });
        let (client, took, last) = self.runtime.block_on(sending)??;
        self.client = Some(client);
        Ok((took, last))
    }
}

impl Peer for Grpc {
    fn name(&self) -> &'static str {
        "gRPC over loopback"
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

/// `service Echo { rpc Echo(Payload) returns (Payload); }`
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "peers.Echo";
}

impl UnaryService<Payload> for Echo {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let mut server = Server::new(Codec::default()).max_decoding_message_size(BYTES_MAX);
            Ok(server.unary(Self, request).await)
        })
    }
}
