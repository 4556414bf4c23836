//! Every refusal is a problem document, whoever refuses.

use super::*;
use fake::Way;
use station_model::{Code, Failure};

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let station = Station::new();
    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "//v1/modules",
        "/v1/../v1/modules",
        "/v1/modules/",
        "/v1/modules/nope",
        "/v1/modules/%2e%2e",
        "/v1/modules/A%20b",
        "/v1/modules/nope/logs",
        "/v1/calls/x",
        "/errors/nothing",
        "/errors/..%2fcall.trap",
    ] {
        station.get(path).await.assert_problem("admin.not_found");
    }
}

#[tokio::test]
async fn a_wrong_method_says_which_is_right() {
    let answer = Station::new().json("PATCH", "/v1/modules/m", "").await;
    answer.assert_problem("admin.bad_request");
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.header("allow").contains("PUT"), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_path_that_is_no_text_is_a_problem() {
    Station::new().get("/v1/modules/%ff%fe").await.assert_problem("admin.bad_request");
}

#[tokio::test]
async fn unknown_members_and_broken_json_are_refused() {
    let station = Station::new();
    for (method, path, body) in [
        ("POST", "/v1/modules/m/call", r#"{"function":"f","arguments":[]}"#),
        ("POST", "/v1/modules/m/call", r#"{"function":"f","args":[],"wave":"()"}"#),
        ("POST", "/v1/modules/m/call", r#"{"function":"f","deadline":"soon"}"#),
        ("POST", "/v1/modules/m/call", r#"{"function":""}"#),
        ("POST", "/v1/modules/m/call", r#"{"function":"f""#),
        ("POST", "/v1/modules/m/call", "null"),
        ("POST", "/v1/modules/m/grants", r#"{"grants":["a:b"],"grant":"x"}"#),
        ("POST", "/v1/modules/m/grants", r#"{"grants":["no such thing"]}"#),
        ("PUT", "/v1/modules/m/links", r#"{"interface":"a:b/c","module":"n","pin":true}"#),
        ("PUT", "/v1/modules/m/limits", r#"{"fule":1}"#),
        ("PUT", "/v1/modules/m/limits", r#"{"fuel":-1}"#),
        ("PUT", "/v1/modules/m/routes", r#"{"routes":[{"pfad":"/"}]}"#),
        ("PUT", "/v1/modules/m/config", r#"{"config":{"a":1}}"#),
        ("POST", "/v1/tokens", r#"{"label":"x","scopes":["root"]}"#),
        ("POST", "/v1/tokens", r#"{"label":"x","scopes":[]}"#),
        ("POST", "/v1/tokens", "{\"label\":\"a\\nb\",\"scopes\":[\"read\"]}"),
        ("GET", "/v1/calls?limits=3", ""),
        ("GET", "/v1/calls?limit=-3", ""),
        ("PUT", "/v1/modules/m?grants=a:b", "m"),
        ("PUT", "/v1/modules/m?link=a:b/c", "m"),
    ] {
        let answer = station.json(method, path, body).await;
        assert_eq!(answer.json()["code"], "admin.bad_request", "{method} {path} {body}");
        answer.assert_problem("admin.bad_request");
    }
}

#[tokio::test]
async fn deep_json_is_refused_not_followed() {
    let body = format!(r#"{{"function":"f","args":[{}{}]}}"#, "[".repeat(10_000), "]".repeat(10_000));
    Station::new().json("POST", "/v1/modules/m/call", &body).await.assert_problem("admin.bad_request");
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let station = Station::with(Settings { body_bytes_max: 100, ..Settings::default() });
    let body = format!(r#"{{"function":"f","wave":"{}"}}"#, "x".repeat(200));
    let answer = station.json("POST", "/v1/modules/m/call", &body).await;
    answer.assert_problem("admin.too_large");
    assert_eq!(answer.json()["limit"]["value"], 100);
}

#[tokio::test]
async fn a_panic_is_a_problem() {
    let station = Station::new();
    station.fake.goes(Way::Panics);
    station.json("POST", "/v1/modules/m/call", r#"{"function":"f"}"#).await.assert_problem("station.internal");
    assert!(station.get("/v1/modules").await.status.is_success());
}

#[tokio::test]
async fn a_problem_names_the_request_and_is_not_kept_by_caches() {
    let answer = Station::new().get("/v1/modules/nope").await;
    assert_eq!(answer.json()["instance"], "/v1/modules/nope");
    assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
}

#[tokio::test]
async fn a_busy_station_says_when_to_come_back() {
    let station = Station::new();
    station.fake.goes(Way::Fails(station_model::Failure::new(station_model::Code::StationBusy, "busy")));
    let answer = station.put("/v1/modules/m", "x").await;
    answer.assert_problem("station.busy");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_a_page() {
    let station = Station::new();
    let kind = station.get("/v1/modules/nope").await.json()["type"].as_str().unwrap().to_owned();
    let page = station.get(&kind).await;
    assert!(page.text.starts_with("# admin.not_found\n") && page.header("content-type").starts_with("text/markdown"));
}

#[tokio::test]
async fn a_draining_station_is_not_ready_but_alive() {
    let station = Station::new();
    assert!(station.get("/readyz").await.status.is_success());
    station.drain.cancel();
    station.get("/readyz").await.assert_problem("station.draining");
    assert!(station.get("/livez").await.status.is_success());
}

#[tokio::test]
async fn a_station_that_cannot_write_any_more_is_not_ready_and_says_why() {
    let station = Station::new();
    let why = "the disk refused to flush the database";
    *station.fake.stopped.lock().unwrap() = Some(Failure::new(Code::StationReadOnly, why));
    let answer = station.get("/readyz").await;
    answer.assert_problem("station.read_only");
    assert_eq!((answer.status.as_u16(), answer.json()["detail"].as_str()), (503, Some(why)));
    assert!(station.get("/livez").await.status.is_success());
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let answer = Station::new().get("/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "station_build_info{version=\"0.1.0\"} 1",
        "station_modules{state=\"ready\"} 1",
        "station_calls_total{module=\"m\",outcome=\"ok\"} 3",
        "station_calls_total{module=\"m\",outcome=\"failed\"} 2",
        "station_fuel_total{module=\"m\"} 700",
        "station_calls_queued 2",
        "station_compiles_total 3",
    ] {
        assert!(answer.text.lines().any(|l| l == line), "{line} is not in\n{}", answer.text);
    }
    assert!(answer.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_message_does_not_grow_with_what_was_sent() {
    let body = format!(r#"{{"{}":1}}"#, "x".repeat(1_000_000));
    let answer = Station::new().json("PUT", "/v1/modules/m/limits", &body).await;
    answer.assert_problem("admin.bad_request");
    assert!(answer.text.len() < 2_000);
}
