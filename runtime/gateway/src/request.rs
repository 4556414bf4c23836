//! One request: find its module, have it served, send the answer.

use crate::backend::{Answer, Backend};
use crate::body::{RequestBody, ResponseBody};
use crate::headers;
use crate::problem;
use crate::routes::Table;
use crate::settings::Settings;
use arc_swap::ArcSwap;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Limited;
use hyper::body::Incoming;
use station_kernel::state::Route;
use station_model::{Code, ModuleName};
use std::net::IpAddr;
use std::sync::Arc;

type Routes = Arc<Vec<(Route, ModuleName)>>;

/// What every request needs.
pub(crate) struct Shared<B> {
    backend: Arc<B>,
    pub(crate) settings: Settings,
    /// The routes that the table was made from, and the table.
    table: ArcSwap<(Routes, Table)>,
}

impl<B: Backend> Shared<B> {
    pub(crate) fn new(backend: Arc<B>, settings: Settings) -> Self {
        let routes = backend.routes();
        let table = Table::new(&routes);
        Self { backend, settings, table: ArcSwap::from_pointee((routes, table)) }
    }

    /// Answers a request from `peer`. Dropping the future cancels the call.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<ResponseBody> {
        let module = match self.accept(&request) {
            Ok(module) => module,
            Err(code) => return problem::of(code, None),
        };
        match self.backend.serve(module, self.for_module(request, peer)).await {
            Ok(answer) => checked(answer),
            Err(refused) => problem::refused(&refused),
        }
    }

    /// The module that shall serve the request, unless the request is refused at once.
    fn accept(&self, request: &Request<Incoming>) -> Result<ModuleName, Code> {
        if request.method() == Method::CONNECT {
            return Err(Code::AdminBadRequest);
        }
        let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|bytes| bytes > self.settings.body_bytes_max) {
            return Err(Code::AdminTooLarge);
        }
        let table = self.table();
        table.1.find(host(request), request.uri().path()).cloned().ok_or(Code::CallNoSuchModule)
    }

    /// The table of the present routes; made anew when they have changed.
    fn table(&self) -> Arc<(Routes, Table)> {
        let routes = self.backend.routes();
        let known = self.table.load_full();
        if Arc::ptr_eq(&known.0, &routes) {
            return known;
        }
        let table = Table::new(&routes);
        let made = Arc::new((routes, table));
        self.table.store(Arc::clone(&made));
        made
    }

    fn for_module(&self, mut request: Request<Incoming>, peer: IpAddr) -> Request<RequestBody> {
        headers::incoming(request.headers_mut(), peer);
        let max = usize::try_from(self.settings.body_bytes_max).unwrap_or(usize::MAX);
        request.map(|body| Limited::new(body, max))
    }
}

/// The host as the client wrote it: HTTP/2 and proxies say it in the URI, HTTP/1.1 in a header.
fn host(request: &Request<Incoming>) -> Option<&str> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()))
}

/// The answer as it may leave. A module cannot take the connection over.
fn checked(answer: Answer) -> Response<ResponseBody> {
    let Answer { call, mut response } = answer;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return problem::of(Code::HttpBadResponse, Some(call));
    }
    headers::outgoing(response.headers_mut(), Some(call));
    response
}
