//! What survives a stop and a kill, what is done with files that somebody damaged, and how a station starts and ends.

use crate::text::{API, answer, answering, probe, relaying};
use crate::{secret_of, started, station};
use serde_json::{Value, json};
use station_testkit::{Cache, Station, until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;

const RELAY: &str = "probe:probe/relay#run";
/// With so little time [`heavy`] cannot be compiled, so if it answers it was not compiled.
const NOTHING_HEAVY_COMPILES: &str = "engine: { compile: { cpu: 1s, wall: 2s } }";

/// A component that answers this number and takes seconds to compile.
fn heavy(number: u32) -> Vec<u8> {
    let round = "local.get 0 i32.const 7 i32.mul local.get 0 i32.xor i32.clz i32.add ".repeat(300);
    let filler = format!("(func (param i32) (result i32) local.get 0 {round})").repeat(2_000);
    probe(&(answer(number) + &filler))
}

/// `alpha` answers 1, `beta` answers 2, `relay` asks `beta`.
fn three_modules(station: &Station) {
    station.upload("alpha", &answering(1)).ok();
    station.upload("beta", &answering(2)).ok();
    station.upload_with("relay", &format!("?grant_all=true&link={API}=beta"), &relaying(API)).ok();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(2));
}

/// Everything about a module that has to survive.
fn lasting(station: &Station, module: &str) -> Value {
    let mut shown = station.show(module);
    for counter in ["calls", "failures", "fuel"] {
        shown.as_object_mut().unwrap().remove(counter);
    }
    shown
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

/// The compiled code in the cache; beside each lies what its component is.
fn cached(station: &Station) -> Vec<PathBuf> {
    let (known, code): (Vec<_>, _) =
        files(&station.folder().join("cache")).into_iter().partition(|path| path.extension().is_some());
    assert!(!code.is_empty() && known.len() == code.len(), "nothing was cached, or half of it");
    code
}

/// How many components the station has compiled since its start.
#[track_caller]
fn compiles(station: &Station) -> u64 {
    let metrics = station.request("GET", "/metrics").send().text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("station_compiles_total "));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("nobody counts: {metrics}"))
}

/// What a module answers once its code is there. A station serves while it compiles again what its cache has lost.
#[track_caller]
fn answers(station: &Station, module: &str, function: &str) -> Value {
    until("the module to be ready", || (station.state(module) == "ready").then_some(()));
    station.call(module, function, "(0)").result()
}

fn flip_a_byte(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// A `station serve` that is expected not to start.
#[track_caller]
fn refused(station: &Station, args: &[&str]) -> (Output, String) {
    let output = station.serve().args(args).stderr(std::process::Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "it said that it was ready");
    (output, stderr)
}

#[test]
fn everything_that_was_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let mut station = started();
    three_modules(&station);
    station.cli(&["grant", "alpha", "probe:else", "https://api.example.com"]).ok();
    station.cli(&["grant", "beta", "probe:gone"]).ok();
    station.cli(&["revoke", "beta", "probe:gone"]).ok();
    for (what, body) in [
        ("routes", json!({"routes": [{"host": "a.example", "path": "/x"}]})),
        ("limits", json!({"fuel": 1_234_567, "deadline_ms": 777})),
        ("config", json!({"config": {"greeting": "hello"}})),
    ] {
        let put = station.request("PUT", &format!("/v1/modules/alpha/{what}")).json(&body).send();
        assert_eq!(put.status, 200, "{what}: {}", put.text());
    }
    station.upload("gone", &answering(9)).ok();
    station.cli(&["rm", "gone"]).ok();
    let token = station.cli(&["token", "create", "--label", "kept", "--scope", "read"]).ok();
    let lost = station.cli(&["token", "create", "--label", "lost", "--scope", "read"]).ok();
    station.cli(&["token", "revoke", lost["id"].as_str().unwrap()]).ok();
    let first_token = station.token();
    let before: Vec<_> = ["alpha", "beta", "relay"].map(|module| lasting(&station, module)).into();
    assert_eq!(before[0]["limits"], json!({"fuel": 1_234_567, "deadline_ms": 777}));
    assert_eq!(before[0]["config_keys"], json!(["greeting"]));

    for round in ["SIGTERM", "SIGKILL", "SIGKILL again"] {
        if round == "SIGTERM" {
            assert_eq!(station.stop(), Some(0));
        } else {
            station.kill();
        }
        station.start();
        let after: Vec<_> = ["alpha", "beta", "relay"].map(|module| lasting(&station, module)).into();
        assert_eq!(after, before, "after {round}");
        assert_eq!(station.token(), first_token, "after {round}");
        assert_eq!(station.get("/v1/modules")["modules"].as_array().unwrap().len(), 3, "after {round}");
        assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(2), "after {round}");
        station.cli_as(token["secret"].as_str().unwrap(), &["ls"]).ok();
        station.cli_as(lost["secret"].as_str().unwrap(), &["ls"]).problem("admin.unauthenticated");
    }
}

#[test]
fn a_change_is_there_when_the_station_is_killed_right_after_the_answer() {
    let mut station = started();
    for round in 0..5 {
        station.upload(&format!("m{round}"), &answering(round)).ok();
        station.kill();
        station.start();
        assert_eq!(station.call(&format!("m{round}"), crate::text::RUN, "(0)").result(), json!(round));
        station.cli(&["grant", "m0", &format!("probe:g{round}")]).ok();
        station.kill();
        station.start();
        assert!(station.show("m0")["grants"].to_string().contains(&format!("probe:g{round}")));
    }
}

#[test]
fn the_second_start_does_not_compile() {
    let mut station = station().cache(Cache::Own).start();
    station.upload("heavy", &heavy(7)).ok();
    let stamp = |path: &PathBuf| fs::metadata(path).map(|about| (about.ino(), about.mtime_nsec())).unwrap();
    let before: Vec<_> = cached(&station).iter().map(stamp).collect();
    assert_eq!(station.stop(), Some(0));
    station.configure(NOTHING_HEAVY_COMPILES);
    station.start();
    assert_eq!(station.call("heavy", crate::text::RUN, "(0)").result(), json!(7));
    assert_eq!(cached(&station).iter().map(stamp).collect::<Vec<_>>(), before);
    // That the setting does what this test needs.
    station.upload("new", &heavy(8)).problem("upload.compile_timeout");
}

#[test]
fn the_same_bytes_are_compiled_once_however_often_they_are_uploaded() {
    let mut station = station().cache(Cache::Own).start();
    for name in ["one", "two"] {
        station.upload(name, &answering(1)).ok();
        assert_eq!(compiles(&station), 1);
    }
    station.kill();
    station.start();
    station.upload("three", &answering(1)).ok();
    assert_eq!(compiles(&station), 0);
    assert_eq!(station.call("three", crate::text::RUN, "(0)").result(), json!(1));
    for name in ["one", "two", "three"] {
        station.cli(&["rm", name]).ok();
    }
    station.upload("four", &answering(1)).ok();
    assert_eq!(compiles(&station), 1, "the code goes with the last module that has it");
}

/// They have a key and a cache in common, as all tests do.
#[test]
fn what_one_station_has_compiled_another_with_its_key_and_cache_does_not() {
    let all = [started(), started()];
    for station in &all {
        station.upload("heavy", &heavy(9)).ok();
        assert_eq!(station.call("heavy", crate::text::RUN, "(0)").result(), json!(9));
    }
    assert_eq!(compiles(&all[1]), 0);
}

/// Something bad that happens to a file.
type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn a_damaged_cache_entry_is_compiled_again() {
    let mut station = station().cache(Cache::Own).start();
    station.upload("alpha", &answering(1)).ok();
    let good = fs::read(&cached(&station)[0]).unwrap();
    let damages: [(&str, Damage); 5] = [
        ("first byte", &|path| flip_a_byte(path, |_| 0)),
        ("middle byte", &|path| flip_a_byte(path, |len| len / 2)),
        ("last byte", &|path| flip_a_byte(path, |len| len - 1)),
        ("cut in half", &|path| fs::write(path, &fs::read(path).unwrap()[..1000]).unwrap()),
        ("empty", &|path| fs::write(path, b"").unwrap()),
    ];
    for (damage, make) in damages {
        assert_eq!(station.stop(), Some(0));
        make(&cached(&station)[0]);
        station.start();
        assert_eq!(answers(&station, "alpha", crate::text::RUN), json!(1), "{damage}");
        let replaced = || fs::read(&cached(&station)[0]).is_ok_and(|bytes| bytes.len() == good.len());
        until("the entry to be replaced", || replaced().then_some(()));
    }
    assert_eq!(station.stop(), Some(0));
    fs::remove_dir_all(station.folder().join("cache")).unwrap();
    station.start();
    assert_eq!(answers(&station, "alpha", crate::text::RUN), json!(1), "the whole cache was removed");
}

#[test]
fn a_damaged_cache_entry_is_never_trusted() {
    let mut station = station().cache(Cache::Own).start();
    station.upload("heavy", &heavy(7)).ok();
    station.upload("alpha", &answering(1)).ok();
    assert_eq!(station.stop(), Some(0));
    for path in cached(&station) {
        flip_a_byte(&path, |len| len / 2);
    }
    // It could only serve from the damaged code, which it must not.
    station.configure(NOTHING_HEAVY_COMPILES);
    station.start();
    let failure = until("the compilation to fail", || {
        let shown = station.show("heavy");
        assert_eq!(shown["state"], "broken", "{shown:#}");
        (shown["failure"]["code"] != "call.not_ready").then(|| shown["failure"].clone())
    });
    assert_eq!(failure["code"], "upload.compile_timeout", "{failure:#}");
    station.call("heavy", crate::text::RUN, "(0)").problem("call.not_ready");
    assert_eq!(answers(&station, "alpha", crate::text::RUN), json!(1));
    assert_eq!(station.stop(), Some(0));
    station.configure("");
    station.start();
    assert_eq!(answers(&station, "heavy", crate::text::RUN), json!(7));
}

#[test]
fn the_code_of_one_module_is_not_taken_for_that_of_another() {
    let mut station = station().cache(Cache::Own).start();
    station.upload("alpha", &answering(1)).ok();
    station.upload("beta", &answering(2)).ok();
    assert_eq!(station.stop(), Some(0));
    let [one, two] = &cached(&station)[..] else { panic!("two entries were expected") };
    let swap = station.folder().join("swap");
    fs::rename(one, &swap).and_then(|()| fs::rename(two, one)).and_then(|()| fs::rename(&swap, two)).unwrap();
    station.start();
    assert_eq!(answers(&station, "alpha", crate::text::RUN), json!(1));
    assert_eq!(answers(&station, "beta", crate::text::RUN), json!(2));
}

#[test]
fn a_component_that_changed_on_disk_breaks_its_module_and_no_other() {
    let mut station = station().cache(Cache::Own).start();
    station.upload("alpha", &answering(1)).ok();
    station.upload("beta", &answering(2)).ok();
    let digest = station.show("alpha")["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    assert_eq!(station.stop(), Some(0));
    let artifact = station.data().join("artifacts").join(format!("{digest}.wasm"));
    fs::set_permissions(&artifact, fs::Permissions::from_mode(0o600)).unwrap();
    flip_a_byte(&artifact, |len| len - 2);
    fs::remove_dir_all(station.folder().join("cache")).unwrap();
    station.start();
    assert_eq!(answers(&station, "beta", crate::text::RUN), json!(2));
    let shown = station.show("alpha");
    assert_eq!(shown["state"], "broken", "{shown:#}");
    let why = shown["failure"]["detail"].as_str().expect("a reason");
    assert!(why.contains("digest") || why.contains("changed"), "{why}");
    let problem = station.call("alpha", crate::text::RUN, "(0)").problem("call.not_ready");
    assert!(problem["detail"].as_str().unwrap().contains("alpha"), "{problem:#}");
    // The same bytes again repair it.
    assert_eq!(station.upload("alpha", &answering(1)).ok()["state"], "ready");
    assert_eq!(answers(&station, "alpha", crate::text::RUN), json!(1));
}

#[test]
fn a_second_station_on_the_same_folder_is_refused() {
    let mut station = started();
    station.upload("alpha", &answering(1)).ok();
    let (_, stderr) = refused(&station, &[]);
    assert!(stderr.contains(&station.data().display().to_string()), "it does not name the folder: {stderr}");
    station.is_alive();
    assert_eq!(station.call("alpha", crate::text::RUN, "(0)").result(), json!(1));
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_file_and_line() {
    let mut station = started();
    station.kill();
    let told = |yaml: &str, line: usize, what: &str| {
        station.configure(yaml);
        let (_, stderr) = refused(&station, &[]);
        let place = format!("station.yaml:{line}");
        assert!(stderr.contains(&place) && stderr.contains(what), "{yaml:?}: {place} {what} is not in {stderr}");
    };
    told("limits:\n  feul: 7", 3, "feul");
    told("\n\nnonsense: 1", 4, "nonsense");
    told("limits: { deadline: 5 }", 2, "deadline");
    told("limits: { memory: lots }", 2, "lots");
    told("modules:\n  UPPER: {}", 3, "UPPER");
    told("modules:\n  m:\n    grants: [ \"no grant\" ]", 4, "no grant");
    told("limits: [", 2, "");
    // All mistakes at once.
    station.configure("limits:\n  feul: 7\ncalls:\n  thraeds: 2");
    let (_, stderr) = refused(&station, &[]);
    assert!(stderr.contains("station.yaml:3") && stderr.contains("station.yaml:5"), "{stderr}");
    fs::remove_file(station.config()).unwrap();
    let (_, stderr) = refused(&station, &[]);
    assert!(stderr.contains("station.yaml"), "{stderr}");
}

#[test]
fn an_address_that_is_taken_is_a_start_error() {
    let station = started();
    let taken = station.ready().admin.trim_start_matches("http://").to_owned();
    let mut other = started();
    other.kill();
    let args: Vec<_> = other.serve().get_args().take(5).map(ToOwned::to_owned).collect();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_station"))
        .args(args)
        .args(["--admin", &taken, "--gateway", "127.0.0.1:0"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(&taken), "{stderr}");
}

#[test]
fn sigterm_lets_running_calls_end_and_exits_0() {
    let mut station = started();
    station.deploy("time-sleep");
    let (token, admin) = (station.token(), station.ready().admin.clone());
    let call = std::thread::spawn(move || {
        let body = json!({"function": "fixture:time-sleep/time#sleep", "wave": "(1500)"});
        station_testkit::http::Request::new(&admin, "POST", "/v1/modules/time-sleep/call")
            .token(&token)
            .json(&body)
            .send()
    });
    until("the call to run", || (station.running() == 1).then_some(()));
    station.terminate();
    assert_eq!(station.ended(), Some(0));
    let answer = call.join().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["result"].as_u64().unwrap() >= 1500);
}

#[test]
fn while_it_drains_it_takes_nothing_new_and_says_so() {
    let mut station = started();
    station.deploy("time-sleep");
    station.upload("alpha", &answering(1)).ok();
    let route = json!({"routes": [{"path": "/"}]});
    assert_eq!(station.request("PUT", "/v1/modules/time-sleep/routes").json(&route).send().status, 200);
    let sleep = json!({"function": "fixture:time-sleep/time#sleep", "wave": "(3000)"});
    let exchange = station.request("POST", "/v1/modules/time-sleep/call").json(&sleep).start();
    until("the call to run", || (station.running() == 1).then_some(()));
    let call =
        station.request("POST", "/v1/modules/alpha/call").json(&json!({"function": crate::text::RUN, "wave": "(0)"}));
    station.terminate();
    // Either it is told, or nobody listens any more; never is the call run, and never is the connection cut.
    let ready = station.request("GET", "/readyz");
    let unready = until("the station to be unready", || match ready.try_send() {
        Ok(answer) if answer.status == 200 => None,
        other => Some(other),
    });
    if let Ok(answer) = unready {
        answer.problem(503, "station.draining");
        assert!(answer.header("retry-after").is_some());
    }
    if let Ok(answer) = call.try_send() {
        answer.problem(503, "station.draining");
    }
    assert_eq!(exchange.answer().expect("the running call's answer").status, 200);
    assert_eq!(station.ended(), Some(0));
}

#[test]
fn a_call_that_outlasts_the_drain_is_cut_and_the_exit_code_is_still_0() {
    let mut station = station().config("drain: 300ms\nlimits: { deadline: 1m }").start();
    station.deploy("time-sleep");
    let (token, admin) = (station.token(), station.ready().admin.clone());
    let call = std::thread::spawn(move || {
        let body = json!({"function": "fixture:time-sleep/time#sleep", "wave": "(50000)"});
        let request = station_testkit::http::Request::new(&admin, "POST", "/v1/modules/time-sleep/call");
        request.token(&token).json(&body).start().answer()
    });
    until("the call to run", || (station.running() == 1).then_some(()));
    let start = std::time::Instant::now();
    station.terminate();
    assert_eq!(station.ended(), Some(0));
    assert!(start.elapsed().as_secs() < 10, "it took {:?}", start.elapsed());
    if let Ok(answer) = call.join().unwrap() {
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        assert!(["call.cancelled", "station.draining"].contains(&code.as_str()), "{}", answer.text());
    }
}

#[test]
fn a_kill_in_the_middle_of_an_upload_leaves_nothing() {
    let mut station = started();
    let bytes = station_testkit::guest_bytes("plain-echo");
    let half = &bytes[..bytes.len() / 2];
    let upload = station.request("PUT", "/v1/modules/half").header("content-type", "application/wasm").body(half);
    let exchange = upload.start_claiming(bytes.len());
    let uploads = station.data().join("uploads");
    let received = || files(&uploads).iter().filter_map(|path| fs::metadata(path).ok()).any(|about| about.len() > 0);
    until("the first bytes on disk", || received().then_some(()));
    station.kill();
    drop(exchange);
    station.start();
    assert_eq!(files(&uploads), [] as [PathBuf; 0]);
    assert_eq!(files(&station.data().join("artifacts")), [] as [PathBuf; 0]);
    station.cli(&["show", "half"]).problem("admin.not_found");
    assert_eq!(station.upload("half", &bytes).ok()["state"], "ready");
}

#[test]
fn secrets_are_the_owners_alone_and_tokens_are_stored_hashed() {
    let mut station = started();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(station.ready().token_file.clone()), 0o600);
    assert_eq!(mode(station.data()), 0o700);
    assert_eq!(mode(station.data().join("cache.key")), 0o600);
    assert_eq!(station.ready().token_file, station.data().join("admin.token"));
    let made = station.cli(&["token", "create", "--label", "x", "--scope", "deploy"]).ok();
    let secret = secret_of(made["secret"].as_str().unwrap()).to_owned();
    let first = secret_of(&station.token()).to_owned();
    assert_eq!(station.stop(), Some(0));
    for path in files(&station.data()).iter().filter(|path| !path.ends_with("admin.token")) {
        let bytes = fs::read(path).unwrap();
        for secret in [&secret, &first] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{} has it", path.display());
        }
    }
    assert!(!station.stderr().contains(&secret) && !station.stderr().contains(&first), "a secret was logged");
}

#[test]
fn modules_of_the_configuration_are_there_at_every_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("alpha.wasm"), answering(1)).unwrap();
    fs::write(folder.path().join("relay.wasm"), relaying(API)).unwrap();
    let source = |name: &str| folder.path().join(name).display().to_string();
    let yaml = format!(
        "modules:\n  alpha: {{ source: {:?} }}\n  relay: {{ source: {:?}, grants: [ \"probe:probe\" ] }}",
        source("alpha.wasm"),
        source("relay.wasm")
    );
    let mut station = station().config(&yaml).start();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(1));
    station.upload("beta", &answering(2)).ok();
    fs::write(folder.path().join("alpha.wasm"), answering(11)).unwrap();
    assert_eq!(station.stop(), Some(0));
    station.start();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(11));
    assert_eq!(station.call("beta", crate::text::RUN, "(0)").result(), json!(2));
    assert_eq!(station.get("/v1/modules/relay/versions")["versions"].as_array().unwrap().len(), 1);
}
