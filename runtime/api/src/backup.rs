//! Backups: the whole station as one archive.

use crate::{Client, Error, client};
use bytes::Bytes;
use reqwest::{Method, Response, Url};
use std::time::Duration;

/// Copying a database of some gigabytes on a slow disk.
const COPY_S_MAX: u64 = 1_800;
/// How long the station may be silent once the archive has begun.
const SILENCE_S_MAX: u64 = 60;

/// An archive as it comes in.
#[derive(Debug)]
pub struct BackupStream {
    url: Url,
    response: Response,
}

impl Client {
    /// Asks for a backup, with which `station restore` makes the station again. It is a tar archive.
    ///
    /// # Errors
    /// `station.busy` while another one is made, `upload.storage` when the station's disk is too full for it.
    pub async fn backup(&self) -> Result<BackupStream, Error> {
        let request = self.request(Method::POST, &["v1", "backup"])?;
        let url = request.url.clone();
        let response = client::within(&url, Some(Duration::from_secs(COPY_S_MAX)), self.send(request)).await?;
        Ok(BackupStream { url, response })
    }
}

impl BackupStream {
    /// How many bytes it has, as the station says.
    pub fn bytes(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// When the connection breaks before the end, or is silent for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let work = self.response.chunk();
        let read = async { work.await.map_err(|source| client::transport(&self.url, source)) };
        client::within(&self.url, Some(Duration::from_secs(SILENCE_S_MAX)), read).await
    }
}
