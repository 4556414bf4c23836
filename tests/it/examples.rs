//! The law office, and components that tools made which know nothing of Station. Python and JavaScript take a while to
//! compile, so each is deployed in one test.

use crate::started;
use serde_json::{Value, json};
use station_testkit::Station;

const PY: &str = "deadlines-py";
const JS: &str = "tags-js";

/// `audit`, `dossiers` and `portal`, which serves everything.
fn office() -> Station {
    let station = started();
    station.deploy_all(&["portal", "dossiers", "audit"]);
    let routes = json!({"routes": [{"path": "/"}]});
    assert_eq!(station.request("PUT", "/v1/modules/portal/routes").json(&routes).send().status, 200);
    station
}

#[track_caller]
fn post(station: &Station, path: &str, body: &Value) -> (u16, Value) {
    let answer = station.gateway("POST", path).header("x-actor", "ada").json(body).send();
    (answer.status, answer.json())
}

#[test]
fn a_case_file_is_opened_read_and_closed_through_the_portal_and_the_journal_knows() {
    let mut station = office();
    let (status, opened) = post(&station, "/dossiers", &json!({"title": "Smith", "client": "S.", "kind": "appeal"}));
    assert_eq!(status, 201, "{opened:#}");
    assert_eq!(opened["status"], "open");
    let id = opened["id"].as_str().unwrap().to_owned();
    assert_eq!(station.gateway("GET", &format!("/dossiers/{id}")).send().json()["title"], "Smith");
    let (status, closed) = post(&station, &format!("/dossiers/{id}/close"), &json!({"reason": "settled"}));
    assert_eq!((status, &closed["status"]), (200, &json!("closed")));
    let journal = station.gateway("GET", "/audit").send().json();
    let actions: Vec<_> =
        journal["lines"].as_array().expect("lines").iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["dossier.open", "dossier.close"]);
    assert_eq!(journal["lines"][0]["actor"], "ada");
    assert_eq!(station.gateway("GET", "/audit/verify").send().json(), json!({"lines": 2}));

    let (status, refused) = post(&station, "/dossiers", &json!({"title": "", "client": "", "kind": "x"}));
    assert_eq!(status, 422, "{refused:#}");
    assert_eq!(post(&station, "/dossiers", &json!({"nonsense": 1})).0, 400);
    assert_eq!(station.gateway("GET", "/dossiers/LX-999999").send().status, 404);

    station.kill();
    station.start();
    assert_eq!(station.gateway("GET", "/audit/verify").send().json(), json!({"lines": 2}));
    assert_eq!(station.gateway("GET", "/dossiers").send().json()["dossiers"].as_array().unwrap().len(), 1);
    station.cli(&["rm", "audit"]).ok();
    assert_eq!(station.gateway("GET", "/dossiers").send().status, 503);
}

#[test]
fn three_languages_work_on_one_case_in_one_call() {
    let station = office();
    station.deploy_all(&["intake", JS, PY]);
    let admit = |title: &str| {
        let request = json!([{"title": title, "client": "S.", "kind": "appeal"}, "2026-11-02", "ada"]);
        station.call_json("intake", "lexorbital:intake/desk#admit", request).ok()
    };
    let answer = admit("Urgent appeal against a rent increase");
    let admitted = &answer["result"]["ok"];
    assert_eq!(admitted["warnings"], json!([]), "{answer:#}");
    assert_eq!(admitted["dossier"]["labels"], json!(["appeal", "housing", "urgent"]));
    assert_eq!(admitted["dossier"]["deadline"], "2026-12-02");
    let modules: Vec<_> =
        answer["call"]["frames"].as_array().unwrap().iter().map(|frame| frame["module"].as_str().unwrap()).collect();
    for module in ["intake", JS, PY, "dossiers", "audit"] {
        assert!(modules.contains(&module), "{module} is not in {modules:?}");
    }
    // JavaScript and Python call `dossiers` in their turn.
    let id = admitted["dossier"]["id"].as_str().unwrap();
    let tagged = station.call_json(JS, "lexorbital:tags/tags#add", json!([id, "VIP"])).result();
    assert_eq!(tagged, json!({"ok": ["vip"]}));
    let left = station.call_json(PY, "lexorbital:deadlines/calendar#days-left", json!([id, "2026-12-01"])).result();
    assert_eq!(left, json!({"ok": 1}));
    let unknown =
        station.call_json(PY, "lexorbital:deadlines/calendar#days-left", json!(["LX-999999", "2026-12-01"])).result();
    assert_eq!(unknown, json!({"err": {"unknown-dossier": "LX-999999"}}));
}

#[test]
fn a_javascript_component_is_deployed_as_its_tool_made_it() {
    let mut station = started();
    assert_eq!(station.deploy("js-default")["state"], "ready");
    let call =
        |function: &str, args: Value| station.call_json("js-default", &format!("fixture:js/greeter#{function}"), args);
    assert_eq!(call("greet", json!(["Ada"])).result(), "Hello, Ada, from JavaScript!");
    assert_eq!(
        call("sort-tags", json!([{"name": "n", "tags": ["b", "a"]}])).result(),
        json!({"ok": {"name": "n", "tags": ["a", "b"]}})
    );
    assert_eq!(call("sort-tags", json!([{"name": "", "tags": []}])).result(), json!({"err": "the name is empty"}));
    assert_eq!(call("bytes", json!([[0, 255]])).result(), json!([255, 0]));
    call("throws", json!([])).problem("call.trap");
    assert_eq!(call("greet", json!(["again"])).result(), "Hello, again, from JavaScript!");
    station.is_alive();
}

#[test]
fn a_python_component_is_deployed_as_its_tool_made_it() {
    let mut station = started();
    assert_eq!(station.deploy("py-default")["state"], "ready");
    let call =
        |function: &str, args: Value| station.call_json("py-default", &format!("fixture:py/greeter#{function}"), args);
    assert_eq!(call("greet", json!(["Ada"])).result(), "Hello, Ada, from Python!");
    assert_eq!(
        call("sort-tags", json!([{"name": "n", "tags": ["b", "a"]}])).result(),
        json!({"ok": {"name": "n", "tags": ["a", "b"]}})
    );
    assert_eq!(call("sort-tags", json!([{"name": "", "tags": []}])).result(), json!({"err": "the name is empty"}));
    assert_eq!(call("bytes", json!([[0, 255]])).result(), json!([255, 0]));
    call("raises", json!([])).problem("call.trap");
    station.is_alive();
}
