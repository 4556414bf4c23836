//! Backups: `POST /v1/backup` answers with a whole station as one archive.
//!
//! The archive is made before the answer begins, so that its length is known and one that was cut off shows. It is read
//! piece by piece as the client takes it, by a thread that may block; what it needs on the disk ends with the answer. One
//! at a time, because each needs as much room on the disk as the database. The audit log says who asked.

use crate::access::Admin;
use crate::openapi;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use station_model::Code;
use std::{
    io::{self, Read},
    sync::Arc,
};
use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking};

/// The media type of the archive.
const TAR: &str = "application/x-tar";
/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// The bytes of an archive.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "stands for the body in the OpenAPI document")]
struct Archive(Vec<u8>);

/// Makes a backup of the station: a tar archive with the database as of one moment and the components of all modules,
/// for `station restore`. Tokens are in it as hashes, values of modules' configuration as they are.
#[utoipa::path(post, path = "/v1/backup", tag = "station", operation_id = "backup",
    responses((status = 200, body = Archive, content_type = "application/x-tar"), openapi::Problems))]
pub(crate) async fn make(Admin(who): Admin, State(app): State<App>) -> Result<Response> {
    let busy = |_| Refusal::new(Code::StationBusy, "another backup is being made; try again when it is done");
    let turn = Arc::clone(&app.backups).try_acquire_owned().map_err(busy)?;
    let backup = app.control.backup(who).await?;
    let headers = [(header::CONTENT_TYPE, TAR.to_owned()), (header::CONTENT_LENGTH, backup.bytes.to_string())];
    let left = Left { archive: backup.archive, _turn: turn };
    Ok((headers, Body::from_stream(stream::try_unfold(left, Left::next))).into_response())
}

/// What of an archive was not sent yet, and the turn that ends with it.
struct Left {
    archive: Box<dyn Read + Send>,
    _turn: OwnedSemaphorePermit,
}

impl Left {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let read = move || {
            let mut piece = Vec::with_capacity(PIECE);
            self.archive.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            Ok((!piece.is_empty()).then(|| (Bytes::from(piece), self)))
        };
        let read = spawn_blocking(read).await.map_err(io::Error::other)?;
        read.inspect_err(|error: &io::Error| tracing::error!(%error, "a backup could not be read to its end"))
    }
}
