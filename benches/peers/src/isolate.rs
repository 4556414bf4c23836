//! A JavaScript isolate that calls another in the same workerd process (a service binding, by RPC).
//!
//! The caller loops: it is asked over HTTP to call so often with so many bytes, and its answer says how many came back.
//! What the request itself costs is taken off.

use crate::hops::Peer;
use crate::stats::{Moment, Took};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Far more than a sample takes.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A workerd that runs `benches/peers/isolate`.
pub struct Isolate {
    addr: String,
}

impl Isolate {
    /// At `http://ADDR:PORT`.
    pub fn at(url: &str) -> Result<Self> {
        let addr = url.strip_prefix("http://").context("an isolate is at http://")?.trim_end_matches('/').to_owned();
        Ok(Self { addr })
    }

    /// Lets the caller call; answers what it says and how long it took.
    fn ask(&self, bytes: usize, times: u64, check: &str) -> Result<(String, Took)> {
        let mut stream = TcpStream::connect(&self.addr)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let start = Moment::now();
        write!(
            stream,
            "GET /?bytes={bytes}&times={times}{check} HTTP/1.1\r\nhost: isolate\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let took = start.elapsed();
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "the isolate answered {head}");
        Ok((body.to_owned(), took))
    }
}

impl Peer for Isolate {
    fn name(&self) -> &'static str {
        "workerd, isolate to isolate"
    }

    /// The caller compares the bytes itself.
    fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let (said, _) = self.ask(bytes.len(), 1, "&check")?;
        ensure!(said.contains("faithful"), "the isolate said {said:?}");
        Ok(bytes.to_vec())
    }

    fn time(&mut self, bytes: &[u8], times: u64) -> Result<Took> {
        let with = self.ask(bytes.len(), times, "")?.1;
        Ok(with.without(self.ask(bytes.len(), 0, "")?.1))
    }

    fn waits(&self) -> bool {
        true
    }
}
