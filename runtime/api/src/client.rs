//! The client of the admin API: where the station is, with which token, and what went wrong on the way.
//!
//! A request is a path of segments, so that no name can leave its place in the URL. Redirects are not followed (a
//! token must not travel to another host), and a proxy from the environment is not used for a loopback address.

use crate::{Problem, QUICK_MS_MAX};
use reqwest::{Method, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use station_model::Code;
use std::{io, path::PathBuf, time::Duration};

/// How long making a connection may take.
const CONNECT_MS_MAX: u64 = 10_000;
/// The largest answer that is read: far above any list of the station, far below what would hurt.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Talks to one station. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<header::HeaderValue>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The station refused, or the call failed.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// No connection, or it broke.
    #[error(
        "no answer from {url}; is a station running there? `station serve` starts one, --url or STATION_URL says where it is"
    )]
    Transport {
        /// The address that was asked.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The connection was made, but nothing came for too long.
    #[error("{url} did not answer within {seconds} s; `station ls` shows whether the station still works")]
    TimedOut {
        /// The address that was asked.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Something answered that is no station.
    #[error("{url} answered {status} with something a station does not say ({detail}); check --url or STATION_URL")]
    Unexpected {
        /// The address that was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The address is not one.
    #[error("{url:?} is not the address of a station ({detail}); write it like http://127.0.0.1:8081")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The token cannot stand in a header.
    #[error("the token has characters that no token has; copy the line from the station's admin.token file")]
    Token,
    /// A file could not be read.
    #[error("reading {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The HTTP client could not be made.
    #[error("preparing the HTTP client")]
    Setup(#[source] reqwest::Error),
}

impl Error {
    /// The problem document, if the station answered with one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}

/// A request that is being put together.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    /// Adds a query parameter.
    pub(crate) fn query(&mut self, key: &str, value: &str) {
        self.url.query_pairs_mut().append_pair(key, value);
    }
}

impl Client {
    /// A client for the station at `url`, such as `http://127.0.0.1:8081`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Url`] and [`Error::Token`] when these cannot be right.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let base = parse_base(url)?;
        let token = token.map(|token| bearer(token.trim())).transpose()?;
        let http = http_client(&base)?;
        Ok(Self { http, base, token })
    }

    /// The station's address.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) fn get(&self, path: &[&str]) -> Result<Request, Error> {
        self.request(Method::GET, path)
    }

    pub(crate) fn delete(&self, path: &[&str]) -> Result<Request, Error> {
        self.request(Method::DELETE, path)
    }

    pub(crate) fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Request, Error> {
        self.with_body(Method::POST, path, body)
    }

    pub(crate) fn put(&self, path: &[&str], body: &impl Serialize) -> Result<Request, Error> {
        self.with_body(Method::PUT, path, body)
    }

    pub(crate) fn with_body(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<Request, Error> {
        let mut request = self.request(method, path)?;
        let body = serde_json::to_vec(body)
            .map_err(|e| self.local(Code::AdminBadRequest, &format!("the request cannot be written as JSON: {e}")))?;
        request.body = Some(body);
        Ok(request)
    }

    pub(crate) fn request(&self, method: Method, path: &[&str]) -> Result<Request, Error> {
        let mut url = self.base.clone();
        for segment in path {
            // The URL standard drops these two segments, so the request would go to another resource.
            if matches!(*segment, "" | "." | "..") {
                return Err(self.local(Code::AdminBadRequest, &format!("{segment:?} cannot be a name")));
            }
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().push(segment);
            }
        }
        Ok(Request { method, url, body: None })
    }

    /// A problem that the client sees before it asks, in the shape in which the station would have said it.
    pub(crate) fn local(&self, code: Code, detail: &str) -> Error {
        Error::Problem(Box::new(Problem::new(code, detail)))
    }

    /// Asks, and reads a JSON answer; waits as long as a request may take that does no work of a module.
    pub(crate) async fn answer<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.answer_within(request, Some(Duration::from_millis(QUICK_MS_MAX))).await
    }

    pub(crate) async fn answer_within<T: DeserializeOwned>(
        &self,
        request: Request,
        wait: Option<Duration>,
    ) -> Result<T, Error> {
        let url = request.url.clone();
        let work = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = self.body(response).await?;
            parse(&url, status, &body)
        };
        within(&url, wait, work).await
    }

    /// Asks for something that is answered without a body.
    pub(crate) async fn done(&self, request: Request) -> Result<(), Error> {
        self.text(request).await.map(drop)
    }

    /// Asks, and reads an answer that is text.
    pub(crate) async fn text(&self, request: Request) -> Result<String, Error> {
        let url = request.url.clone();
        let work = async {
            let response = self.send(request).await?;
            Ok(String::from_utf8_lossy(&self.body(response).await?).into_owned())
        };
        within(&url, Some(Duration::from_millis(QUICK_MS_MAX)), work).await
    }

    /// Sends, and turns every status that is no success into a problem.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, Error> {
        let url = request.url.clone();
        let builder = self.prepare(request);
        self.execute(&url, builder).await
    }

    /// The request with its token, for those who add a body of their own.
    pub(crate) fn prepare(&self, request: Request) -> reqwest::RequestBuilder {
        let mut builder = self.http.request(request.method, request.url);
        if let Some(token) = &self.token {
            builder = builder.header(header::AUTHORIZATION, token.clone());
        }
        match request.body {
            Some(body) => builder.header(header::CONTENT_TYPE, "application/json").body(body),
            None => builder,
        }
    }

    pub(crate) async fn execute(&self, url: &Url, builder: reqwest::RequestBuilder) -> Result<Response, Error> {
        let response = builder.send().await.map_err(|source| transport(url, source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.body(response).await?;
        Err(refusal(url, status, &body))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let url = response.url().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| transport(&url, source))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(unexpected(&url, response.status(), "the answer is endless"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn parse_base(text: &str) -> Result<Url, Error> {
    let bad = |detail: &str| Error::Url { url: text.to_owned(), detail: detail.to_owned() };
    let url = Url::parse(text.trim()).map_err(|e| bad(&e.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(bad("it must begin with http:// or https://")),
    }
}

fn bearer(token: &str) -> Result<header::HeaderValue, Error> {
    let visible = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let value = visible.then(|| header::HeaderValue::from_str(&format!("Bearer {token}")).ok()).flatten();
    let mut value = value.ok_or(Error::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn http_client(base: &Url) -> Result<reqwest::Client, Error> {
    // Fails when a provider is installed already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_millis(CONNECT_MS_MAX))
        // The station closes an idle connection after ten seconds; one that is about to close must not be used again.
        .pool_idle_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // Otherwise a machine without a certificate store could not even talk to its own station.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(Error::Setup)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) fn transport(url: &Url, source: reqwest::Error) -> Error {
    Error::Transport { url: shown(url), source: source.without_url() }
}

pub(crate) fn unexpected(url: &Url, status: StatusCode, detail: &str) -> Error {
    Error::Unexpected { url: shown(url), status: status.as_u16(), detail: detail.to_owned() }
}

pub(crate) fn parse<T: DeserializeOwned>(url: &Url, status: StatusCode, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|e| unexpected(url, status, &e.to_string()))
}

fn refusal(url: &Url, status: StatusCode, body: &[u8]) -> Error {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Error::Problem(Box::new(problem)),
        Err(e) => unexpected(url, status, &e.to_string()),
    }
}

pub(crate) async fn within<T>(
    url: &Url,
    wait: Option<Duration>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(wait) = wait else { return work.await };
    match tokio::time::timeout(wait, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::TimedOut { url: shown(url), seconds: wait.as_secs() }),
    }
}

/// Scheme, host and port: what a person needs to find the mistake.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}
