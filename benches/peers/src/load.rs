//! A load generator: some connections to one server, each with one request at a time, until a moment has come.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// A server may take so long for one answer before the measurement fails.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Connections to one server, kept between measurements.
pub struct Load {
    uri: Uri,
    connections: Vec<Connection>,
}

struct Connection {
    client: SendRequest<Empty<Bytes>>,
    uri: Uri,
    host: String,
}

/// What came of it.
pub struct Answers {
    pub took: Duration,
    /// How long each waited, in milliseconds.
    pub waited_ms: Vec<f64>,
}

impl Answers {
    pub fn per_second(&self) -> f64 {
        self.waited_ms.len() as f64 / self.took.as_secs_f64()
    }
}

impl Load {
    /// `http://ADDR:PORT/path`, or `http://HOST@ADDR:PORT/path` for another name in the request's `host`.
    pub fn connect(runtime: &Runtime, url: &str, connections: usize) -> Result<Self> {
        let (host, url) = host_and_url(url);
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        let connecting = (0..connections).map(|_| runtime.block_on(Connection::open(&uri, host.as_deref())));
        let connections = connecting.collect::<Result<_>>().with_context(|| format!("connecting to {url}"))?;
        Ok(Self { uri, connections })
    }

    /// Asks on all connections at once for so long.
    pub fn run(&mut self, runtime: &Runtime, how_long: Duration) -> Result<Answers> {
        let start = Instant::now();
        let asking: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| runtime.spawn(connection.ask_until(start + how_long)))
            .collect();
        let mut waited_ms = Vec::new();
        for one in asking {
            let (connection, waited) = runtime.block_on(one)?.with_context(|| format!("asking {}", self.uri))?;
            self.connections.push(connection);
            waited_ms.extend(waited);
        }
        Ok(Answers { took: start.elapsed(), waited_ms })
    }
}

fn host_and_url(url: &str) -> (Option<String>, String) {
    let split = url.strip_prefix("http://").and_then(|rest| rest.split_once('@'));
    split.map_or_else(|| (None, url.to_owned()), |(host, rest)| (Some(host.to_owned()), format!("http://{rest}")))
}

impl Connection {
    async fn open(uri: &Uri, host: Option<&str>) -> Result<Self> {
        let addr = uri.authority().context("no address")?.as_str();
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (client, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let path = uri.path_and_query().context("no path")?.as_str().parse()?;
        Ok(Self { client, uri: path, host: host.unwrap_or(addr).to_owned() })
    }

    async fn ask_until(mut self, end: Instant) -> Result<(Self, Vec<f64>)> {
        let mut waited = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            tokio::time::timeout(ANSWER_MAX, self.ask()).await.context("no answer in time")??;
            waited.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok((self, waited))
    }

    async fn ask(&mut self) -> Result<()> {
        let request = Request::get(self.uri.clone()).header("host", &self.host).body(Empty::new())?;
        self.client.ready().await?;
        let answer = self.client.send_request(request).await?;
        ensure!(answer.status().is_success(), "the answer is {}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    }
}
