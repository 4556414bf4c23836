//! Access tokens: `stn_<id>_<43 characters>`, of which the station keeps the id and a hash.
//!
//! The secret has 256 random bits, so a fast hash is enough: there is nothing to guess from a stolen database.

use crate::access::Admin;
use crate::body::Json;
use crate::name::Id;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use crate::{openapi, wire};
use axum::{Json as Answer, extract::State as Shared, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use station_api::{CreatedToken, NewToken, TokenList};
use station_kernel::control::Principal;
use station_kernel::state::{Scope, State, Token};
use station_model::{Code, Digest};
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq as _;

/// 32 bytes in base64url without padding.
const SECRET_CHARS: usize = 43;
/// Enough for a sentence on what a token is for.
const LABEL_CHARS_MAX: usize = 128;
/// More tokens than anybody can keep an eye on.
const TOKENS_MAX: usize = 1_000;

/// Makes a token out of 32 random bytes: the text to hand out once, and what the station keeps.
///
/// `id` has letters, digits and dashes, no underscore: that is what ends it in the text.
pub fn issue(id: &str, label: &str, scopes: Vec<Scope>, random: [u8; 32], now_ms: u64) -> (String, Token) {
    let secret = URL_SAFE_NO_PAD.encode(random);
    let token = Token {
        id: id.to_owned(),
        label: label.to_owned(),
        hash: Digest::of(secret.as_bytes()),
        scopes,
        created_ms: now_ms,
    };
    (format!("stn_{id}_{secret}"), token)
}

/// Whose token `text` is. None when it is nobody's, whatever is wrong with it.
///
/// The id is public and is looked up as any name; the secret is compared by its hash, in constant time. An unknown
/// id costs the same hash and comparison as a known one.
pub fn verify(state: &State, text: &str) -> Option<Principal> {
    let (id, secret) = text.strip_prefix("stn_")?.split_once('_')?;
    if secret.len() != SECRET_CHARS {
        return None;
    }
    let token = state.tokens.get(id);
    let kept = token.map_or_else(|| Digest::from_bytes([0; 32]), |token| token.hash);
    let right = bool::from(Digest::of(secret.as_bytes()).as_bytes().ct_eq(kept.as_bytes()));
    let token = token.filter(|_| right)?;
    let scope = token.scopes.iter().max().copied()?;
    Some(Principal { name: format!("admin:{id}"), scope })
}

/// Lists the tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", operation_id = "tokens",
    responses((status = 200, body = TokenList), openapi::Problems))]
pub(crate) async fn list(_: Admin, Shared(app): Shared<App>) -> Answer<TokenList> {
    let tokens = app.control.state().tokens.values().map(wire::token).collect();
    Answer(TokenList { tokens })
}

/// Makes a token and answers its secret, once.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", operation_id = "create_token", request_body = NewToken,
    responses((status = 201, body = CreatedToken), openapi::Problems))]
pub(crate) async fn create(
    Admin(who): Admin,
    Shared(app): Shared<App>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Answer<CreatedToken>)> {
    check(&new)?;
    if app.control.state().tokens.len() >= TOKENS_MAX {
        return Err(Refusal::new(
            Code::AdminConflict,
            format!("there are {TOKENS_MAX} tokens already; revoke some with `station token revoke`"),
        ));
    }
    let id: String = random::<5>()?.iter().map(|b| format!("{b:02x}")).collect();
    let scopes = new.scopes.iter().copied().map(wire::kernel_scope).collect();
    let (secret, token) = issue(&id, &new.label, scopes, random()?, now_ms());
    app.control.add_token(who, token.clone()).await?;
    Ok((StatusCode::CREATED, Answer(CreatedToken { token: wire::token(&token), secret })))
}

/// Revokes a token. The last one that may administer stays.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", operation_id = "remove_token",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204, description = "Revoked"), openapi::Problems))]
pub(crate) async fn remove(Admin(who): Admin, Shared(app): Shared<App>, Id(id): Id) -> Result<StatusCode> {
    let state = app.control.state();
    if !state.tokens.contains_key(&id) {
        return Err(Refusal::new(
            Code::AdminNotFound,
            format!("there is no token `{id:.64}`; `station token ls` lists them"),
        ));
    }
    let administers = |token: &&Token| token.id != id && token.scopes.contains(&Scope::Admin);
    if !state.tokens.values().any(|token| administers(&token)) {
        return Err(Refusal::new(
            Code::AdminConflict,
            "this is the last token that may administer; make another one first",
        ));
    }
    app.control.remove_token(who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(new: &NewToken) -> Result<()> {
    let bad = |detail: &str| Err(Refusal::new(Code::AdminBadRequest, detail));
    if new.scopes.is_empty() {
        return bad("a token needs at least one scope: read, deploy or admin");
    }
    if new.label.chars().count() > LABEL_CHARS_MAX || new.label.chars().any(char::is_control) {
        return bad("a label has at most 128 characters and no control characters");
    }
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        Refusal::new(Code::StationInternal, "the operating system gives no random bytes")
    })?;
    Ok(bytes)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
