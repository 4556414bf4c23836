//! What the host offers: key-value, logging, configuration, clocks, random, the kernel's word about a call, HTTP out.

use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::Station;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Calls a function of `fixture:kv/kv`.
#[track_caller]
fn kv(station: &Station, module: &str, function: &str, args: Value) -> Value {
    station.call_json(module, &format!("fixture:kv/kv#{function}"), args).result()
}

#[test]
fn both_spellings_of_key_value_do_the_same() {
    let station = started();
    for module in ["kv-draft", "kv-draft2"] {
        station.deploy_all(&[module]);
        let kv = |function: &str, args: Value| kv(&station, module, function, args);
        assert_eq!(kv("get", json!(["b", "k"])), json!({"ok": null}));
        assert_eq!(kv("set", json!(["b", "k", "v ☃"])), json!({"ok": null}));
        assert_eq!(kv("get", json!(["b", "k"])), json!({"ok": "v ☃"}));
        assert_eq!(kv("get", json!(["other", "k"])), json!({"ok": null}), "buckets are apart");
        assert_eq!(kv("exists", json!(["b", "k"])), json!({"ok": true}));
        assert_eq!(kv("delete", json!(["b", "k"])), json!({"ok": null}));
        assert_eq!(kv("exists", json!(["b", "k"])), json!({"ok": false}));
        assert_eq!(kv("increment", json!(["b", "n", 5])), json!({"ok": 5}));
        assert_eq!(kv("increment", json!(["b", "n", 2])), json!({"ok": 7}));
        assert_eq!(kv("set-many", json!(["m", [["a", "1"], ["b", "2"], ["c", "3"]]])), json!({"ok": null}));
        assert_eq!(kv("get-many", json!(["m", ["a", "x", "c"]])), json!({"ok": ["1", null, "3"]}));
        assert_eq!(kv("delete-many", json!(["m", ["a", "x"]])), json!({"ok": null}));
        assert_eq!(kv("list-all", json!(["m"])), json!({"ok": ["b", "c"]}));
        let many: Vec<_> = (0..2_500).map(|n| json!([format!("k{n:04}"), "v"])).collect();
        for part in many.chunks(500) {
            assert_eq!(kv("set-many", json!(["many", part])), json!({"ok": null}));
        }
        assert_eq!(kv("list-all", json!(["many"]))["ok"].as_array().unwrap().len(), 2_500, "{module} pages");
    }
}

#[test]
fn a_swap_fails_when_the_value_changed_meanwhile() {
    let station = started();
    station.deploy_all(&["kv-draft2"]);
    let swap = |function: &str, args: Value| {
        station.call_json("kv-draft2", &format!("fixture:kv/swap#{function}"), args).result()
    };
    assert_eq!(swap("compare-and-swap", json!(["b", "k", null, "one"])), json!({"ok": true}));
    assert_eq!(swap("compare-and-swap", json!(["b", "k", "two", "three"])), json!({"ok": false}));
    assert_eq!(swap("compare-and-swap", json!(["b", "k", "one", "two"])), json!({"ok": true}));
    assert_eq!(swap("lost-swap", json!(["b", "k"])), json!({"ok": false}));
    assert_eq!(kv(&station, "kv-draft2", "get", json!(["b", "k"])), json!({"ok": "meanwhile"}));
}

#[test]
fn key_value_needs_a_grant() {
    let station = started();
    station.deploy_with("kv-draft", "kv-draft", &[]).ok();
    assert!(station.waits_for("kv-draft").contains("wasi:keyvalue/store@0.2.0-draft: not_granted"));
    station.call("kv-draft", "fixture:kv/kv#list-all", r#"("b")"#).problem("call.not_ready");
    station.cli(&["grant", "kv-draft", "wasi:keyvalue"]).ok();
    assert_eq!(kv(&station, "kv-draft", "set", json!(["b", "k", "v"])), json!({"ok": null}));
}

#[test]
fn key_value_survives_stop_and_kill_and_belongs_to_one_module() {
    let mut station = started();
    station.deploy_as("kv-draft", "one");
    station.deploy_as("kv-draft", "two");
    kv(&station, "one", "set", json!(["b", "k", "of one"]));
    kv(&station, "two", "set", json!(["b", "only-two", "x"]));
    station.kill();
    station.start();
    assert_eq!(kv(&station, "one", "get", json!(["b", "k"])), json!({"ok": "of one"}));
    assert_eq!(kv(&station, "two", "get", json!(["b", "k"])), json!({"ok": null}));
    assert_eq!(kv(&station, "one", "list-all", json!(["b"])), json!({"ok": ["k"]}));
    assert_eq!(station.stop(), Some(0));
    station.start();
    assert_eq!(kv(&station, "one", "get", json!(["b", "k"])), json!({"ok": "of one"}));
    // Removed with everything that is remembered about it.
    station.cli(&["rm", "one"]).ok();
    station.deploy_as("kv-draft", "one");
    assert_eq!(kv(&station, "one", "get", json!(["b", "k"])), json!({"ok": null}));
    assert_eq!(kv(&station, "two", "get", json!(["b", "only-two"])), json!({"ok": "x"}));
}

#[test]
fn a_call_that_fails_has_written_nothing() {
    let station = started();
    for module in ["kv-draft", "kv-draft2"] {
        station.deploy_all(&[module]);
        station.call_json(module, "fixture:kv/kv#set-then-trap", json!(["b", "trap", "v"])).problem("call.trap");
        assert_eq!(kv(&station, module, "get", json!(["b", "trap"])), json!({"ok": null}));
        assert_eq!(kv(&station, module, "set-then-err", json!(["b", "err", "v"])), json!({"err": "on purpose"}));
        assert_eq!(kv(&station, module, "get", json!(["b", "err"])), json!({"ok": null}));
        assert_eq!(kv(&station, module, "set", json!(["b", "err", "w"])), json!({"ok": null}));
        assert_eq!(kv(&station, module, "set-then-err", json!(["b", "err", "v"])), json!({"err": "on purpose"}));
        assert_eq!(kv(&station, module, "get", json!(["b", "err"])), json!({"ok": "w"}), "the value from before");
    }
}

/// `level: text` of the lines in a module's log.
fn log(station: &Station, module: &str) -> Vec<String> {
    let lines = station.cli(&["logs", module]).ok()["lines"].clone();
    let line = |line: &Value| format!("{}: {}", line["level"].as_str().unwrap(), line["text"].as_str().unwrap());
    lines.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn what_a_module_logs_and_prints_is_in_its_log() {
    let station = started();
    station.deploy("log-config");
    let answer = station.call("log-config", "fixture:log-config/log-config#run", "()").ok();
    let lines = log(&station, "log-config");
    for level in ["trace", "debug", "info", "warn", "error", "critical"] {
        let found = lines.iter().any(|line| {
            line.starts_with(&format!("{level}: ")) && line.to_lowercase().contains(&format!("level level::{level}"))
        });
        assert!(found, "no line of level {level}: {lines:#?}");
    }
    assert!(
        lines.contains(&"stdout: to stdout".to_owned()) && lines.contains(&"stderr: to stderr".to_owned()),
        "{lines:#?}"
    );
    let first = &station.cli(&["logs", "log-config", "--limit", "1"]).ok()["lines"][0];
    assert_eq!(first["call"], answer["call"]["id"]);
    assert!(station.text(&["logs", "log-config"]).stdout.contains("to stdout"));
}

#[test]
fn a_flood_of_log_is_cut_and_the_station_goes_on() {
    let mut station = started();
    station.deploy("log-config");
    for function in ["flood", "flood-stdout"] {
        let path = format!("fixture:log-config/log-config#{function}");
        station.call("log-config", &path, "(100000, 20)").json();
        station.call("log-config", &path, "(10, 20000)").json();
    }
    let answer = station.request("GET", "/v1/modules/log-config/logs?limit=1000").send();
    let lines = answer.json()["lines"].as_array().unwrap().len();
    assert!((1..=1000).contains(&lines), "{lines} lines");
    assert!(answer.body.len() < 16 << 20, "{} bytes of log", answer.body.len());
    station.is_alive();
}

#[test]
fn configuration_is_what_the_operator_says_and_nothing_else() {
    let station = started();
    station.deploy("log-config");
    let get = |key: &str| station.call_json("log-config", "fixture:log-config/log-config#get", json!([key])).result();
    assert_eq!(get("greeting"), json!({"ok": null}));
    let put = station
        .request("PUT", "/v1/modules/log-config/config")
        .json(&json!({"config": {"greeting": "hello", "b": "2"}}));
    assert_eq!(put.send().status, 200);
    assert_eq!(get("greeting"), json!({"ok": "hello"}));
    assert_eq!(get("PATH"), json!({"ok": null}));
    let all = station.call("log-config", "fixture:log-config/log-config#run", "()").result();
    let mut all: Vec<_> = all.as_str().unwrap().lines().collect();
    all.sort_unstable();
    assert_eq!(all, ["b=2", "greeting=hello"]);
    assert!(!station.show("log-config").to_string().contains("hello"), "a value is shown");
}

#[test]
fn configuration_in_the_file_is_there_when_the_module_comes_later() {
    let station = station().config("modules:\n  log-config:\n    config: { greeting: early }").start();
    station.deploy("log-config");
    let got = station.call("log-config", "fixture:log-config/log-config#get", r#"("greeting")"#).result();
    assert_eq!(got, json!({"ok": "early"}));
}

#[test]
fn the_kernel_says_who_called_and_what_is_left() {
    let station = started();
    station.deploy_all(&["kernel-context", "kernel-asker"]);
    let answer = station.call("kernel-context", "fixture:kernel/who#whoami", "()").ok();
    let id = answer["call"]["id"].as_str().unwrap();
    assert_eq!(answer["result"], format!("module=- principal=admin:root call={id}"));
    let answer = station.call("kernel-asker", "fixture:kernel/asker#ask", "()").ok();
    let id = answer["call"]["id"].as_str().unwrap();
    assert_eq!(answer["result"], format!("module=kernel-asker principal=admin:root call={id}"));

    let left = station.call("kernel-context", "fixture:kernel/who#budget-all", "()").result();
    assert!((199_000_000..200_000_000).contains(&left[0].as_u64().unwrap()), "fuel: {left}");
    assert!((1_000_000..5_000_000).contains(&left[1].as_u64().unwrap()), "time: {left}");
    let body = json!({"function": "fixture:kernel/asker#ask-budget", "fuel": 5_000_000});
    let nested = station.call_with("kernel-asker", body).result().as_u64().unwrap();
    assert!((3_000_000..5_000_000).contains(&nested), "a callee has {nested} of its caller's 5,000,000");
    let depth = station.call("kernel-asker", "fixture:kernel/asker#ask-depth", "()").result();
    assert_eq!(depth[0].as_u64().unwrap(), depth[1].as_u64().unwrap() + 1, "{depth}");
}

#[test]
fn memory_lives_as_long_as_the_call_tree() {
    let station = started();
    station.deploy_all(&["state-counter", "state-caller"]);
    for _ in 0..2 {
        assert_eq!(station.call("state-counter", "fixture:state/counter#bump", "()").result(), json!(1));
        assert_eq!(station.call("state-caller", "fixture:state/caller#bump-twice", "()").result(), json!([1, 2]));
    }
}

#[test]
fn clocks_and_random_are_there_for_everybody_within_bounds() {
    let mut station = started();
    station.deploy_with("time-sleep", "time-sleep", &[]).ok();
    assert_eq!(station.state("time-sleep"), "ready");
    let call =
        |function: &str, args: &str| station.call("time-sleep", &format!("fixture:time-sleep/time#{function}"), args);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let told = call("now", "()").result().as_u64().unwrap();
    assert!(told.abs_diff(now) < 60_000, "{told} is not {now}");
    let (one, two) = (call("random", "(32)").result(), call("random", "(32)").result());
    assert_eq!(one.as_array().unwrap().len(), 32);
    assert_ne!(one, two);
    let problem = call("random", "(4000000000)").json();
    assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("call.")), "{problem:#}");
    station.is_alive();
}

/// A web server for a test: answers every request in the same way, and says what it was asked.
fn web(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = tell.send(whole_request(&mut stream));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, told)
}

/// A request to the end of its body, which is chunked when there is one.
fn whole_request(stream: &mut TcpStream) -> String {
    let (mut asked, mut bytes) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut bytes).unwrap_or(0);
        asked += &String::from_utf8_lossy(&bytes[..read]);
        let end = if asked.contains("chunked") { "\r\n0\r\n\r\n" } else { "\r\n\r\n" };
        if read == 0 || asked.ends_with(end) {
            return asked;
        }
    }
}

#[test]
fn http_goes_out_only_to_what_was_granted() {
    let mut station = started();
    let (port, asked) = web("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    let (other, other_asked) = web("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret");
    station.deploy_with("http-out", "http-out", &[]).ok();
    assert_eq!(station.state("http-out"), "ready", "no host is granted, but the interface is there");
    let fetch = |url: String| station.call_json("http-out", "fixture:http-out/out#fetch", json!([url])).result();
    let denied = |url: String| {
        let answer = fetch(url.clone());
        assert!(answer["err"].as_str().is_some_and(|why| why.contains("HttpRequestDenied")), "{url}: {answer}");
    };
    denied(format!("http://127.0.0.1:{port}/"));
    denied("http://169.254.169.254/latest/meta-data".to_owned());
    assert!(asked.try_recv().is_err(), "somebody connected without a grant");

    station.cli(&["grant", "http-out", &format!("http://127.0.0.1:{port}")]).ok();
    assert_eq!(fetch(format!("http://127.0.0.1:{port}/path?q=1")), json!({"ok": "200 hello"}));
    assert!(asked.recv().unwrap().starts_with("GET /path?q=1 HTTP/1.1"));
    for url in [
        format!("http://127.0.0.1:{other}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}@evil.example/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://127.0.0.1/".to_owned(),
        "http://0.0.0.0/".to_owned(),
        "http://[::1]/".to_owned(),
    ] {
        let answer = fetch(url.clone());
        assert!(answer["err"].as_str().is_some(), "{url}: {answer}");
    }
    assert!(asked.try_recv().is_err() && other_asked.try_recv().is_err(), "somebody connected without a grant");
    let posted = station.call_json(
        "http-out",
        "fixture:http-out/out#post",
        json!([format!("http://127.0.0.1:{port}/"), "body"]),
    );
    assert_eq!(posted.result(), json!({"ok": "200 hello"}));
    let post = asked.recv().unwrap();
    assert!(post.starts_with("POST / HTTP/1.1") && post.contains("body"), "{post}");
    station.cli(&["revoke", "http-out", &format!("http://127.0.0.1:{port}")]).ok();
    denied(format!("http://127.0.0.1:{port}/"));
    station.is_alive();
}

#[test]
fn a_granted_name_does_not_lead_to_a_private_address() {
    let station = started();
    let (port, asked) = web("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
    station.deploy_with("http-out", "http-out", &["--grant", &format!("http://*.localhost:{port}")]).ok();
    let answer =
        station.call_json("http-out", "fixture:http-out/out#fetch", json!([format!("http://a.localhost:{port}/")]));
    assert!(answer.result()["err"].as_str().is_some(), "{}", answer.stdout);
    assert!(asked.try_recv().is_err(), "a wildcard led to this machine");
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let station = started();
    let (port, asked) = web(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngone",
    );
    let origin = format!("http://127.0.0.1:{port}");
    station.deploy_with("http-out", "http-out", &["--grant", &origin]).ok();
    let answer = station.call_json("http-out", "fixture:http-out/out#fetch", json!([format!("{origin}/a")])).result();
    assert_eq!(answer, json!({"ok": "302 gone"}));
    assert!(asked.recv().unwrap().starts_with("GET /a "));
}

#[test]
fn a_host_that_never_answers_costs_no_more_than_the_deadline() {
    let mut station = started();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    station.deploy_with("http-out", "http-out", &["--grant", &origin]).ok();
    let start = std::time::Instant::now();
    let body = json!({"function": "fixture:http-out/out#fetch", "args": [origin], "deadline": "500ms"});
    let answer = station.call_with("http-out", body).json();
    assert!(start.elapsed().as_secs() < 5, "it took {:?}", start.elapsed());
    assert!(answer["code"] == "call.deadline" || answer["result"]["err"].is_string(), "{answer:#}");
    station.is_alive();
}
