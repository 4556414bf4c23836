//! The admin API and the command line: who may do what, what a refusal looks like, and that every answer is one document.

use crate::text::{API, RUN, answering, relaying};
use crate::{secret_of, started, station};
use serde_json::{Value, json};
use station_testkit::{Station, WAIT_S_MAX, guest, http::Request, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The secret of a new token.
fn token(station: &Station, scope: &str) -> String {
    let made = station.cli(&["token", "create", "--label", scope, "--scope", scope]).ok();
    made["secret"].as_str().unwrap().to_owned()
}

/// A problem document with everything that belongs to every one.
#[track_caller]
fn is_problem(problem: &Value) {
    let code = problem["code"].as_str().unwrap_or_else(|| panic!("no code: {problem:#}"));
    // A code of the client's own has no page on the station.
    let page = if code.starts_with("client.") { "about:blank".to_owned() } else { format!("/errors/{code}") };
    assert_eq!(problem["type"], page);
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem:#}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem:#}");
    assert!(problem["status"].as_u64().is_some_and(|status| (400..600).contains(&status)), "{problem:#}");
    assert!(problem["retryable"].is_boolean(), "{problem:#}");
}

#[test]
fn without_a_valid_token_nothing_is_answered() {
    let station = started();
    let admin = &station.ready().admin;
    let good = station.token();
    let wrong = format!("{}x", &good[..good.len() - 1]);
    let requests = [
        ("no token", Request::new(admin, "GET", "/v1/modules")),
        ("wrong secret", Request::new(admin, "GET", "/v1/modules").token(&wrong)),
        ("nonsense", Request::new(admin, "GET", "/v1/modules").token("nonsense")),
        ("empty", Request::new(admin, "GET", "/v1/modules").token("")),
        ("another scheme", Request::new(admin, "GET", "/v1/modules").header("authorization", &format!("Basic {good}"))),
        ("twice", Request::new(admin, "GET", "/v1/modules").token(&good).token(&good)),
        ("in the query", Request::new(admin, "GET", &format!("/v1/modules?token={good}"))),
        ("an upload", Request::new(admin, "PUT", "/v1/modules/m").body(answering(1))),
        ("a call", Request::new(admin, "POST", "/v1/modules/m/call").json(&json!({"function": "f"}))),
    ];
    for (what, request) in requests {
        let answer = request.send();
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        is_problem(&answer.problem(401, "admin.unauthenticated"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
    }
    station.cli_as(&wrong, &["ls"]).problem("admin.unauthenticated");
    station.cli_as(&good, &["ls"]).ok();
    assert!(!station.stderr().contains(&wrong), "a token was logged");
}

#[test]
fn a_token_does_what_its_scope_says_and_no_more() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    let file = station.folder().join("relay.wasm");
    std::fs::write(&file, relaying(API)).unwrap();
    let file = file.to_str().unwrap();
    let (read, deploy, admin) = (token(&station, "read"), token(&station, "deploy"), token(&station, "admin"));

    for verb in [&["ls"][..], &["show", "alpha"], &["graph"], &["trace"], &["logs", "alpha"], &["versions", "alpha"]] {
        for secret in [&read, &deploy, &admin] {
            station.cli_as(secret, verb).ok();
        }
    }
    let deploys = [&["deploy", file, "--name", "relay"][..], &["call", "alpha", RUN, "(0)"]];
    for verb in deploys {
        station.cli_as(&read, verb).problem("admin.forbidden");
        station.cli_as(&deploy, verb).ok();
        station.cli_as(&admin, verb).ok();
    }
    let link = format!("{API}=alpha");
    let admins = [
        &["deploy", file, "--name", "relay2", "--grant-all"][..],
        &["deploy", file, "--name", "relay2", "--grant", "probe:probe"],
        &["deploy", file, "--name", "relay2", "--link", &link],
        &["grant", "relay", "probe:probe"],
        &["link", "relay", &link],
        &["revoke", "relay", "probe:probe"],
        &["token", "create", "--label", "x", "--scope", "read"],
        &["rm", "relay"],
    ];
    for verb in admins {
        for secret in [&read, &deploy] {
            is_problem(&station.cli_as(secret, verb).problem("admin.forbidden"));
        }
        station.cli_as(&admin, verb).ok();
    }
    for path in ["limits", "routes", "config"] {
        let put = |secret: &str| {
            Request::new(&station.ready().admin, "PUT", &format!("/v1/modules/alpha/{path}")).token(secret)
        };
        put(&deploy).json(&json!({})).send().problem(403, "admin.forbidden");
    }
}

#[test]
fn a_refused_upload_with_a_grant_leaves_no_module() {
    let station = started();
    let deploy = token(&station, "deploy");
    let file = station.folder().join("alpha.wasm");
    std::fs::write(&file, answering(1)).unwrap();
    let args = ["deploy", file.to_str().unwrap(), "--name", "alpha", "--grant-all"];
    station.cli_as(&deploy, &args).problem("admin.forbidden");
    station.cli(&["show", "alpha"]).problem("admin.not_found");
}

#[test]
fn a_revoked_token_is_worth_nothing_at_once() {
    let station = started();
    let made = station.cli(&["token", "create", "--label", "short", "--scope", "admin"]).ok();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(station.cli(&["token", "ls"]).ok().to_string().contains(id));
    assert!(!station.cli(&["token", "ls"]).ok().to_string().contains(secret_of(secret)));
    station.cli_as(secret, &["ls"]).ok();
    station.cli(&["token", "revoke", id]).ok();
    station.cli_as(secret, &["ls"]).problem("admin.unauthenticated");
    station.cli(&["token", "revoke", id]).problem("admin.not_found");
    station.cli_as(&station.token(), &["ls"]).ok();
}

#[test]
fn health_and_the_description_need_no_token() {
    let station = started();
    let ask = |path: &str| Request::new(&station.ready().admin, "GET", path).send();
    assert_eq!((ask("/livez").status, ask("/readyz").status), (200, 200));
    let openapi = ask("/openapi.json").json();
    assert_eq!(openapi["openapi"], "3.1.0");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    assert_eq!(openapi, golden, "run `cargo xtask golden`");
    let metrics = ask("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"), "{}", metrics.text());
}

#[test]
fn every_refusal_is_a_problem_document_with_a_page_about_its_code() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    let call = |body: Value| station.request("POST", "/v1/modules/alpha/call").json(&body);
    let cases = [
        (station.request("GET", "/"), 404, "admin.not_found"),
        (station.request("GET", "/v1/nothing"), 404, "admin.not_found"),
        (station.request("GET", "/v1/modules/nobody"), 404, "admin.not_found"),
        (station.request("GET", "/v1/modules/UPPER"), 404, "admin.not_found"),
        (station.request("GET", "/v1/modules/../../etc/passwd"), 404, "admin.not_found"),
        (station.request("GET", "/v1/modules/%2e%2e"), 404, "admin.not_found"),
        (station.request("GET", "/v1/calls/nonsense"), 404, "admin.not_found"),
        (station.request("PATCH", "/v1/modules"), 405, "admin.bad_request"),
        (station.request("DELETE", "/v1/modules/nobody"), 404, "admin.not_found"),
        (
            station.request("PUT", "/v1/modules/-bad-").header("content-type", "application/wasm"),
            422,
            "upload.bad_name",
        ),
        (call(json!({"function": "nothing"})), 404, "call.no_such_function"),
        (call(json!({"function": RUN, "args": [1], "wave": "(1)"})), 400, "admin.bad_request"),
        (call(json!({"function": RUN, "unknown": 1})), 400, "admin.bad_request"),
        (call(json!([])), 400, "admin.bad_request"),
        (
            station.request("POST", "/v1/modules/alpha/call").header("content-type", "application/json").body("{"),
            400,
            "admin.bad_request",
        ),
        (
            station.request("POST", "/v1/modules/nobody/call").json(&json!({"function": RUN})),
            404,
            "call.no_such_module",
        ),
    ];
    for (request, status, code) in cases {
        let problem = request.send().problem(status, code);
        is_problem(&problem);
        assert_eq!(problem["status"], status);
        assert!(problem["instance"].as_str().is_some(), "{problem:#}");
        let page = Request::new(&station.ready().admin, "GET", problem["type"].as_str().unwrap()).send();
        assert_eq!(page.status, 200);
        assert!(page.text().starts_with(&format!("# {code}")), "{}", page.text());
    }
}

#[test]
fn every_verb_prints_one_json_document_for_success_and_for_failure() {
    let station = started();
    let file = station.folder().join("alpha.wasm");
    std::fs::write(&file, answering(1)).unwrap();
    let file = file.to_str().unwrap();
    let link = format!("{API}=alpha");
    station.upload("relay", &relaying(API)).ok();
    let good = [
        &["deploy", file, "--name", "alpha"][..],
        &["ls"],
        &["show", "alpha"],
        &["versions", "alpha"],
        &["call", "alpha", RUN, "(0)"],
        &["grant", "relay", "probe:x"],
        &["revoke", "relay", "probe:x"],
        &["link", "relay", &link],
        &["logs", "alpha"],
        &["trace"],
        &["graph"],
        &["token", "ls"],
        &["token", "create", "--label", "x", "--scope", "read"],
        &["rm", "alpha"],
    ];
    for verb in good {
        assert!(station.cli(verb).ok().is_object(), "{verb:?}");
    }
    let bad = [
        &["deploy", "/nowhere.wasm", "--name", "alpha"][..],
        &["deploy", file, "--name", "Not A Name"],
        &["show", "nobody"],
        &["versions", "nobody"],
        &["call", "nobody", RUN, "(0)"],
        &["grant", "nobody", "probe:x"],
        &["revoke", "nobody", "probe:x"],
        &["link", "nobody", &link],
        &["logs", "nobody"],
        &["trace", "call-00000000000000000000000000000000"],
        &["token", "revoke", "nobody"],
        &["rm", "nobody"],
    ];
    for verb in bad {
        let run = station.cli(verb);
        assert_eq!(run.code, 1, "{run:#?}");
        is_problem(&run.json());
        let run = station.cli_as("wrong", verb);
        assert_eq!(run.code, 1, "{run:#?}");
        is_problem(&run.json());
    }
}

#[test]
fn a_client_that_reaches_nobody_says_so_in_one_document() {
    let mut station = started();
    let token = station.token();
    station.kill();
    let run = station.cli_as(&token, &["ls"]);
    assert_eq!(run.code, 1);
    let problem = run.json();
    assert!(problem["code"].as_str().unwrap().starts_with("client."), "{problem:#}");
    let run = station.text(&["ls", "--nonsense"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:#?}");
}

#[test]
fn the_same_bytes_twice_are_one_revision() {
    let station = started();
    let first = station.upload("alpha", &answering(1)).ok();
    let again = station.upload("alpha", &answering(1)).ok();
    assert_eq!((&first["changed"], &again["changed"]), (&json!(true), &json!(false)));
    assert_eq!(first["digest"], again["digest"]);
    let versions = |module: &str| station.get(&format!("/v1/modules/{module}/versions"))["versions"].clone();
    assert_eq!(versions("alpha").as_array().unwrap().len(), 1);
    station.upload("alpha", &answering(2)).ok();
    let both = versions("alpha");
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!((&both[0]["active"], &both[1]["active"]), (&json!(true), &json!(false)));
    // An older revision's bytes make it active again.
    station.upload("alpha", &answering(1)).ok();
    assert_eq!(station.show("alpha")["digest"], first["digest"]);
    assert_eq!(station.call("alpha", RUN, "(0)").result(), json!(1));
    assert_eq!(versions("alpha").as_array().unwrap().len(), 2);
}

#[test]
fn the_same_upload_by_many_at_once_makes_one_revision() {
    let station = started();
    let bytes = answering(5);
    std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..8).map(|_| scope.spawn(|| station.upload("alpha", &bytes))).collect();
        for upload in uploads {
            let run = upload.join().unwrap();
            let code = run.json()["code"].as_str().map(str::to_owned);
            assert!(run.code == 0 || matches!(code.as_deref(), Some("upload.conflict" | "station.busy")), "{run:#?}");
        }
    });
    assert_eq!(station.call("alpha", RUN, "(0)").result(), json!(5));
    assert_eq!(station.get("/v1/modules/alpha/versions")["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_removed_module_is_gone_with_all_its_files() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    station.cli(&["rm", "alpha"]).ok();
    station.cli(&["show", "alpha"]).problem("admin.not_found");
    station.cli(&["rm", "alpha"]).problem("admin.not_found");
    station.call("alpha", RUN, "(0)").problem("call.no_such_module");
    assert_eq!(station.get("/v1/modules")["modules"], json!([]));
    let artifacts = || std::fs::read_dir(station.data().join("artifacts")).unwrap().count();
    until("the file to be removed", || (artifacts() == 0).then_some(()));
    assert_eq!(station.upload("alpha", &answering(1)).ok()["changed"], true);
}

#[test]
fn a_client_that_goes_away_ends_its_call() {
    let mut station = station().config("limits: { deadline: 1m }").start();
    station.deploy("time-sleep");
    let body = json!({"function": "fixture:time-sleep/time#sleep", "wave": "(50000)"});
    let exchange = station.request("POST", "/v1/modules/time-sleep/call").json(&body).start();
    until("the call to run", || (station.running() == 1).then_some(()));
    drop(exchange);
    let record = until("the call to end", || {
        let calls = station.get("/v1/calls");
        calls["calls"].as_array().unwrap().first().cloned()
    });
    assert_eq!(record["outcome"], "call.cancelled", "{record:#}");
    assert!(record["duration_us"].as_u64().unwrap() < 20_000_000, "{record:#}");
    assert_eq!(station.running(), 0);
    station.is_alive();
}

#[test]
fn a_client_that_goes_away_ends_a_loop_as_well() {
    let mut station = station().config("limits: { deadline: 1m, fuel: 9_000_000_000_000 }").start();
    station.deploy("fail-callee");
    let body = json!({"function": "fixture:fail/callee#loop-forever", "wave": "()"});
    let exchange = station.request("POST", "/v1/modules/fail-callee/call").json(&body).start();
    until("the call to run", || (station.running() == 1).then_some(()));
    drop(exchange);
    until("the call to end", || (station.running() == 0).then_some(()));
    assert_eq!(station.get("/v1/calls")["calls"][0]["outcome"], "call.cancelled");
    station.is_alive();
}

#[test]
fn deploying_says_how_far_it_is_and_what_is_next() {
    let station = started();
    let echo = guest("plain-relay").display().to_string();
    let run = station.text(&["deploy", &echo, "--name", "plain-relay"]);
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stderr.contains("upload") && run.stderr.contains("compil"), "{}", run.stderr);
    assert!(run.stderr.contains("fixture:plain/echo@1.0.0") && run.stderr.contains("no_provider"), "{}", run.stderr);
    assert_eq!(run.stdout.trim(), station.show("plain-relay")["digest"].as_str().unwrap());
}

#[test]
fn every_change_is_in_the_audit_log_with_who_made_it() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    station.cli(&["grant", "alpha", "probe:x"]).ok();
    station.cli(&["rm", "alpha"]).ok();
    let entries = station.get("/v1/audit")["entries"].clone();
    let actions: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["subject"] == "alpha")
        .map(|e| e["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions.len(), 3, "{entries:#}");
    assert!(actions.contains(&"deploy") && actions.contains(&"grant"), "{actions:?}");
    assert!(entries.as_array().unwrap().iter().all(|e| e["principal"].as_str().is_some_and(|who| !who.is_empty())));
}

#[test]
fn a_command_line_that_is_not_understood_is_a_document_for_who_asked_for_json() {
    let station = started();
    for args in [&["ls", "--nonsense"][..], &["call"], &["nonsense"], &["logs", "m", "--limit", "x"]] {
        let run = station.cli(args);
        assert_eq!((run.code, run.json()["code"].as_str()), (2, Some("admin.bad_request")), "{run:#?}");
        assert_eq!(run.stderr, "", "everything is in the document");
        let detail = run.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("--help") && !detail.contains('\u{1b}'), "{detail}");
        let run = station.text(args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:#?}");
        assert!(run.stderr.starts_with("error: "), "{run:#?}");
    }
    let help = station.cli(&["ls", "--help"]);
    assert!(help.code == 0 && help.stdout.contains("Usage"), "{help:#?}");
}

/// A page of another site can have its name lead to this machine.
#[test]
fn without_a_token_the_admin_api_answers_to_no_foreign_name() {
    let station = started();
    let ask = |host: &str| Request::new(&station.ready().admin, "GET", "/metrics").header("host", host).send();
    ask("evil.example:8081").problem(403, "admin.forbidden");
    assert_eq!(ask("localhost:8081").status, 200);
    assert_eq!(station.request("GET", "/metrics").header("host", "metrics.example").send().status, 200, "with a token");
}

/// hyper writes this answer and asks nobody; docs/decisions/0013 says why it is left so.
#[test]
fn a_head_that_cannot_be_parsed_has_an_empty_answer() {
    let mut station = started();
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    for address in [&station.ready().admin, &station.ready().gateway] {
        for (head, status) in [
            ("GET /\u{1} HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), "400"),
            ("GET / HTTP/1.1\r\nhost localhost\r\n\r\n".to_owned(), "400"),
            (format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), "431"),
        ] {
            let answer = raw(address, &head);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.ends_with("\r\n\r\n"), "hyper writes a body now: {answer}");
        }
    }
    station.is_alive();
}

/// Sends these bytes and reads until the other side closes.
fn raw(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(WAIT_S_MAX))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
