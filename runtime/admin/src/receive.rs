//! Receives an upload: from the socket to a file, with the SHA-256 computed on the way.
//!
//! The file is removed unless the deployment moved it to its place: when the body is too large, ends early, is too
//! slow or is not what was declared, when the deployment fails, and when the client goes away, because then the
//! future that owns the [`Received`] is dropped.

use crate::refusal::{Refusal, Result};
use crate::settings::Settings;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use station_model::{Code, Digest, Failure};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio::{io::AsyncWriteExt as _, time::timeout};

/// An upload that is here in full.
pub(crate) struct Received {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    partial: Partial,
}

impl Received {
    pub(crate) fn path(&self) -> &Path {
        &self.partial.0
    }
}

/// A file that is removed when this is dropped, if it is still there.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.0.display(), "an upload could not be removed");
            }
            _ => {}
        }
    }
}

/// Receives `body` into a new file at `path`.
pub(crate) async fn receive(path: PathBuf, body: Body, settings: &Settings) -> Result<Received> {
    let receiving = to_file(path, body, settings);
    match timeout(settings.upload_total, receiving).await {
        Ok(received) => received,
        Err(_) => Err(truncated(&format!("it took longer than {} s", settings.upload_total.as_secs()))),
    }
}

async fn to_file(path: PathBuf, mut body: Body, settings: &Settings) -> Result<Received> {
    let mut file = create(&path).await.map_err(storage)?;
    let partial = Partial(path);
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    while let Some(chunk) = chunk(&mut body, settings).await? {
        size += chunk.len() as u64;
        check_size(size, settings)?;
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(storage)?;
    }
    file.flush().await.map_err(storage)?;
    Ok(Received { digest: Digest::from_bytes(hash.finalize().into()), size, partial })
}

async fn create(path: &Path) -> io::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

/// The next bytes; none at the end.
async fn chunk(body: &mut Body, settings: &Settings) -> Result<Option<Bytes>> {
    loop {
        match timeout(settings.upload_chunk, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
            Ok(Some(Err(_))) => return Err(truncated("the connection broke")),
            Err(_) => return Err(truncated(&format!("nothing came for {} s", settings.upload_chunk.as_secs()))),
        }
    }
}

/// Refuses a size above the cap; also asked with the declared size, before anything is read.
pub(crate) fn check_size(size: u64, settings: &Settings) -> Result<()> {
    let max = settings.upload_bytes_max;
    if size <= max {
        return Ok(());
    }
    let failure = Failure::new(Code::UploadTooLarge, format!("the upload has more than {max} bytes"));
    Err(failure.with_limit("upload_bytes", max, size).into())
}

fn truncated(why: &str) -> Refusal {
    Refusal::new(Code::UploadTruncated, format!("the upload is not complete: {why}; send it again"))
}

fn storage(error: io::Error) -> Refusal {
    tracing::error!(%error, "an upload could not be written");
    Refusal::new(
        Code::UploadStorage,
        "the upload could not be written to the data folder; the station's log has the reason",
    )
}
