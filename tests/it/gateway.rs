//! Modules behind the gateway: routes, streaming, failures, and what the public learns.

use crate::started;
use serde_json::{Value, json};
use station_testkit::{Station, until};

/// A station that serves `http-hello` on every path of this host, or of all.
fn serving(route: &Value) -> Station {
    let station = started();
    station.deploy("http-hello");
    route_to(&station, "http-hello", route);
    station
}

#[track_caller]
pub(crate) fn route_to(station: &Station, module: &str, route: &Value) {
    let put = station.request("PUT", &format!("/v1/modules/{module}/routes")).json(&json!({"routes": [route]})).send();
    assert_eq!(put.status, 200, "{}", put.text());
}

/// What is remembered about a call. An answer can be complete before its call has ended.
#[track_caller]
pub(crate) fn record(station: &Station, id: &str) -> Value {
    until("the call to be recorded", || {
        let answer = station.request("GET", &format!("/v1/calls/{id}")).send();
        (answer.status == 200).then(|| answer.json())
    })
}

#[test]
fn a_request_reaches_the_module_of_its_route_and_the_answer_names_the_call() {
    let station = serving(&json!({"path": "/"}));
    let answer = station.gateway("GET", "/").send();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello from http-hello"));
    assert_eq!(answer.header("x-fixture"), Some("http-hello"));
    let id = answer.header("station-call").expect("the call's id").to_owned();
    let record = record(&station, &id);
    assert_eq!((&record["outcome"], &record["principal"]), (&json!("ok"), &json!("gateway")));
    assert_eq!(record["frames"][0]["module"], "http-hello");
    assert_eq!(station.gateway("GET", "/status/418").send().status, 418);
    assert_eq!(station.gateway("GET", "/nothing/here").send().status, 404);
}

#[test]
fn bodies_stream_in_and_out() {
    let station = serving(&json!({"path": "/"}));
    let body = "x".repeat(300_000);
    let answer = station.gateway("POST", "/echo").body(body.clone()).send();
    assert_eq!((answer.status, answer.body.len()), (200, 300_000));
    assert_eq!(answer.text(), body);
    assert_eq!(station.gateway("POST", "/echo").send().text(), "");
    let answer = station.gateway("GET", "/slow-stream").send();
    assert_eq!(answer.text(), "line 0\nline 1\nline 2\nline 3\nline 4\n");
    assert_eq!(station.gateway("GET", "/big/2000").send().body.len(), 2000 * 1024);
}

#[test]
fn the_module_sees_the_request_as_the_client_sent_it() {
    let station = serving(&json!({"path": "/"}));
    let told = station.gateway("PUT", "/headers?a=1&b=%20").header("x-mine", "yes").body("12345").send().text();
    assert!(told.starts_with("Method::Put /headers?a=1&b=%20\n"), "{told}");
    assert!(told.contains("x-mine: yes\n"), "{told}");
    assert!(!told.to_lowercase().contains("authorization"), "{told}");
}

#[test]
fn a_trap_before_the_answer_is_a_problem_that_tells_only_code_and_call() {
    let mut station = serving(&json!({"path": "/"}));
    let answer = station.gateway("GET", "/trap").send();
    let problem = answer.problem(500, "call.trap");
    assert_eq!(problem["call"]["id"].as_str(), answer.header("station-call"));
    assert!(!answer.text().contains("frames") && !answer.text().contains("http-hello"), "{}", answer.text());
    let id = problem["call"]["id"].as_str().unwrap();
    let record = record(&station, id);
    assert_eq!(record["outcome"], "call.trap");
    assert!(station.gateway("GET", "/silent").send().status >= 500);
    assert_eq!(station.gateway("GET", "/").send().status, 200);
    station.is_alive();
}

#[test]
fn a_trap_before_anything_of_the_answer_has_left_is_a_problem() {
    let mut station = serving(&json!({"path": "/"}));
    let answer = station.gateway("GET", "/trap-soon").send();
    let problem = answer.problem(500, "call.trap");
    assert_eq!(record(&station, problem["call"]["id"].as_str().unwrap())["outcome"], "call.trap");
    station.is_alive();
}

#[test]
fn a_complete_answer_says_how_long_it_is() {
    let station = serving(&json!({"path": "/"}));
    assert_eq!(station.gateway("GET", "/").send().header("content-length"), Some("21"));
    assert_eq!(station.gateway("GET", "/slow-stream").send().header("content-length"), None);
}

#[test]
fn a_trap_after_the_answer_began_does_not_end_it_cleanly() {
    let mut station = serving(&json!({"path": "/"}));
    let outcome = station.gateway("GET", "/trap-late").start().answer();
    if let Ok(answer) = outcome {
        assert_eq!(answer.status, 200, "the answer leaves when the module waits: {}", answer.text());
        assert!(!answer.complete, "the body ended as if nothing had happened: {}", answer.text());
    }
    assert_eq!(station.gateway("GET", "/").send().status, 200);
    station.is_alive();
}

#[test]
fn routes_choose_by_host_and_by_the_longest_path() {
    let station = started();
    for (module, route) in
        [("all", json!({"path": "/"})), ("deep", json!({"path": "/a/b"})), ("by-host", json!({"host": "h.example"}))]
    {
        station.deploy_as("http-hello", module);
        route_to(&station, module, &route);
    }
    let served = |path: &str, host: Option<&str>| {
        let request = station.gateway("GET", path);
        let request = match host {
            Some(host) => request.header("host", host),
            None => request,
        };
        let id = request.send().header("station-call").expect("a call").to_owned();
        record(&station, &id)["module"].as_str().unwrap().to_owned()
    };
    assert_eq!(served("/", None), "all");
    assert_eq!(served("/a", None), "all");
    assert_eq!(served("/a/b", None), "deep");
    assert_eq!(served("/a/b/c", None), "deep");
    assert_eq!(served("/a/bc", None), "all");
    assert_eq!(served("/x/../a//b", None), "deep");
    assert_eq!(served("/a/b", Some("h.example")), "by-host");
    assert_eq!(served("/", Some("H.EXAMPLE:80")), "by-host");
    assert_eq!(served("/", Some("x.h.example")), "all");
}

#[test]
fn without_a_route_nobody_is_reached() {
    let station = started();
    station.deploy("http-hello");
    let answer = station.gateway("GET", "/").send();
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.json()["code"].is_string(), "{}", answer.text());
    route_to(&station, "http-hello", &json!({"host": "only.example", "path": "/x"}));
    assert_eq!(station.gateway("GET", "/x").send().status, 404);
    assert_eq!(station.gateway("GET", "/x").header("host", "only.example").send().status, 404, "the guest's own");
    assert!(station.gateway("GET", "/x").header("host", "only.example").send().header("station-call").is_some());
    // The admin API is not behind the gateway.
    assert!(station.gateway("GET", "/v1/modules").token(&station.token()).send().status == 404);
}

#[test]
fn a_module_that_serves_no_http_or_waits_answers_with_a_problem() {
    let station = started();
    station.deploy("plain-echo");
    station.deploy("portal");
    route_to(&station, "portal", &json!({"path": "/"}));
    let answer = station.gateway("GET", "/dossiers").send();
    answer.problem(503, "call.not_ready");
    assert!(answer.header("retry-after").is_some());
    let put =
        station.request("PUT", "/v1/modules/plain-echo/routes").json(&json!({"routes": [{"path": "/echo"}]})).send();
    let reached = station.gateway("GET", "/echo").send();
    assert!(put.status >= 400 || reached.status >= 400, "{}", reached.text());
}
