//! Plans: what they say, what they refuse, and that nothing is left of them.

use super::{Bench, admin, exporting, importing, name};
use crate::control::{Control as _, Deployed, Principal, Upload, Warning};
use crate::graph::{Health, Reason};
use crate::state::Scope;
use crate::{Kernel, Settings, State};
use station_model::{Code, Digest, Failure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const WRITING: &str = "import wasi:rows/rows";
const WAITING: &str = "import wasi:net/net";

async fn plan(bench: &Bench, module: &str, bytes: &str) -> Result<Deployed, Failure> {
    bench.service.deploy(admin(), Upload { plan: true, ..bench.upload(module, bytes) }).await
}

/// Everything that a plan could leave behind.
fn everything(bench: &Bench) -> (State, Vec<String>, u64, Vec<String>) {
    let kernel: &Kernel<_> = &bench.kernel;
    let served = kernel.graph_now().nodes.iter().map(|node| format!("{} {}", node.name, node.digest)).collect();
    (State::clone(&kernel.state_now()), bench.registry.files(), bench.registry.commits.load(Ordering::Relaxed), served)
}

fn forgotten(bench: &Bench) -> Vec<Digest> {
    std::mem::take(&mut *bench.executor.forgotten.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_a_deployment_would_do_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.deploy("b", &exporting("a:b/x")).await.unwrap();
    let (before, graph) = (everything(&bench), bench.kernel.graph_now());

    let new = plan(&bench, "a", &importing("a:b/x")).await.unwrap();
    assert_eq!((new.changed, new.planned, &new.health), (true, true, &Health::Ready));
    let waits = plan(&bench, "c", &importing("a:b/y")).await.unwrap();
    assert!(matches!(&waits.health, Health::Waiting(why) if why[0].reason == Reason::NoProvider), "{waits:?}");
    let compatible = plan(&bench, "b", &(exporting("a:b/x") + "; export a:b/z")).await.unwrap();
    assert_eq!((compatible.changed, compatible.planned), (true, true));
    let same = plan(&bench, "b", &exporting("a:b/x")).await.unwrap();
    assert_eq!((same.changed, same.planned), (false, true));

    assert_eq!(everything(&bench), before);
    assert!(Arc::ptr_eq(&graph, &bench.kernel.graph_now()), "the graph is the very same");
    assert_eq!(forgotten(&bench), [new.digest, waits.digest, compatible.digest]);
    let really = bench.deploy("a", &importing("a:b/x")).await.unwrap();
    assert_eq!(really, Deployed { planned: false, ..new });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_bytes_that_another_module_has_keeps_their_code() {
    let bench = Bench::new().await;
    bench.deploy("one", &exporting("run")).await.unwrap();
    plan(&bench, "two", &exporting("run")).await.unwrap();
    assert_eq!(forgotten(&bench), []);
    assert!(bench.call("one").await.is_ok());
}

/// The artifact is there because the commit that named it may all the same be found at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_keeps_the_artifact_of_a_commit_that_may_have_failed() {
    let bench = Bench::new().await;
    bench.registry.refuse_commits(true);
    bench.deploy("a", &exporting("run")).await.unwrap_err();
    let artifact = bench.registry.files();
    plan(&bench, "a", &exporting("run")).await.unwrap();
    assert_eq!((bench.registry.files(), artifact.len()), (artifact, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_refuses_what_a_deployment_refuses_in_the_same_words() {
    let settings = Settings { modules_max: 2, ..Settings::default() };
    let bench = Bench::with(settings).await;
    bench.deploy("b", &exporting("a:b/x")).await.unwrap();
    bench.deploy("a", &importing("a:b/x")).await.unwrap();
    bench.executor.cannot_load(Digest::of(b"export damaged"));
    let before = everything(&bench);
    let cases = [
        ("b", exporting("a:b/y"), Code::LinkNoSuchExport),
        ("b", exporting("wasi:net/net"), Code::UploadBadName),
        ("b", exporting("damaged"), Code::UploadStorage),
        ("c", exporting("run"), Code::UploadQuota),
    ];
    for (module, bytes, code) in cases {
        let planned = plan(&bench, module, &bytes).await.unwrap_err();
        assert_eq!(planned.code, code, "{bytes}");
        assert_eq!(everything(&bench), before, "{bytes}");
        assert_eq!(bench.deploy(module, &bytes).await.unwrap_err(), planned, "{bytes}");
    }
    let reader = Principal { name: "x".into(), scope: Scope::Read };
    let upload = Upload { plan: true, grant_all: false, ..bench.upload("b", &exporting("run")) };
    assert_eq!(bench.service.deploy(reader, upload).await.unwrap_err().code, Code::AdminForbidden);
    let deployer = Principal { name: "x".into(), scope: Scope::Deploy };
    let upload = Upload { plan: true, ..bench.upload("b", &exporting("run")) };
    assert_eq!(bench.service.deploy(deployer, upload).await.unwrap_err().code, Code::AdminForbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_mends_no_module_that_is_out_of_service() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    bench.kernel.break_down(&name("a"), Failure::new(Code::CallNotReady, "it is out"));
    bench.kernel.relink(&BTreeMap::new());
    let planned = plan(&bench, "a", &exporting("run")).await.unwrap();
    assert_eq!((planned.changed, planned.health), (true, Health::Ready), "a deployment would mend it");
    assert_eq!(bench.call("a").await.unwrap_err().code, Code::CallNotReady);
}

/// The warnings of a module, of which the plan and the deployment say the same.
async fn warnings(bench: &Bench, module: &str, bytes: &[&str]) -> Vec<Warning> {
    let bytes = bytes.join("; ");
    let planned = plan(bench, module, &bytes).await.unwrap();
    let deployed = bench.deploy(module, &bytes).await.unwrap();
    assert_eq!(planned.warnings, deployed.warnings, "{module}");
    assert_eq!(bench.deploy(module, &bytes).await.unwrap().warnings, deployed.warnings, "{module}, again");
    deployed.warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_writes_and_waits_is_warned_of_and_one_that_does_either_is_not() {
    let bench = Bench::new().await;
    assert_eq!(warnings(&bench, "writer", &[WRITING]).await, []);
    assert_eq!(warnings(&bench, "waiter", &[WAITING]).await, []);
    let both = warnings(&bench, "both", &[WRITING, WAITING]).await;
    assert_eq!(both[0].code, "writes_and_waits");
    let said = "a call of both may write (wasi:rows/rows#f) and wait (wasi:net/net#f); wait first";
    assert!(both[0].detail.starts_with(said), "{}", both[0].detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_waits_is_named_at_any_depth_also_in_a_circle() {
    let bench = Bench::new().await;
    // far calls near again, so that the walk comes by where it has been.
    assert_eq!(warnings(&bench, "far", &[WAITING, "export a:far/x", "import a:near/x"]).await, []);
    assert_eq!(warnings(&bench, "near", &["export a:near/x", "import a:far/x"]).await, []);
    let shop = warnings(&bench, "shop", &[WRITING, "import a:near/x"]).await;
    let said = "a call of shop may write (wasi:rows/rows#f) and wait (wasi:net/net#f through far)";
    assert!(shop[0].detail.starts_with(said), "{}", shop[0].detail);
    // Nobody calls the shop, so the others are as they were.
    assert_eq!(warnings(&bench, "near", &["export a:near/x", "import a:far/x", "export a:near/y"]).await, []);
    let waiter = warnings(&bench, "near", &["export a:near/x", "import a:far/x", WRITING]).await;
    assert!(waiter[0].detail.contains("wait (wasi:net/net#f through far)"), "{}", waiter[0].detail);
}
