//! The program itself: uploads, requests, writes, calls and questions, from several clients at one time.

use serde_json::{Value, json};
use station_testkit::http::{Connection, Request};
use station_testkit::{Cache, Station};

/// Clients at one time.
const CLIENTS: u64 = 8;
/// Modules that are called by others or by the admin API.
const MODULES: [&str; 7] =
    ["payload-sink", "payload-source", "bank-ledger", "bank-teller", "sql-runner", "kv-draft2", "events-runner"];
/// Modules that the public asks, and their guests.
const PUBLIC: [(&str, &str); 3] = [("reused", "http-hello"), ("fresh", "http-hello"), ("writer", "http-writer")];
/// Accounts of the bank, so many that transfers seldom meet.
const ACCOUNTS: u64 = 100;
const CONFIG: &str = "\
limits: { fuel: 9_000_000_000, deadline: 30s }
modules:
  reused: { routes: [{ host: reused.bench }], instances: { mode: reused, calls-max: 1_000_000, idle-max: 1h } }
  fresh: { routes: [{ host: fresh.bench }] }
  writer: { routes: [{ host: writer.bench }], instances: { mode: reused, calls-max: 1_000_000, idle-max: 1h } }
";
const KIB: usize = 1024;

pub(crate) fn train() {
    let mut station = Station::of(env!("CARGO_BIN_EXE_station")).cache(Cache::Own).config(CONFIG).start();
    upload(&station);
    requests(&station);
    calls(&station);
    questions(&station);
    failures(&station);
    // Once more with everything there: modules come out of the cache, and each is replaced by itself.
    stop(&mut station);
    station.start();
    upload(&station);
    requests(&station);
    stop(&mut station);
}

/// An instrumented program writes down what it has counted when it ends by itself.
fn stop(station: &mut Station) {
    assert_eq!(station.stop(), Some(0), "{}", station.stderr());
}

fn upload(station: &Station) {
    station.deploy_all(&MODULES);
    for (name, guest) in PUBLIC {
        station.deploy_as(guest, name);
        assert_eq!(station.state(name), "ready", "{:#}", station.show(name));
    }
}

/// What the public asks.
fn requests(station: &Station) {
    let to =
        |host: &str, method: &str, path: &str| station.gateway(method, path).header("host", &format!("{host}.bench"));
    ask(station, 1_500, &to("reused", "GET", "/"));
    ask(station, 1_500, &to("fresh", "GET", "/"));
    ask(station, 300, &to("reused", "GET", "/headers?a=1&b=%20").header("accept", "text/plain").header("x-a", "b"));
    ask(station, 200, &to("reused", "GET", "/big/64"));
    ask(station, 100, &to("fresh", "POST", "/echo").body(vec![b'x'; 64 * KIB]));
    // By one of them, because it makes the table.
    assert_eq!(to("writer", "GET", "/write/answer=200/say=ok").send().status, 200);
    ask(station, 400, &to("writer", "GET", "/insert/answer=200/say=ok"));
    ask(station, 200, &to("writer", "GET", "/read/answer=200/rows"));
    ask(station, 50, &to("writer", "POST", "/body/insert/answer=200/echo").body(vec![b'x'; 2 * KIB]));
}

/// The same request again and again, by every client on a connection of its own.
fn ask(station: &Station, times: usize, request: &Request) {
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = Connection::open(&station.ready().gateway);
                for _ in 0..times {
                    let answer = connection.send(request);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
}

/// Calls by the admin API: rows, keys, events, transfers over two modules.
fn calls(station: &Station) {
    let call = |module: &str, function: &str, args: Value| station.call_json(module, function, args).ok();
    call("bank-teller", "t:bank/teller#open", json!([ACCOUNTS, 1_000_000]));
    let create = ["CREATE TABLE IF NOT EXISTS n (id INTEGER PRIMARY KEY, name TEXT, x REAL)"];
    call("sql-runner", "t:sql/run#execute-then", json!([create, "succeed"]));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || (0..60).for_each(|turn| work(&call, client * 1000 + turn)));
        }
    });
    for (function, times) in
        [("loop-add", json!([100_000])), ("round", json!([64, 20_000])), ("entries", json!([20_000]))]
    {
        call("payload-source", &format!("fixture:payload/source#{function}"), times);
    }
}

fn work(call: &impl Fn(&str, &str, Value) -> Value, n: u64) {
    let name = format!("name {n}");
    let [mine, theirs] = [n % ACCOUNTS, n / 7 % ACCOUNTS];
    call("bank-teller", "t:bank/teller#transfer", json!([format!("t{n}"), mine, theirs, 1]));
    let insert = "INSERT INTO n (name, x) VALUES (?, ?)";
    call("sql-runner", "t:sql/run#execute", json!([insert, [{ "text": name }, { "real": 0.5 }]]));
    let select = "SELECT id, name, x FROM n WHERE id > ? ORDER BY name LIMIT 20";
    call("sql-runner", "t:sql/run#query", json!([select, [{ "integer": 0 }]]));
    let key = format!("k{}", n % 50);
    call("kv-draft2", "fixture:kv/kv#set", json!(["b", key, name]));
    call("kv-draft2", "fixture:kv/kv#get", json!(["b", key]));
    call("kv-draft2", "fixture:kv/kv#increment", json!(["b", "n", 1]));
    call("events-runner", "t:events/act#act", json!(["row/publish=a.b"]));
}

/// What an operator looks at.
fn questions(station: &Station) {
    for _ in 0..30 {
        for path in ["/v1/modules", "/v1/graph", "/v1/calls", "/v1/events?after=0&limit=100", "/v1/tables"] {
            station.get(path);
        }
        for module in MODULES {
            station.show(module);
            station.get(&format!("/v1/modules/{module}/logs"));
        }
        station.request("GET", "/metrics").send();
    }
}

/// What goes wrong now and then, so that it is not slow either.
fn failures(station: &Station) {
    for _ in 0..30 {
        let trap = station.gateway("GET", "/trap").header("host", "reused.bench").send();
        assert_eq!(trap.status, 500, "{}", trap.text());
        let nobody = station.gateway("GET", "/").header("host", "nobody.bench").send();
        assert_eq!(nobody.status, 404, "{}", nobody.text());
        let wrong = station.call_json("sql-runner", "t:sql/run#query", json!(["SELECT wrong", []])).ok();
        assert!(wrong["result"]["err"].is_object(), "{wrong}");
    }
}
