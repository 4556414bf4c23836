//! JSON bodies: bounded in size and time, and complete.
//!
//! The media type is not asked for: a request needs a token in a header that no page of another site can send.

use crate::refusal::{Refusal, Result};
use crate::router::App;
use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use station_model::{Code, Failure};

/// The body as a `T`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let bytes = read(request.into_body(), app).await?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Refusal::new(
                Code::AdminBadRequest,
                format!("the body is not the JSON that belongs here: {:.500}", error.to_string()),
            )),
        }
    }
}

async fn read(body: Body, app: &App) -> Result<Bytes> {
    let max = app.settings.body_bytes_max;
    let reading = Limited::new(body, max).collect();
    match tokio::time::timeout(app.settings.body_wait, reading).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(max)),
        Ok(Err(_)) => Err(Refusal::new(Code::AdminBadRequest, "the body ended before its end")),
        Err(_) => Err(Refusal::new(Code::AdminBadRequest, "the body took too long to arrive")),
    }
}

fn too_large(max: usize) -> Refusal {
    let failure = Failure::new(Code::AdminTooLarge, format!("the body has more than {max} bytes"));
    failure.with_limit("body_bytes", max as u64, max as u64 + 1).into()
}
