//! Who may ask: bearer tokens, their scopes, and browsers.
//!
//! A route says what it needs by its first extractor: [`Anybody`], [`Reader`], [`Deployer`] or [`Admin`]. It is checked
//! before the body is read. A wrong token is answered 401; after some of them in one second wrong ones, and only wrong
//! ones, are answered 429, so that guessing is slow and noisy and the true admin is never locked out.

use crate::refusal::{Refusal, Result};
use crate::router::App;
use crate::tokens;
use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use station_kernel::control::Principal;
use station_kernel::state::Scope;
use station_model::Code;
use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Somebody without a token who asked for this machine and for no other name.
///
/// A page of another site can let its own name lead to a loopback address (DNS rebinding); to the browser the admin API
/// is then that site, and what needs no token could be read. An address cannot be led elsewhere, so any will do.
/// Who has to ask by a name, through a proxy say, sends a token.
pub(crate) struct Anybody;

/// Somebody with the scope `read`. What is only looked at is not recorded, so nobody asks who it was.
pub(crate) struct Reader;

/// Somebody with the scope `deploy`.
pub(crate) struct Deployer(pub(crate) Principal);

/// Somebody with the scope `admin`.
pub(crate) struct Admin(pub(crate) Principal);

impl FromRequestParts<App> for Anybody {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let here = parts.headers.get_all(header::HOST).iter().all(is_no_foreign_name);
        // A token of any scope will do: a page that was led here has none.
        match here || authenticate(app, &parts.headers).is_ok() {
            true => Ok(Self),
            false => Err(Refusal::new(
                Code::AdminForbidden,
                "without a token the admin API answers by an address or as localhost only, not by another name",
            )),
        }
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        allowed(parts, app, Scope::Read).map(|_| Self)
    }
}

impl FromRequestParts<App> for Deployer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        allowed(parts, app, Scope::Deploy).map(Self)
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        allowed(parts, app, Scope::Admin).map(Self)
    }
}

fn allowed(parts: &Parts, app: &App, scope: Scope) -> Result<Principal> {
    let who = authenticate(app, &parts.headers)?;
    needs(&who, scope, &format!("{} of this path", parts.method))?;
    Ok(who)
}

/// Refuses unless `who` has the scope that `what` needs.
pub(crate) fn needs(who: &Principal, needed: Scope, what: &str) -> Result<()> {
    if who.scope.includes(needed) {
        return Ok(());
    }
    let (has, needed) = (crate::wire::scope(who.scope), crate::wire::scope(needed));
    let detail = format!("{what} needs a token with the scope {needed}; this one has {has}");
    Err(Refusal::new(Code::AdminForbidden, detail))
}

fn authenticate(app: &App, headers: &HeaderMap) -> Result<Principal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let detail = "send one header `Authorization: Bearer TOKEN`; the token of the first start is in the data folder, in admin.token";
        return Err(Refusal::new(Code::AdminUnauthenticated, detail));
    };
    match bearer(value).and_then(|token| tokens::verify(&app.control.state(), token)) {
        Some(who) => Ok(who),
        None => Err(app.wrong_tokens.refuse()),
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Counts wrong tokens within one second.
#[derive(Debug)]
pub(crate) struct WrongTokens {
    max: u32,
    second: Mutex<(Instant, u32)>,
}

impl WrongTokens {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, second: Mutex::new((Instant::now(), 0)) }
    }

    fn refuse(&self) -> Refusal {
        let count = self.count();
        if count == self.max.saturating_add(1) {
            tracing::warn!(in_one_second = count, "somebody tries wrong tokens on the admin API");
        }
        match count > self.max {
            true => Refusal::new(Code::AdminRateLimited, "too many wrong tokens; try again in a second"),
            false => {
                Refusal::new(Code::AdminUnauthenticated, "the station knows no such token; it may have been revoked")
            }
        }
    }

    fn count(&self) -> u32 {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.0.elapsed().as_secs() >= 1 {
            *second = (Instant::now(), 0);
        }
        second.1 = second.1.saturating_add(1);
        second.1
    }
}

/// Turns away requests that a page of another site makes in somebody's browser. Tools send no `Origin`.
pub(crate) async fn same_machine(request: Request, next: Next) -> Response {
    let foreign = request.headers().get_all(header::ORIGIN).iter().any(|origin| !is_loopback(origin));
    match foreign {
        true => {
            Refusal::new(Code::AdminForbidden, "a page of another origin may not talk to the admin API").into_response()
        }
        false => next.run(request).await,
    }
}

fn is_loopback(origin: &HeaderValue) -> bool {
    let uri = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

/// True for a `Host` that is an address or `localhost`: no resolver is asked for these.
fn is_no_foreign_name(host: &HeaderValue) -> bool {
    let authority = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let Some(authority) = authority else { return false };
    authority.host().eq_ignore_ascii_case("localhost") || address(authority.host()).is_some()
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}
