//! Access tokens: making, listing and revoking them.

use crate::{Client, Error};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// What a token may do. `admin` includes `deploy`, which includes `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at things.
    Read,
    /// Upload and call modules.
    Deploy,
    /// Grant, link, remove, and everything else.
    Admin,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Public part, by which it is revoked.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Every token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// In the order of their ids.
    pub tokens: Vec<Token>,
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, in at most 128 characters.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// A token that was just made. Nobody can read its secret a second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// `stn_<id>_<secret>`: what goes into `Authorization: Bearer` and `STATION_TOKEN`.
    pub secret: String,
}

impl Scope {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "deploy" => Ok(Self::Deploy),
            "admin" => Ok(Self::Admin),
            _ => Err(format!("{text:?} is not a scope; there are read, deploy and admin")),
        }
    }
}

impl Client {
    /// Every token, without secrets.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tokens(&self) -> Result<TokenList, Error> {
        self.answer(self.get(&["v1", "tokens"])?).await
    }

    /// Makes a token. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_token(&self, token: &NewToken) -> Result<CreatedToken, Error> {
        self.answer(self.post(&["v1", "tokens"], token)?).await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// `admin.not_found` when there is none of this id.
    pub async fn remove_token(&self, id: &str) -> Result<(), Error> {
        self.done(self.delete(&["v1", "tokens", id])?).await
    }
}
