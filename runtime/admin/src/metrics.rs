//! Metrics in the OpenMetrics text format, made from the kernel's own counters whenever they are asked for.
//!
//! No token is needed: a monitoring system rarely has one, the admin listener is private, and the labels name
//! modules and nothing else. There are at most as many label values as modules.

use crate::access::Anybody;
use crate::openapi;
use crate::refusal::{Refusal, Result};
use crate::router::App;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use station_api::State as Readiness;
use station_kernel::control::{Figures, GraphView, ModuleView};
use station_model::Code;

/// The media type that says which version of the text format this is.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// Shows the metrics.
///
/// Needs no token: the labels name modules and nothing else. Keep the admin listener private.
#[utoipa::path(get, path = "/metrics", tag = "station", operation_id = "metrics", security(()),
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), openapi::Problems))]
pub(crate) async fn show(_: Anybody, State(app): State<App>) -> Result<Response> {
    let mut registry = Registry::with_prefix("station");
    station(&mut registry, app.control.figures(), app.started.elapsed().as_secs());
    modules(&mut registry, &app.control.graph());
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Refusal::new(Code::StationInternal, "the metrics cannot be written"))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

fn station(registry: &mut Registry, figures: Figures, uptime_s: u64) {
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of the station", build);
    gauge(registry, "uptime_seconds", "Seconds since the admin API began to answer", uptime_s);
    gauge(registry, "calls_running", "Root calls that run now", figures.calls_running);
    gauge(registry, "calls_queued", "Root calls that wait for a thread", figures.calls_queued);
    let compiles = Counter::<u64>::default();
    compiles.inc_by(figures.compiles);
    registry.register("compiles", "Components compiled since the start; what the cache has is not", compiles);
    gauge(registry, "call_threads", "Call threads at most", figures.threads_max);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn modules(registry: &mut Registry, graph: &GraphView) {
    let (calls, fuel) = (Family::<Labels, Counter>::default(), Family::<Labels, Counter>::default());
    let (instances, memory) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge>::default());
    for module in &graph.modules {
        count(&calls, &fuel, module);
        level(&instances, module, module.instances);
        level(&memory, module, module.memory_bytes);
    }
    let states = Family::<Labels, Gauge>::default();
    for state in [Readiness::Ready, Readiness::Waiting, Readiness::Broken] {
        let count = graph.modules.iter().filter(|module| crate::wire::state(&module.health) == state).count();
        let labels = vec![("state", state.as_str().to_owned())];
        states.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("modules", "Modules by state", states);
    registry.register("calls", "Root calls and nested calls by module and outcome", calls);
    registry.register("fuel", "Fuel used by module", fuel);
    registry.register("instances", "Instances that exist now, idle ones included, by module", instances);
    registry.register("instance_memory_bytes", "Memory of these instances, by module", memory);
}

fn count(calls: &Family<Labels, Counter>, fuel: &Family<Labels, Counter>, module: &ModuleView) {
    let name = ("module", module.name.to_string());
    for (outcome, number) in [("ok", module.calls.saturating_sub(module.failures)), ("failed", module.failures)] {
        let labels = vec![name.clone(), ("outcome", outcome.to_owned())];
        calls.get_or_create(&labels).inc_by(number);
    }
    fuel.get_or_create(&vec![name]).inc_by(module.fuel);
}

fn level(family: &Family<Labels, Gauge>, module: &ModuleView, value: u64) {
    let labels = vec![("module", module.name.to_string())];
    family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
}
