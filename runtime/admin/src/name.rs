//! The names in a path. A path that is no UTF-8, or a name that cannot be one, is refused here.

use crate::refusal::{Refusal, Result};
use axum::{
    extract::{FromRequestParts, Path},
    http::{Method, request::Parts},
};
use station_model::{Code, ModuleName};

/// The `{name}` of a module's path.
pub(crate) struct Name(pub(crate) ModuleName);

/// Any other `{id}` of a path, as text.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Refusal::new(Code::AdminBadRequest, "the path is not UTF-8")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Id(text) = Id::from_request_parts(parts, state).await?;
        match text.parse() {
            Ok(name) => Ok(Self(name)),
            Err(invalid) => Err(Refusal::new(code(parts), invalid.to_string())),
        }
    }
}

/// A module of an impossible name is not there; only an upload is told why it never can be.
fn code(parts: &Parts) -> Code {
    let path = parts.uri.path();
    let segments = path.trim_matches('/').split('/').count();
    match parts.method {
        Method::PUT if segments == 3 => Code::UploadBadName,
        Method::POST if path.ends_with("/call") => Code::CallNoSuchModule,
        _ => Code::AdminNotFound,
    }
}
