//! Upload: one component becomes a revision of a module.
//!
//! The client always asks for the stream of [`UploadEvent`]s, so that it can show that a long compilation goes on,
//! and so that silence means that something is wrong.

use crate::{Client, Error, Problem, State, Waiting, client};
use bytes::BytesMut;
use futures_util::TryStreamExt;
use reqwest::{Body, Method, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use station_model::{Code, Digest, Grant, InterfaceName, ModuleName};
use std::{path::Path, sync::Arc, time::Duration};
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

/// The media type of a stream of events, one JSON document per line.
pub(crate) const EVENTS: &str = "application/x-ndjson";
/// The station says something every second while it compiles.
const SILENCE_S_MAX: u64 = 60;
/// Sending may take as long as the station allows, and then an answer must come.
const SEND_S_MAX: u64 = 11 * 60;
/// The longest line of the stream.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What became of an upload, or would become of one that is only planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The module.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// The revision that is active now.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Whether it can be called.
    pub state: State,
    /// False when this very revision was already active.
    pub changed: bool,
    /// True when it was only planned: nothing was done, and the rest says what would be.
    #[serde(default)]
    pub planned: bool,
    /// What it waits for; empty when it is ready.
    pub waiting_for: Vec<Waiting>,
    /// What its owner should know. No reason to refuse it.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Something about a module that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// A stable word: `writes_and_waits` of a module whose calls may write to the database and wait for something outside,
    /// in itself or in the modules that it calls.
    pub code: String,
    /// The same in a sentence, with the next step.
    pub detail: String,
}

/// A line of the answer to an upload that accepts `application/x-ndjson`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum UploadEvent {
    /// Every byte is here.
    Uploaded {
        /// How many.
        bytes: u64,
        /// Their SHA-256.
        #[schema(value_type = String)]
        digest: Digest,
    },
    /// The station checks and compiles; said again every second.
    Compiling {
        /// For how long already.
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// The last line: it is deployed.
    Done {
        /// The status of the plain answer, 200 or 201.
        status: u16,
        /// The plain answer.
        body: Deployed,
    },
    /// The last line: it is refused.
    Failed {
        /// Why.
        problem: Box<Problem>,
    },
}

/// What to do in the same step as the upload. Everything but `digest` and `plan` needs the scope `admin`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadOptions {
    /// What to grant.
    pub grants: Vec<Grant>,
    /// Grant everything that this revision imports.
    pub grant_all: bool,
    /// Who shall provide which import.
    pub links: Vec<(InterfaceName, ModuleName)>,
    /// What the bytes must be; the station refuses others.
    pub digest: Option<Digest>,
    /// Only ask what would become of it.
    pub plan: bool,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes are on their way.
    Sent {
        /// So many were handed to the connection.
        bytes: u64,
        /// Of so many.
        total: u64,
    },
    /// The station has every byte.
    Received,
    /// The station checks and compiles.
    Compiling {
        /// For how long already.
        elapsed_ms: u64,
    },
}

impl Client {
    /// Uploads the component in `file` as a revision of the module `name`, and waits until it is active or refused,
    /// or until it is known which of both it would be.
    /// Dropping the future before that gives the upload up.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read; `upload.*`, `link.*` and `start.*` as [`Error::Problem`].
    pub async fn upload(
        &self,
        name: &str,
        file: &Path,
        options: &UploadOptions,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Deployed, Error> {
        name.parse::<ModuleName>().map_err(|e| self.local(Code::UploadBadName, &e.to_string()))?;
        let mut request = self.request(Method::PUT, &["v1", "modules", name])?;
        add_options(&mut request, options);
        let progress = Arc::new(progress);
        let (body, total) = file_body(file, progress.clone()).await?;
        let url = request.url.clone();
        let builder = self
            .prepare(request)
            .header(header::CONTENT_TYPE, "application/wasm")
            .header(header::CONTENT_LENGTH, total)
            .header(header::ACCEPT, EVENTS)
            .body(body);
        let sending = self.execute(&url, builder);
        let response = client::within(&url, Some(Duration::from_secs(SEND_S_MAX)), sending).await?;
        Lines { url, response, buffer: BytesMut::new() }.outcome(&*progress).await
    }
}

fn add_options(request: &mut client::Request, options: &UploadOptions) {
    for grant in &options.grants {
        request.query("grant", &grant.to_string());
    }
    if options.grant_all {
        request.query("grant_all", "true");
    }
    for (interface, module) in &options.links {
        request.query("link", &format!("{interface}={module}"));
    }
    if let Some(digest) = &options.digest {
        request.query("digest", &digest.to_string());
    }
    if options.plan {
        request.query("plan", "true");
    }
}

async fn file_body(
    path: &Path,
    progress: Arc<impl Fn(Progress) + Send + Sync + 'static>,
) -> Result<(Body, u64), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is not a file")));
    }
    let total = metadata.len();
    let mut bytes = 0;
    let chunks = ReaderStream::with_capacity(file, 64 * 1024).inspect_ok(move |chunk| {
        bytes += chunk.len() as u64;
        progress(Progress::Sent { bytes, total });
    });
    Ok((Body::wrap_stream(chunks), total))
}

struct Lines {
    url: Url,
    response: Response,
    buffer: BytesMut,
}

impl Lines {
    async fn outcome(mut self, progress: &(impl Fn(Progress) + Send + Sync)) -> Result<Deployed, Error> {
        while let Some(line) = self.next().await? {
            match client::parse(&self.url, self.response.status(), &line)? {
                UploadEvent::Uploaded { .. } => progress(Progress::Received),
                UploadEvent::Compiling { elapsed_ms } => progress(Progress::Compiling { elapsed_ms }),
                UploadEvent::Done { body, .. } => return Ok(body),
                UploadEvent::Failed { problem } => return Err(Error::Problem(problem)),
            }
        }
        Err(client::unexpected(&self.url, self.response.status(), "the answer ended before the upload's end"))
    }

    async fn next(&mut self) -> Result<Option<BytesMut>, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                return Ok(Some(self.buffer.split_to(end + 1)));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(client::unexpected(&self.url, StatusCode::OK, "an endless line"));
            }
            let read = async { self.response.chunk().await.map_err(|source| client::transport(&self.url, source)) };
            let Some(chunk) = client::within(&self.url, Some(Duration::from_secs(SILENCE_S_MAX)), read).await? else {
                return Ok((!self.buffer.is_empty()).then(|| self.buffer.split()));
            };
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
