//! The settings that are in force, written the way `station.yaml` is.

use crate::units::{Bytes, Count, Millis};
use serde_json::{Map, Value, json};
use station_host::{LaneChoice, ModuleSpec, Route, Settings};
use station_model::{Instances, LimitsPatch, Mode};

/// The document of `station config show`, which `serve --config` reads back as the same settings.
pub(crate) fn document(settings: &Settings) -> Value {
    let mut document = json!({
        "station": { "name": settings.name, "data": settings.data },
        "gateway": { "listen": settings.gateway.to_string() },
        "admin": { "listen": settings.admin.to_string() },
        "limits": {
            "fuel": Count(settings.limits.fuel).to_string(),
            "deadline": Millis(settings.limits.deadline_ms).to_string(),
            "memory": Bytes(settings.limits.memory_bytes).to_string(),
            "instances": settings.limits.instances_max,
        },
        "engine": engine(settings),
        "calls": { "threads": settings.call_threads_max, "queue": settings.queue_max },
        "unit": {
            "write-max": Millis(settings.write_ms_max).to_string(),
            "data": Bytes(settings.sql_bytes_max).to_string(),
            "rows": Count(settings.sql_rows_max).to_string(),
            "checkpoints": settings.checkpoints,
        },
        "upload": { "size": Bytes(settings.upload_bytes_max).to_string() },
        "drain": Millis(settings.drain_ms_max).to_string(),
        "modules": settings.modules.iter().map(|m| (m.name.to_string(), module(m))).collect::<Map<_, _>>(),
    });
    if let (Some(cache), Some(document)) = (&settings.cache, document.as_object_mut()) {
        document.insert("cache".to_owned(), json!({ "dir": cache }));
    }
    document
}

fn engine(settings: &Settings) -> Value {
    let engine = &settings.engine;
    json!({
        "instances": engine.instances_max,
        "memory": Bytes(engine.memory_total_bytes).to_string(),
        "lane": match engine.lane {
            LaneChoice::Raw => "raw",
            LaneChoice::Dynamic => "dynamic",
        },
        "compile": {
            "wall": Millis(engine.compile_wall_ms_max).to_string(),
            "cpu": Millis(engine.compile_cpu_s_max.saturating_mul(1_000)).to_string(),
            "memory": Bytes(engine.compile_memory_bytes).to_string(),
        },
    })
}

/// One module; what is as usual is left out.
fn module(spec: &ModuleSpec) -> Value {
    let links = spec.links.iter().map(|(interface, module)| (interface.to_string(), json!(module)));
    let parts = [
        ("source", json!(spec.source)),
        ("grants", json!(spec.grants)),
        ("grant-all", if spec.grant_all { json!(true) } else { Value::Null }),
        ("links", Value::Object(links.collect())),
        ("limits", limits(&spec.limits)),
        ("instances", instances(&spec.instances)),
        ("routes", Value::Array(spec.routes.iter().map(route).collect())),
        ("config", json!(spec.config)),
    ];
    without_empty(parts)
}

fn limits(patch: &LimitsPatch) -> Value {
    without_empty([
        ("fuel", json!(patch.fuel.map(|v| Count(v).to_string()))),
        ("deadline", json!(patch.deadline_ms.map(|v| Millis(v).to_string()))),
        ("memory", json!(patch.memory_bytes.map(|v| Bytes(v).to_string()))),
        ("instances", json!(patch.instances_max)),
    ])
}

fn instances(instances: &Instances) -> Value {
    match instances.mode {
        Mode::Fresh => Value::Null,
        Mode::Reused => json!({
            "mode": "reused",
            "calls-max": instances.calls_max,
            "idle-max": Millis(instances.idle_ms_max).to_string(),
        }),
    }
}

fn route(route: &Route) -> Value {
    without_empty([("host", json!(route.host)), ("path", json!(route.path))])
}

fn without_empty<const N: usize>(parts: [(&str, Value); N]) -> Value {
    let kept = parts.into_iter().filter(|(_, value)| !is_empty(value));
    Value::Object(kept.map(|(key, value)| (key.to_owned(), value)).collect())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}
