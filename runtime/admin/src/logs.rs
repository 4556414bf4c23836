//! Logs: the lines a module wrote, as a list or followed as server-sent events.
//!
//! A follower looks at the log a few times a second rather than being told, so that a module that writes without
//! end costs a follower nothing more, and a slow follower holds no queue: it misses lines and sees the gap in `seq`.

use crate::access::Reader;
use crate::modules::found;
use crate::name::Name;
use crate::openapi;
use crate::query::Query;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use crate::wire;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde::Deserialize;
use station_api::{LogLine, LogPage};
use station_kernel::Line;
use station_model::{Code, ModuleName};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

/// As many lines as the station keeps of a module.
const LINES_MAX: usize = 1_000;

/// Which lines to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only lines with a greater number; a follower's `Last-Event-ID` goes before it.
    after: u64,
    /// At most so many of the last ones; 1,000 at most. For a follower: so many to begin with.
    limit: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { after: 0, limit: 100 }
    }
}

/// Shows the last lines of a module; with `Accept: text/event-stream` also those that come.
#[utoipa::path(get, path = "/v1/modules/{name}/logs", tag = "logs", operation_id = "logs",
    params(("name" = String, Path, description = "The module's name"), Wanted),
    responses((status = 200, content((LogPage = "application/json"), (LogLine = "text/event-stream"))), openapi::Problems))]
pub(crate) async fn show(
    _: Reader,
    State(app): State<App>,
    Name(name): Name,
    Query(mut wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response> {
    found(&app, &name)?;
    wanted.limit = wanted.limit.min(LINES_MAX);
    wanted.after = known(&app, &name, last_seen(&headers).unwrap_or(wanted.after));
    match accepts_events(&headers) {
        true => follow(app, name, &wanted),
        false => {
            let lines = app.control.logs(&name, wanted.after, wanted.limit);
            Ok(Json(LogPage { lines: lines.into_iter().map(wire::line).collect() }).into_response())
        }
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn last_seen(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// The number to go on after. One above the newest line is from before a restart, when numbers began anew.
fn known(app: &App, name: &ModuleName, after: u64) -> u64 {
    let newest = app.control.logs(name, 0, 1).last().map_or(0, |line| line.seq);
    if after > newest { 0 } else { after }
}

fn follow(app: App, name: ModuleName, wanted: &Wanted) -> Result<Response> {
    let permit = Arc::clone(&app.streams).try_acquire_owned();
    let permit =
        permit.map_err(|_| Refusal::new(Code::StationBusy, "as many clients follow logs as may; try again later"))?;
    let lines = app.control.logs(&name, wanted.after, wanted.limit).into_iter();
    let keepalive = KeepAlive::new().interval(app.settings.keepalive);
    let follower = Follower { app, name, after: wanted.after, lines, _permit: permit };
    let events = stream::unfold(follower, Follower::next);
    Ok(Sse::new(events).keep_alive(keepalive).into_response())
}

struct Follower {
    app: App,
    name: ModuleName,
    after: u64,
    lines: std::vec::IntoIter<Line>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next line. The stream ends when the module is removed or the station drains.
    async fn next(mut self) -> Option<(std::result::Result<Event, Infallible>, Self)> {
        loop {
            if let Some(line) = self.lines.next() {
                self.after = line.seq;
                let event = Event::default().id(line.seq.to_string()).json_data(wire::line(line)).ok()?;
                return Some((Ok(event), self));
            }
            self.lines = self.app.control.logs(&self.name, self.after, LINES_MAX).into_iter();
            if self.lines.as_slice().is_empty() {
                self.pause().await?;
            }
        }
    }

    async fn pause(&self) -> Option<()> {
        self.app.control.module(&self.name)?;
        tokio::select! {
            () = self.app.drain.cancelled() => None,
            () = tokio::time::sleep(self.app.settings.stream_poll) => Some(()),
        }
    }
}
