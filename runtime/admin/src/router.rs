//! The routes, one line each, and what all of them share.

use crate::access::{WrongTokens, same_machine};
use crate::refusal::{panicked, render};
use crate::settings::Settings;
use crate::upload::Uploads;
use crate::{
    audit, backup, calls, events, grants, graph, health, linger, logs, metrics, modules, openapi, pages, tables,
    tokens, upload,
};
use axum::{Router, middleware::from_fn};
use bytes::Bytes;
use station_kernel::Control;
use std::{sync::Arc, time::Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What every handler can reach.
pub(crate) type App = Arc<Shared>;

pub(crate) struct Shared {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) settings: Settings,
    pub(crate) drain: CancellationToken,
    pub(crate) uploads: Uploads,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) counts: Arc<Semaphore>,
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) wrong_tokens: WrongTokens,
    pub(crate) openapi: Bytes,
    pub(crate) started: Instant,
}

/// Every route, with its part of the OpenAPI document.
pub(crate) fn routes() -> OpenApiRouter<App> {
    openapi::empty()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::show))
        .routes(routes!(openapi::show))
        .routes(routes!(pages::show))
        .routes(routes!(modules::list))
        .routes(routes!(modules::show, upload::put, modules::remove))
        .routes(routes!(modules::versions))
        .routes(routes!(calls::call))
        .routes(routes!(grants::grant, grants::revoke))
        .routes(routes!(grants::link))
        .routes(routes!(grants::limits))
        .routes(routes!(grants::routes))
        .routes(routes!(grants::config))
        .routes(routes!(logs::show))
        .routes(routes!(graph::show))
        .routes(routes!(calls::list))
        .routes(routes!(calls::trace))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::remove))
        .routes(routes!(audit::list))
        .routes(routes!(events::list, events::prune))
        .routes(routes!(tables::list))
        .routes(routes!(backup::make))
}

/// The whole API as one service, for [`serve`](crate::serve) and for tests.
pub fn router(control: Arc<dyn Control>, settings: Settings, drain: CancellationToken) -> Router {
    let (routes, _) = routes().split_for_parts();
    let shared = Shared {
        control,
        drain,
        uploads: Uploads::new(settings.uploads_max),
        streams: Arc::new(Semaphore::new(settings.streams_max)),
        counts: Arc::new(Semaphore::new(settings.counts_max)),
        backups: Arc::new(Semaphore::new(settings.backups_max)),
        wrong_tokens: WrongTokens::new(settings.wrong_tokens_max),
        openapi: openapi::document().into(),
        started: Instant::now(),
        settings,
    };
    routes
        .with_state(Arc::new(shared))
        .layer(from_fn(same_machine))
        .layer(from_fn(linger::linger))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(render))
}
