//! `deploy --plan`: what a deployment would do, and that nothing is left of having asked.

use crate::text::{API, RUN, answer, answering, exporting, relaying};
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::{Cache, Run, Station};
use std::path::{Path, PathBuf};

/// A file with these bytes.
fn file(station: &Station, name: &str, bytes: &[u8]) -> String {
    let path = station.folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn plan(station: &Station, name: &str, bytes: &[u8]) -> Run {
    station.cli(&["deploy", &file(station, "planned.wasm", bytes), "--name", name, "--grant-all", "--plan"])
}

/// Every file below a folder.
fn files(below: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

/// Everything that a plan could change: what is told, the audit log, and the files of components and of compiled code.
fn everything(station: &Station) -> (Value, Value, Vec<PathBuf>) {
    let folders = [station.data().join("artifacts"), station.data().join("uploads"), station.folder().join("cache")];
    let files = folders.iter().flat_map(|folder| files(folder)).collect();
    (station.cli(&["ls"]).ok(), station.get("/v1/audit"), files)
}

#[test]
fn a_plan_of_a_new_module_says_what_would_be_and_leaves_nothing() {
    let station = station().cache(Cache::Own).start();
    let before = everything(&station);
    let planned = plan(&station, "alpha", &answering(1)).ok();
    let said = json!([planned["planned"], planned["changed"], planned["state"], planned["warnings"]]);
    assert_eq!(said, json!([true, true, "ready", []]), "{planned:#}");
    let waits = plan(&station, "relay", &relaying(API)).ok();
    assert_eq!(waits["waiting_for"][0]["reason"], "no_provider", "{waits:#}");
    assert_eq!(everything(&station), before);

    let deployed = station.upload("alpha", &answering(1)).ok();
    assert_eq!((&deployed["planned"], &deployed["changed"]), (&json!(false), &json!(true)));
    assert_eq!(deployed["digest"], planned["digest"]);
    let now = everything(&station);
    assert!(now.2.len() > before.2.len() + 1, "a deployment leaves a component and code: {:?}", now.2);
    assert_eq!(plan(&station, "relay", &relaying(API)).ok()["state"], "ready");
    let same = plan(&station, "alpha", &answering(1)).ok();
    assert_eq!((&same["planned"], &same["changed"]), (&json!(true), &json!(false)));
    assert_eq!(everything(&station), now);
}

#[test]
fn a_plan_is_refused_for_what_the_deployment_would_be_refused_for() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    station.upload("relay", &relaying(API)).ok();
    let other = exporting(API, r#"(param "n" u64) (result u32)"#, OTHER, "");
    let planned = plan(&station, "alpha", &other).problem("link.type_mismatch");
    let detail = planned["detail"].as_str().unwrap();
    assert!(detail.contains("this revision of alpha would break relay"), "{planned:#}");
    assert_eq!(station.upload("alpha", &other).problem("link.type_mismatch")["detail"], detail);
    plan(&station, "alpha", b"nonsense").problem("upload.not_wasm");
    station.upload_with("alpha", "?plan=perhaps", &answering(2)).problem("admin.bad_request");

    assert_eq!(plan(&station, "alpha", &answering(2)).ok()["state"], "ready");
    let asks = || station.call("relay", "probe:probe/relay#run", "(0)").result();
    assert_eq!(asks(), json!(1), "the plan is none but a plan");
    station.upload("alpha", &answering(2)).ok();
    assert_eq!(asks(), json!(2));
    assert_eq!(station.call("alpha", RUN, "(0)").result(), json!(2));
}

/// The core function of a revision that takes another type.
const OTHER: &str = r#"(func (export "run") (param i64) (result i32) (i32.const 3))"#;

#[test]
fn a_plan_needs_the_scope_of_the_deployment() {
    let station = started();
    let path = file(&station, "alpha.wasm", &exporting(API, r#"(param "n" u32) (result u32)"#, &answer(1), ""));
    let token = |scope: &str| {
        let made = station.cli(&["token", "create", "--label", scope, "--scope", scope]).ok();
        made["secret"].as_str().unwrap().to_owned()
    };
    let args = ["deploy", &path, "--name", "alpha", "--plan"];
    station.cli_as(&token("read"), &args).problem("admin.forbidden");
    station.cli_as(&token("deploy"), &args).ok();
    let granting = [&args[..], &["--grant-all"]].concat();
    station.cli_as(&token("deploy"), &granting).problem("admin.forbidden");
    station.cli_as(&token("admin"), &granting).ok();
}

#[test]
fn a_plan_tells_people_what_would_be_done() {
    let station = started();
    let path = file(&station, "relay.wasm", &relaying(API));
    let args = ["deploy", &path, "--name", "relay", "--grant-all", "--plan"];
    let run = station.text(&args);
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stderr.contains("relay: would be deployed; waiting\n  probe:probe/api@0.1.0: "), "{}", run.stderr);
    let quiet = station.text(&[&args[..], &["--quiet"]].concat());
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{quiet:#?}");
    station.cli(&args[..5]).ok();
    let again = station.text(&args);
    assert!(again.stderr.contains("relay: nothing would change, this revision is active already"), "{}", again.stderr);
}

/// The warnings of a guest, deployed, and planned once more.
#[track_caller]
fn warnings(station: &Station, guest: &str) -> Value {
    let deployed = station.deploy(guest);
    let planned = station.deploy_with(guest, guest, &["--grant-all", "--plan"]).ok();
    assert_eq!((&planned["planned"], &planned["warnings"]), (&json!(true), &deployed["warnings"]), "{guest}");
    deployed["warnings"].clone()
}

#[test]
fn a_module_that_writes_and_waits_is_warned_of() {
    let station = started();
    for one in ["sql-runner", "kv-draft2", "http-out", "http-hello"] {
        assert_eq!(warnings(&station, one), json!([]), "{one} does not do both");
    }
    let both = warnings(&station, "http-writer");
    assert_eq!(both[0]["code"], "writes_and_waits");
    let detail = both[0]["detail"].as_str().unwrap();
    let expected = ["station:sql/database@0.1.0#execute", "wasi:http/outgoing-handler@0.2.12#handle", "unit.too_long"];
    assert!(expected.iter().all(|part| detail.contains(part)) && !detail.contains("through"), "{detail}");
    let path = station_testkit::guest("http-writer");
    let told = station.text(&["deploy", path.to_str().unwrap(), "--name", "other", "--grant-all"]);
    assert!(told.stderr.contains("other: deployed; ready\n  warning: a call of other may write ("), "{}", told.stderr);
}

#[test]
fn a_module_that_waits_and_calls_one_that_writes_is_warned_of_by_name() {
    let station = started();
    assert_eq!(warnings(&station, "portal"), json!([]), "it reads bodies, and nobody writes for it yet");
    assert_eq!(warnings(&station, "dossiers"), json!([]), "it writes and is called by who waits");
    let portal = warnings(&station, "portal");
    let detail = portal[0]["detail"].as_str().unwrap();
    let both = ["#execute through dossiers)", "#[method]incoming-request.consume)"];
    assert!(both.iter().all(|part| detail.contains(part)), "{detail}");
}
