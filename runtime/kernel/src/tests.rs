//! The kernel as a whole, with an executor and a registry that a test directs.

#![allow(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod database;
mod events;
mod fakes;
mod planning;
mod units;

use crate::control::{CallRequest, Control, Principal, Upload};
use crate::graph::Health;
use crate::ports::Arguments;
use crate::state::Scope;
use crate::{Kernel, Service, Settings};
use database::Database;
use fakes::{Fake, Gate, Memory, exporting, importing};
use station_model::{Code, Digest, Failure, ModuleName};
use std::sync::Arc;
use std::time::Duration;

struct Bench {
    kernel: Arc<Kernel<Fake>>,
    service: Service<Fake>,
    executor: Arc<Fake>,
    registry: Arc<Memory>,
    database: Arc<Database>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (executor, registry) = (Arc::new(Fake::default()), Arc::new(Memory::new()));
        let database = Arc::default();
        let kernel = fakes::kernel(settings, &executor, &registry, &database).await;
        Self { service: Service(Arc::clone(&kernel)), kernel, executor, registry, database }
    }

    /// Uploads `bytes` as a revision of `module`.
    async fn deploy(&self, module: &str, bytes: &str) -> Result<crate::control::Deployed, Failure> {
        self.deploy_as(admin(), module, bytes).await
    }

    async fn deploy_as(&self, who: Principal, module: &str, bytes: &str) -> Result<crate::control::Deployed, Failure> {
        let grant_all = who.scope == Scope::Admin;
        self.service.deploy(who, Upload { grant_all, ..self.upload(module, bytes) }).await
    }

    fn upload(&self, module: &str, bytes: &str) -> Upload {
        Upload {
            module: name(module),
            file: self.registry.upload(bytes),
            digest: Digest::of(bytes.as_bytes()),
            size: bytes.len() as u64,
            grants: vec![],
            grant_all: true,
            links: vec![],
            plan: false,
        }
    }

    fn request(module: &str) -> CallRequest {
        CallRequest {
            module: name(module),
            function: "run".parse().unwrap(),
            arguments: Arguments::Json(vec![]),
            fuel: None,
            deadline_ms: None,
        }
    }

    async fn call(&self, module: &str) -> Result<crate::control::CallAnswer, Failure> {
        self.service.call(admin(), Self::request(module)).await
    }
}

fn admin() -> Principal {
    Principal { name: "admin:test".into(), scope: Scope::Admin }
}

fn name(text: &str) -> ModuleName {
    text.parse().unwrap()
}

/// Waits until `reached`, and fails when that takes unreasonably long.
async fn until(what: &str, reached: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited 10 s for {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upload_twice_is_one_revision() {
    let bench = Bench::new().await;
    assert!(bench.deploy("a", &exporting("run")).await.unwrap().changed);
    assert!(!bench.deploy("a", &exporting("run")).await.unwrap().changed);
    assert_eq!(bench.kernel.state_now().module(&name("a")).unwrap().revisions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_changes_nothing_and_keeps_the_file_that_a_crash_may_need() {
    let bench = Bench::new().await;
    bench.registry.refuse_commits(true);
    let failure = bench.deploy("a", &exporting("run")).await.unwrap_err();
    assert_eq!(failure.code, Code::UploadStorage);
    assert!(bench.kernel.state_now().modules.is_empty() && bench.kernel.graph_now().nodes.is_empty());
    assert_eq!(bench.registry.files().len(), 1);
    bench.registry.refuse_commits(false);
    assert!(bench.deploy("a", &exporting("run")).await.is_ok(), "the repaired station takes it at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn granting_needs_the_scope_admin_and_deploying_needs_deploy() {
    let bench = Bench::new().await;
    let with = |scope| Principal { name: "x".into(), scope };
    let read = bench.deploy_as(with(Scope::Read), "a", &exporting("run")).await;
    assert_eq!(read.unwrap_err().code, Code::AdminForbidden);
    assert!(bench.deploy_as(with(Scope::Deploy), "a", &exporting("run")).await.is_ok());
    let grant = bench.service.grant(with(Scope::Deploy), name("a"), vec!["a:b".parse().unwrap()]).await;
    assert_eq!(grant.unwrap_err().code, Code::AdminForbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_host_is_the_failure_of_one_call() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    bench.executor.behave(|_| panic!("a mistake of the host"));
    let answer = bench.call("a").await.unwrap();
    assert_eq!(answer.report.failure.unwrap().code, Code::StationInternal);
    bench.executor.behave(|_| Ok(None));
    assert!(bench.call("a").await.unwrap().report.failure.is_none());
}

/// Calls `module` this often, each of which panics in the host.
async fn panic_in(bench: &Bench, module: &str, times: usize) {
    bench.executor.behave(|_| panic!("a mistake of the host"));
    for _ in 0..times {
        let answer = bench.call(module).await.unwrap();
        assert_eq!(answer.report.failure.unwrap().code, Code::StationInternal);
    }
    bench.executor.behave(|_| Ok(None));
}

/// Waits until a module is out of service, and gives what its callers are told.
async fn out(bench: &Bench, module: &str) -> Failure {
    let health = || bench.service.module(&name(module)).unwrap().health;
    until("the module to be taken out", || matches!(health(), Health::Broken(_))).await;
    bench.call(module).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_whose_calls_make_the_host_panic_three_times_is_out_until_it_is_deployed_again() {
    let bench = Bench::new().await;
    for (module, bytes) in [("a", exporting("run")), ("same", exporting("run")), ("p", exporting("a:b/x"))] {
        bench.deploy(module, &bytes).await.unwrap();
    }
    panic_in(&bench, "a", 2).await;
    assert!(bench.call("a").await.unwrap().report.failure.is_none(), "twice may be chance");
    panic_in(&bench, "a", 1).await;
    let failure = out(&bench, "a").await;
    assert_eq!(failure.code, Code::CallNotReady);
    assert!(failure.message.contains("3 times within 10 minutes"), "{failure}");
    assert!(bench.call("same").await.is_ok(), "another module of the same bytes serves");
    assert!(bench.service.grant(admin(), name("a"), vec!["x:y".parse().unwrap()]).await.is_ok());
    bench.deploy("p2", &exporting("a:b/y")).await.unwrap();
    assert_eq!(out(&bench, "a").await.code, Code::CallNotReady, "a change of something else does not mend it");
    bench.deploy("third", &exporting("run")).await.unwrap();
    assert_eq!(out(&bench, "a").await.code, Code::CallNotReady, "nor does a deployment of another module");
    assert!(bench.deploy("a", &exporting("run")).await.unwrap().changed, "the same bytes are a deployment here");
    panic_in(&bench, "a", 2).await;
    assert!(bench.call("a").await.is_ok(), "and counting begins anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_imports_a_module_that_is_out_waits_and_a_restart_mends_both() {
    let bench = Bench::new().await;
    bench.deploy("provider", &exporting("a:b/x")).await.unwrap();
    bench.deploy("importer", &importing("a:b/x")).await.unwrap();
    let provider = bench.kernel.graph_now().find(&name("provider")).unwrap();
    let found = bench.kernel.graph_now().node(provider).unwrap().resolve(&"a:b/x#f".parse().unwrap()).unwrap();
    bench.deploy("caller", &exporting("run")).await.unwrap();
    bench.executor.behave(move |tree| {
        let provider = tree.graph.find(&name("provider")).unwrap();
        let _unwound = tree.enter(provider, crate::tree::Called::Function(found)).unwrap();
        panic!("a mistake of the host, deep in a call");
    });
    for _ in 0..3 {
        bench.call("caller").await.unwrap();
    }
    out(&bench, "provider").await;
    assert_eq!(bench.service.module(&name("caller")).unwrap().health, Health::Ready, "it was not on top");
    let waits = bench.service.module(&name("importer")).unwrap().health;
    assert!(matches!(&waits, Health::Waiting(waits) if waits[0].candidates == [name("provider")]), "{waits:?}");
    let kernel = fakes::kernel(Settings::default(), &bench.executor, &bench.registry, &bench.database).await;
    for module in ["provider", "importer"] {
        assert_eq!(kernel.health(&kernel.graph_now(), &name(module)), Health::Ready, "{module}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_caller_went_away_is_cancelled_and_remembered() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    bench.executor.behave(|tree| {
        loop {
            tree.cancel.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let gone = tokio::time::timeout(Duration::from_millis(50), bench.call("a")).await;
    assert!(gone.is_err(), "the caller left before an answer");
    until("the report", || !bench.service.calls(10, true).is_empty()).await;
    let report = bench.service.calls(10, true).remove(0);
    assert_eq!(report.failure.as_ref().unwrap().code, Code::CallCancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_stays_on_the_graph_it_began_with() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let before = bench.kernel.state_now().module(&name("a")).unwrap().active.unwrap();
    let gate = Gate::new();
    let inside = gate.clone();
    bench.executor.behave(move |tree| {
        inside.arrive_and_wait();
        let digest = tree.graph.node(tree.root).map(|node| node.digest.to_string());
        Ok(digest.map(Into::into))
    });
    let service = bench.service.clone();
    let call = tokio::spawn(async move { service.call(admin(), Bench::request("a")).await });
    until("the call", || gate.arrived()).await;
    bench.deploy("a", &(exporting("run") + " ")).await.unwrap();
    assert_ne!(bench.kernel.state_now().module(&name("a")).unwrap().active, Some(before));
    gate.open();
    assert_eq!(call.await.unwrap().unwrap().result, before.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_would_break_a_live_importer_is_refused_by_name() {
    let bench = Bench::new().await;
    bench.deploy("b", &exporting("a:b/x")).await.unwrap();
    bench.deploy("a", &importing("a:b/x")).await.unwrap();
    let failure = bench.deploy("b", &exporting("a:b/y")).await.unwrap_err();
    assert_eq!(failure.code, Code::LinkNoSuchExport);
    assert!(failure.message.contains("would break a"), "{}", failure.message);
    assert_eq!(bench.kernel.health(&bench.kernel.graph_now(), &name("a")), Health::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_module_cannot_take_every_call_thread() {
    let settings = Settings { threads_max: 4, queue_max: 2, ..Settings::default() };
    let bench = Bench::with(settings).await;
    bench.deploy("greedy", &exporting("run")).await.unwrap();
    bench.deploy("modest", &exporting("run")).await.unwrap();
    let gate = Gate::new();
    let inside = gate.clone();
    bench.executor.behave(move |tree| {
        if tree.graph.node(tree.root).is_some_and(|node| node.name == name("greedy")) {
            inside.arrive_and_wait();
        }
        Ok(None)
    });
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let service = bench.service.clone();
            tokio::spawn(async move { service.call(admin(), Bench::request("greedy")).await })
        })
        .collect();
    until("three running calls", || bench.service.figures().calls_running == 3).await;
    assert!(bench.call("modest").await.unwrap().report.failure.is_none());
    gate.open();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_calls_end_and_refuses_new_ones() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let gate = Gate::new();
    let inside = gate.clone();
    bench.executor.behave(move |_| {
        inside.arrive_and_wait();
        Ok(None)
    });
    let service = bench.service.clone();
    let call = tokio::spawn(async move { service.call(admin(), Bench::request("a")).await });
    until("the call", || gate.arrived()).await;
    let kernel = Arc::clone(&bench.kernel);
    let drain = tokio::spawn(async move { kernel.drain(Duration::from_secs(10)).await });
    until("the drain", || bench.service.ready().is_err()).await;
    assert_eq!(bench.call("a").await.unwrap_err().code, Code::StationDraining);
    gate.open();
    assert!(call.await.unwrap().unwrap().report.failure.is_none());
    drain.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_what_does_not_end_by_itself() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    bench.executor.behave(|tree| {
        loop {
            tree.cancel.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let service = bench.service.clone();
    let call = tokio::spawn(async move { service.call(admin(), Bench::request("a")).await });
    until("the call", || bench.service.figures().calls_running == 1).await;
    bench.kernel.drain(Duration::from_millis(10)).await;
    let failure = call.await.unwrap().unwrap().report.failure.clone().unwrap();
    assert_eq!(failure.code, Code::StationDraining);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_everything_back_and_a_broken_module_alone_is_missing() {
    let bench = Bench::new().await;
    bench.deploy("b", &exporting("a:b/x")).await.unwrap();
    bench.deploy("a", &importing("a:b/x")).await.unwrap();
    bench.deploy("c", &exporting("run")).await.unwrap();
    let again = Arc::new(Fake::default());
    again.cannot_load(Digest::of(exporting("run").as_bytes()));
    let kernel = fakes::kernel(Settings::default(), &again, &bench.registry, &bench.database).await;
    let graph = kernel.graph_now();
    assert_eq!(*kernel.state_now(), *bench.kernel.state_now());
    assert_eq!(kernel.health(&graph, &name("a")), Health::Ready);
    assert!(matches!(kernel.health(&graph, &name("c")), Health::Broken(_)));
    let service = Service(kernel);
    let failure = service.call(admin(), Bench::request("c")).await.unwrap_err();
    assert_eq!(failure.code, Code::CallNotReady);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_may_not_break_an_importer_that_is_not_loaded_yet() {
    let bench = Bench::new().await;
    bench.deploy("b", &exporting("a:b/x@1.0.0")).await.unwrap();
    bench.deploy("a", &importing("a:b/x@1.0.0")).await.unwrap();
    let again = Arc::new(Fake::default());
    again.cannot_load(Digest::of(importing("a:b/x@1.0.0").as_bytes()));
    let kernel = fakes::kernel(Settings::default(), &again, &bench.registry, &bench.database).await;
    let restarted = Bench { service: Service(Arc::clone(&kernel)), kernel, executor: again, ..bench };
    let refused = restarted.deploy("b", &exporting("a:b/x@2.0.0")).await.unwrap_err();
    assert_eq!(refused.code, Code::LinkNoSuchExport);
    assert!(refused.message.contains("would break a"), "{refused}");
    restarted.deploy("b", &exporting("a:b/x@1.1.0")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_module_leaves_nothing_of_it_and_its_importer_waits() {
    let bench = Bench::new().await;
    bench.deploy("b", &exporting("a:b/x")).await.unwrap();
    bench.deploy("a", &importing("a:b/x")).await.unwrap();
    bench.service.remove(admin(), name("b")).await.unwrap();
    assert_eq!(bench.registry.files().len(), 1);
    assert!(matches!(bench.service.module(&name("a")).unwrap().health, Health::Waiting(_)));
    assert_eq!(bench.call("b").await.unwrap_err().code, Code::CallNoSuchModule);
    bench.deploy("b", &exporting("a:b/x")).await.unwrap();
    assert_eq!(bench.service.module(&name("a")).unwrap().health, Health::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_costs_at_most_what_was_lent_and_waiting_costs_nothing() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    bench.executor.behave(|tree| {
        let failed = Failure::new(Code::CallTrap, "it trapped");
        let spend = |lent: u64, waited: bool| {
            let entered = tree.enter(tree.root, tree.called.clone()).unwrap();
            std::thread::sleep(Duration::from_millis(60));
            if waited {
                tree.note_wait(60_000);
            }
            tree.leave(entered, lent, 7, crate::tree::Ended::Failed(&failed, vec![]))
        };
        Ok(Some(serde_json::json!([spend(1_000, false), spend(1_000_000_000, false), spend(1_000_000_000, true)])))
    });
    let answer = bench.call("a").await.unwrap().result;
    let fuel = |at: usize| answer[at].as_u64().unwrap();
    assert_eq!(fuel(0), 1_000, "no more than was lent");
    assert!(fuel(1) > 1_000_000, "the time that it took, {answer}");
    assert!(fuel(2) < fuel(1) / 2, "but not the time that it waited, {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_a_version_means_the_import_that_has_one() {
    let bench = Bench::new().await;
    bench.deploy("b", &exporting("a:b/x@1.0.0")).await.unwrap();
    bench.deploy("c", &exporting("a:b/x@1.0.0")).await.unwrap();
    let bytes = importing("a:b/x@1.0.0");
    let links = |interface: &str| vec![(interface.parse().unwrap(), name("c"))];
    let upload = |interface: &str| Upload { links: links(interface), ..bench.upload("a", &bytes) };
    bench.service.deploy(admin(), upload("a:b/x")).await.unwrap();
    let state = bench.kernel.state_now();
    let links: Vec<_> = state.module(&name("a")).unwrap().links.iter().map(|(i, m)| format!("{i}={m}")).collect();
    assert_eq!(links, ["a:b/x@1.0.0=c"]);
    let failure = bench.service.deploy(admin(), upload("a:b/nothing")).await.unwrap_err();
    assert_eq!(failure.code, Code::LinkNoSuchExport);
}
