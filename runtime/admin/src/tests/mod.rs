//! The admin API against a fake station.

mod access;
mod backup;
mod calls;
mod client;
mod fake;
mod golden;
mod logs;
mod problems;
mod server;
mod upload;

use crate::{Settings, router, serve, tokens};
use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use fake::Fake;
use http_body_util::BodyExt as _;
use serde_json::Value;
use station_kernel::state::Scope;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A fake station and the API in front of it.
struct Station {
    fake: Arc<Fake>,
    router: Router,
    drain: CancellationToken,
    settings: Settings,
}

impl Station {
    fn new() -> Self {
        Self::with(Settings { upload_wait: Duration::from_millis(300), ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        let (fake, drain) = (Arc::new(Fake::new()), CancellationToken::new());
        let router = router(fake.clone(), settings.clone(), drain.clone());
        Self { fake, router, drain, settings }
    }

    /// Sends a request through the routes, without a socket.
    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, Some(ADMIN)).body(Body::empty()).unwrap()).await
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(request(method, path, Some(ADMIN)).body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(request("PUT", path, Some(ADMIN)).body(body.into()).unwrap()).await
    }

    /// Serves on a port of the machine until the station is dropped.
    async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, self.fake.clone(), self.settings.clone(), self.drain.clone()));
        address
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

const ADMIN: &str = "admin";

/// The text of the fake's token with this id.
fn token(id: &str) -> String {
    tokens::issue(id, "", vec![Scope::Read], [id.len() as u8; 32], 0).0
}

fn request(method: &str, path: &str, token_id: Option<&str>) -> axum::http::request::Builder {
    let builder = Request::builder().method(method).uri(path);
    match token_id {
        Some(id) => builder.header(header::AUTHORIZATION, format!("Bearer {}", token(id))),
        None => builder,
    }
}

/// An answer that was read in full.
struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the whole shape of a problem document, and that it has this code and its status.
    fn assert_problem(&self, code: &str) {
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["type"], format!("/errors/{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["retryable"].is_boolean());
        let known = ["type", "title", "status", "detail", "instance", "code", "retryable", "limit", "call"];
        assert!(problem.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{problem}");
    }
}
