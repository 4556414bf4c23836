//! Who provides what to whom: waiting, granting, linking, and what is refused.

use crate::text::{API, RUN, answer, answering, exporting, importing, relaying};
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::Station;

const ECHO: &str = "fixture:plain/echo@1.0.0";
const RELAY: &str = "probe:probe/relay#run";

/// The module that answered `relay`'s nested call.
#[track_caller]
fn provider(station: &Station) -> String {
    let answer = station.call("relay", RELAY, "(0)").ok();
    answer["call"]["frames"][1]["module"].as_str().expect("a nested frame").to_owned()
}

/// A station with `alpha`, which answers 1, and `relay`, which asks it.
fn alpha_and_relay() -> Station {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    station.upload("relay", &relaying(API)).ok();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(1));
    station
}

#[track_caller]
fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().expect("a detail")
}

#[test]
fn the_order_of_uploads_does_not_matter() {
    let station = started();
    let relay = station.deploy("plain-relay");
    assert_eq!(relay["state"], "waiting");
    assert_eq!(relay["waiting_for"][0]["interface"], ECHO);
    assert_eq!(relay["waiting_for"][0]["reason"], "no_provider");
    let problem = station.call("plain-relay", "fixture:plain/relay#echo-u8", "(7)").problem("call.not_ready");
    assert!(detail(&problem).contains(ECHO), "{problem:#}");
    assert_eq!(problem["retryable"], true);

    station.deploy("plain-echo");
    assert_eq!(station.state("plain-relay"), "ready");
    assert_eq!(station.call("plain-relay", "fixture:plain/relay#echo-u8", "(7)").result(), json!(7));
}

#[test]
fn a_module_waits_until_it_is_granted_and_again_after_the_grant_is_revoked() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    let deployed = station.upload_with("relay", "", &relaying(API)).ok();
    assert_eq!(deployed["state"], "waiting");
    assert_eq!(station.waits_for("relay"), format!("{API}: not_granted"));
    station.call("relay", RELAY, "(0)").problem("call.not_ready");

    for grant in ["probe:probe", "probe:probe/api", "probe:probe/api@0.1.0", "probe:probe/api@alpha"] {
        station.cli(&["grant", "relay", grant]).ok();
        assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(1), "{grant}");
        station.cli(&["revoke", "relay", grant]).ok();
        assert_eq!(station.waits_for("relay"), format!("{API}: not_granted"), "{grant}");
    }
    for grant in ["probe:other", "probe:probe/other", "probe:probe/api@2.0.0", "probe:probe/api@beta"] {
        station.cli(&["grant", "relay", grant]).ok();
        assert_eq!(station.waits_for("relay"), format!("{API}: not_granted"), "{grant}");
    }
    station.call("relay", RELAY, "(0)").problem("call.not_ready");
}

#[test]
fn with_two_candidates_an_import_waits_until_somebody_chooses() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    station.upload("beta", &answering(2)).ok();
    let relay = station.upload("relay", &relaying(API)).ok();
    assert_eq!(station.waits_for("relay"), format!("{API}: ambiguous"));
    assert_eq!(relay["waiting_for"][0]["candidates"], json!(["alpha", "beta"]));
    station.call("relay", RELAY, "(0)").problem("call.not_ready");

    station.cli(&["link", "relay", &format!("{API}=beta")]).ok();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(2));
    station.upload_with("relay2", &format!("?grant_all=true&link={API}=alpha"), &relaying(API)).ok();
    assert_eq!(station.call("relay2", RELAY, "(0)").result(), json!(1));
}

#[test]
fn a_second_provider_takes_nothing_over_until_it_is_linked() {
    let station = alpha_and_relay();
    station.upload("aaa", &answering(2)).ok();
    assert_eq!(provider(&station), "alpha");
    // Nor does it when the importer comes again, or when the first provider is away for a while.
    station.upload("relay", &relaying(API)).ok();
    assert_eq!(provider(&station), "alpha");
    station.cli(&["rm", "alpha"]).ok();
    assert_eq!(station.waits_for("relay"), format!("{API}: provider_gone"));
    station.call("relay", RELAY, "(0)").problem("call.not_ready");
    station.upload("alpha", &answering(1)).ok();
    assert_eq!(provider(&station), "alpha");

    station.cli(&["link", "relay", &format!("{API}=aaa")]).ok();
    assert_eq!(provider(&station), "aaa");
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(2));
}

#[test]
fn a_link_to_what_does_not_provide_is_refused_and_nothing_changes() {
    let station = alpha_and_relay();
    station.upload("other", &exporting("probe:other/api@0.1.0", "(param \"n\" u32) (result u32)", &answer(3), "")).ok();
    let to = |provider: &str| station.cli(&["link", "relay", &format!("{API}={provider}")]);
    let problem = to("other").problem("link.no_such_export");
    assert!(detail(&problem).contains("other") && detail(&problem).contains(API), "{problem:#}");
    assert_ne!(to("nobody").code, 0);
    station.cli(&["link", "relay", "probe:nothing/api@1.0.0=alpha"]).problem("link.no_such_export");
    station.cli(&["link", "nobody", &format!("{API}=alpha")]).problem("admin.not_found");
    assert_eq!(provider(&station), "alpha");
}

#[test]
fn two_major_versions_of_one_interface_live_side_by_side() {
    let station = started();
    station.deploy("version-caller");
    station.deploy("version-provider-b");
    assert_eq!(station.waits_for("version-caller"), "fixture:ver/api@1.1.0: no_provider");
    station.deploy("version-provider-a");
    assert_eq!(station.call("version-caller", "both", "(5)").result(), json!("one 5, two 5 x+y"));
}

#[test]
fn an_import_is_met_by_a_newer_minor_version_and_by_no_older_or_major_one() {
    let station = started();
    let run = "(param \"n\" u32) (result u32)";
    for (name, version) in [("older", "1.1.0"), ("major", "2.0.0"), ("pre", "1.3.0-rc.1")] {
        station.upload(name, &exporting(&format!("probe:v/api@{version}"), run, &answer(1), "")).ok();
    }
    station.upload("relay", &relaying("probe:v/api@1.2.0")).ok();
    assert_eq!(station.waits_for("relay"), "probe:v/api@1.2.0: no_provider");
    station.upload("newer", &exporting("probe:v/api@1.3.1", run, &answer(4), "")).ok();
    assert_eq!(provider(&station), "newer");
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(4));
}

#[test]
fn functions_at_the_root_of_the_world_are_linked_by_their_name() {
    let station = started();
    station.deploy_with("root-caller", "root-caller", &["--grant", "add"]).ok();
    assert_eq!(station.waits_for("root-caller"), "add: no_provider\ngreet: no_provider");
    station.deploy("root-provider");
    assert_eq!(station.waits_for("root-caller"), "greet: not_granted");
    station.cli(&["grant", "root-caller", "greet@root-provider"]).ok();
    assert_eq!(station.call("root-caller", "run", "(1)").result(), json!("hello, 2"));
    assert_eq!(station.call("root-provider", "add", "(4294967295, 2)").result(), json!(1));
    station.deploy_as("root-provider", "second");
    station.cli(&["grant", "root-caller", "add", "greet"]).ok();
    station.cli(&["link", "root-caller", "add=second"]).ok();
    let answer = station.call("root-caller", "run", "(1)").ok();
    let frames = answer["call"]["frames"].as_array().unwrap();
    let called: Vec<_> = frames.iter().map(|frame| (frame["module"].as_str().unwrap(), &frame["interface"])).collect();
    assert_eq!(called, [("root-caller", &Value::Null), ("second", &Value::Null), ("root-provider", &Value::Null)]);
}

#[test]
fn modules_may_call_each_other_in_a_circle_and_themselves_but_not_for_ever() {
    let station = started();
    station.deploy_all(&["cycle-a", "cycle-b", "self-call"]);
    assert_eq!(station.call("cycle-a", "fixture:cycle/a#ping", "(0)").result(), json!(0));
    assert_eq!(station.call("cycle-a", "fixture:cycle/a#ping", "(7)").result(), json!(7));
    assert_eq!(station.call("cycle-b", "fixture:cycle/b#ping", "(7)").result(), json!(7));
    assert_eq!(station.call("self-call", "fixture:cycle/me#ping", "(7)").result(), json!(7));
    for (module, function) in [
        ("cycle-a", "fixture:cycle/a#ping"),
        ("cycle-b", "fixture:cycle/b#ping"),
        ("self-call", "fixture:cycle/me#ping"),
    ] {
        let problem = station.call(module, function, "(1000000)").problem("call.depth");
        assert!(problem["limit"]["value"].as_u64().is_some(), "{problem:#}");
        assert!(problem["call"]["frames"].as_array().unwrap().len() > 8, "{problem:#}");
    }
    assert_eq!(station.call("cycle-a", "fixture:cycle/a#ping", "(7)").result(), json!(7));
}

#[test]
fn an_import_that_is_never_called_is_still_needed() {
    let station = started();
    station.deploy("unused-import");
    assert_eq!(station.waits_for("unused-import"), format!("{ECHO}: no_provider"));
    station.deploy("plain-echo");
    assert_eq!(station.call("unused-import", "run", "()").result(), json!("ran"));
}

#[test]
fn a_grant_that_names_the_provider_allows_only_that_one() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    station.upload("beta", &answering(2)).ok();
    station.upload_with("relay", "?grant=probe:probe/api@beta", &relaying(API)).ok();
    assert_eq!(provider(&station), "beta");
    station.cli(&["link", "relay", &format!("{API}=alpha")]).ok();
    assert_eq!(station.waits_for("relay"), format!("{API}: not_granted"));
    station.call("relay", RELAY, "(0)").problem("call.not_ready");
}

#[test]
fn grant_all_covers_the_imports_of_that_revision_only() {
    let station = alpha_and_relay();
    station
        .upload("second", &exporting("probe:second/api@0.1.0", "(param \"n\" u32) (result u32)", &answer(5), ""))
        .ok();
    station.upload_with("relay", "", &relaying("probe:second/api@0.1.0")).ok();
    assert_eq!(station.waits_for("relay"), "probe:second/api@0.1.0: not_granted");
}

#[test]
fn a_host_interface_that_is_not_there_refuses_the_upload() {
    let station = started();
    let refused = |name: &str, code: &str| {
        let problem = station.upload("stranger", &importing(name, "")).problem(code);
        assert!(detail(&problem).contains(name), "{problem:#}");
        problem
    };
    refused("wasi:nothing/here@0.2.0", "link.unknown_import");
    refused("station:nothing/here@0.1.0", "link.unknown_import");
    for version in ["9.9.9", "0.3.0", "0.2.99"] {
        let problem = refused(&format!("wasi:cli/environment@{version}"), "link.version");
        assert!(detail(&problem).contains("wasi:cli/environment@0.2."), "it does not name what there is: {problem:#}");
    }
    let problem = refused("wasi:http/handler@0.3.0", "link.unknown_import");
    assert!(detail(&problem).contains("0.2"), "{problem:#}");
    refused("station:kernel/context@7.0.0", "link.version");
    station.cli(&["show", "stranger"]).problem("admin.not_found");
    let lower_patch = station_testkit::component(
        r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string)))))))"#,
    );
    assert_eq!(station.upload("lower-patch", &lower_patch).ok()["state"], "ready");
}

#[test]
fn a_host_interface_with_other_types_refuses_the_upload() {
    let station = started();
    let other = station_testkit::component(
        r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result u32))))))"#,
    );
    station.upload("other", &other).problem("link.type_mismatch");
    station.cli(&["show", "other"]).problem("admin.not_found");
}

#[test]
fn a_type_mismatch_is_refused_and_names_interface_function_and_both_types() {
    let station = started();
    station.upload("alpha", &answering(1)).ok();
    let mismatch = |importer: &[u8], wanted: &str| {
        let problem = station.upload("importer", importer).problem("link.type_mismatch");
        for part in [API, "run", wanted, "u32"] {
            assert!(detail(&problem).contains(part), "{part:?} is missing: {problem:#}");
        }
        station.cli(&["show", "importer"]).problem("admin.not_found");
    };
    mismatch(&importing(API, "(param \"n\" string) (result u32)"), "string");
    mismatch(&importing(API, "(param \"n\" u32) (result (list u64))"), "list<u64>");
    mismatch(&importing(API, "(param \"n\" u64) (result u32)"), "u64");
    // The other way round: the provider comes later and does not fit those who wait.
    station.upload("early", &importing("probe:late/api@0.1.0", "(param \"n\" string) (result u32)")).ok();
    station.upload("late", &exporting("probe:late/api@0.1.0", "(param \"n\" u32) (result u32)", &answer(1), "")).ok();
    assert_eq!(station.waits_for("early"), "probe:late/api@0.1.0: type_mismatch");
}

#[test]
fn a_revision_that_would_break_a_live_importer_is_refused_and_the_old_one_serves_on() {
    let station = alpha_and_relay();
    let other_type = exporting(
        API,
        "(param \"n\" u32) (result u64)",
        r#"(func (export "run") (param i32) (result i64) (i64.const 1))"#,
        "",
    );
    let problem = station.upload("alpha", &other_type).problem("link.type_mismatch");
    for part in ["relay", API, "run", "u32", "u64"] {
        assert!(detail(&problem).contains(part), "{part:?} is missing: {problem:#}");
    }
    let nothing = exporting("probe:else/api@0.1.0", "(param \"n\" u32) (result u32)", &answer(1), "");
    let problem = station.upload("alpha", &nothing).problem("link.no_such_export");
    assert!(detail(&problem).contains("relay"), "{problem:#}");
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(1));
    // One that fits is taken, and the importer gets it without doing anything.
    station.upload("alpha", &answering(11)).ok();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(11));
    assert_eq!(station.get("/v1/modules/alpha/versions")["versions"].as_array().unwrap().len(), 2);
}

#[test]
fn nobody_may_pose_as_the_host() {
    let station = started();
    for name in ["wasi:cli/environment@0.2.0", "station:kernel/context@0.1.0", "wasi:made/up@1.0.0"] {
        let problem = station
            .upload("impostor", &exporting(name, "(param \"n\" u32) (result u32)", &answer(1), ""))
            .problem("upload.bad_name");
        assert!(detail(&problem).contains(name), "{problem:#}");
    }
    station.cli(&["show", "impostor"]).problem("admin.not_found");
}

#[test]
fn a_module_that_needs_a_waiting_module_waits_too() {
    let station = alpha_and_relay();
    station.upload("above", &importing("probe:probe/relay@0.1.0", "(param \"n\" u32) (result u32)")).ok();
    assert_eq!(station.state("above"), "ready");
    station.cli(&["rm", "alpha"]).ok();
    assert_eq!(station.waits_for("above"), "probe:probe/relay@0.1.0: provider_waiting");
    station.upload("alpha", &answering(1)).ok();
    assert_eq!(station.state("above"), "ready");
}

#[test]
fn the_graph_shows_who_provides_what_to_whom() {
    let station = alpha_and_relay();
    let expect = json!([{"importer": "relay", "interface": API, "provider": "alpha", "exported": API, "lane": "raw"}]);
    assert_eq!(station.get("/v1/graph")["links"], expect);
    assert_eq!(station.cli(&["graph"]).ok()["links"], expect);
    let mermaid = station.text(&["graph", "--format", "mermaid"]).stdout;
    assert!(mermaid.contains("relay") && mermaid.contains("alpha"), "{mermaid}");
    assert_eq!(station.call("alpha", RUN, "(0)").result(), json!(1));
}

#[test]
fn the_operator_can_have_the_dynamic_lane() {
    let station = station().config("engine: { lane: dynamic }").start();
    station.upload("alpha", &answering(1)).ok();
    station.upload("relay", &relaying(API)).ok();
    let link = station.get("/v1/graph")["links"][0].clone();
    assert_eq!((&link["lane"], &link["provider"]), (&json!("dynamic"), &json!("alpha")));
    assert!(link["lane_reason"].as_str().unwrap().contains("the operator wants it"), "{link}");
    let page = station.text(&["show", "relay"]).stdout;
    assert!(page.contains("dynamic lane, because of"), "{page}");
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(1));
}

#[test]
fn a_grant_or_link_in_the_configuration_holds_from_the_start() {
    let yaml = format!("modules:\n  relay:\n    grants: [ \"probe:probe/api\" ]\n    links: {{ \"{API}\": beta }}");
    let station = station().config(&yaml).start();
    station.upload_with("alpha", "", &answering(1)).ok();
    station.upload_with("beta", "", &answering(2)).ok();
    station.upload_with("relay", "", &relaying(API)).ok();
    assert_eq!(station.call("relay", RELAY, "(0)").result(), json!(2));
}
