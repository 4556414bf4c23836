//! An HTTP/1.1 client of a hundred lines: one connection per request unless one is kept, and the freedom to be rude.

use crate::wait::WAIT_S_MAX;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request, built up and then sent.
#[derive(Debug, Clone)]
pub struct Request {
    addr: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without the chunks' frames.
    pub body: Vec<u8>,
    /// False when the connection ended before the body did.
    pub complete: bool,
}

impl Request {
    /// A request to `http://host:port`.
    pub fn new(base: &str, method: &str, path: &str) -> Self {
        let addr = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { addr, method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// With this token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it and reads the answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn send(&self) -> Answer {
        self.start().answer().unwrap_or_else(|error| panic!("no answer to {} {}: {error}", self.method, self.path))
    }

    /// Sends it and leaves the answer to be read, or not.
    #[track_caller]
    pub fn start(&self) -> Exchange {
        self.start_claiming(self.body.len())
    }

    /// Sends it and reads the answer, where the other side may be gone.
    pub fn try_send(&self) -> std::io::Result<Answer> {
        self.begin(self.body.len())?.answer()
    }

    /// Sends it with a `content-length` that need not be the body's.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn start_claiming(&self, length: usize) -> Exchange {
        self.begin(length).unwrap_or_else(|error| panic!("connecting to {}: {error}", self.addr))
    }

    fn begin(&self, length: usize) -> std::io::Result<Exchange> {
        let stream = connect(&self.addr)?;
        // A server may answer and close before it has read everything, so a failed write says nothing.
        let _ = self.write(&stream, "close", length);
        Ok(Exchange { stream })
    }

    fn write(&self, mut stream: &TcpStream, connection: &str, length: usize) -> std::io::Result<()> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nconnection: {connection}\r\ncontent-length: {length}\r\n",
            self.method, self.path
        );
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head += &format!("host: {}\r\n", self.addr);
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n"))?;
        stream.write_all(&self.body)?;
        stream.flush()
    }
}

fn connect(addr: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(3 * WAIT_S_MAX)))?;
    Ok(stream)
}

/// A connection that is kept: one request after the other.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `http://host:port`.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open(base: &str) -> Self {
        let addr = base.trim_start_matches("http://").trim_end_matches('/');
        let stream = connect(addr).unwrap_or_else(|error| panic!("connecting to {addr}: {error}"));
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    /// Sends a request, to this server whatever it says of its own, and reads the answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Answer {
        let sent = request.write(self.reader.get_ref(), "keep-alive", request.body.len());
        let answer = sent.and_then(|()| read_answer(&mut self.reader));
        answer.unwrap_or_else(|error| panic!("no answer to {} {}: {error}", request.method, request.path))
    }
}

/// A request that is on its way. Dropping it is going away in the middle.
#[derive(Debug)]
pub struct Exchange {
    stream: TcpStream,
}

impl Exchange {
    /// Sends more bytes of the body; an error when the other side does not want them.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn shut(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// True when the first byte of the answer is here.
    pub fn has_begun(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        seen.is_ok_and(|bytes| bytes > 0)
    }

    /// Reads the answer to its end.
    pub fn answer(self) -> std::io::Result<Answer> {
        read_answer(&mut BufReader::new(self.stream))
    }
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The problem document with this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "another status was expected: {}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["code"], code, "another problem was expected: {problem:#}");
        problem
    }
}

fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let (status, headers) = read_head(reader)?;
    let mut answer = Answer { status, headers, body: Vec::new(), complete: true };
    answer.complete = match answer.header("transfer-encoding") {
        Some("chunked") => read_chunks(reader, &mut answer.body).is_ok(),
        _ => match answer.header("content-length").and_then(|length| length.parse::<u64>().ok()) {
            Some(length) => reader.take(length).read_to_end(&mut answer.body).is_ok_and(|read| read as u64 == length),
            None => reader.read_to_end(&mut answer.body).is_ok(),
        },
    };
    Ok(answer)
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<(u16, Vec<(String, String)>)> {
    let malformed = || std::io::Error::other("the answer has no head");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((status, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        if length == 0 {
            // The empty line after the last chunk, or the next answer on a kept connection would begin with it.
            return reader.read_line(&mut line).map(drop);
        }
        let read = reader.by_ref().take(length).read_to_end(body)?;
        if read as u64 != length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        reader.read_line(&mut line)?;
    }
}
