//! A station that remembers what it was asked, and answers as a test wishes.

use super::tokens;
use serde_json::json;
use station_kernel::{
    Control, Line, Logs,
    control::{
        CallAnswer, CallRequest, DataView, Deployed, Figures, GraphView, KeysView, ModuleView, Principal, TableView,
        Upload, Warning,
    },
    events::{Event, Published, Wanted},
    graph::Health,
    ports::{Backup, BoxFuture},
    state::{AuditEntry, Change, Revision, Route, Scope, State, Token},
};
use station_model::{
    CallId, CallReport, Code, Digest, Failure, Frame, Function, Grant, Interface, InterfaceName, LimitsPatch, Location,
    ModuleName, Outcome, Type, World,
};
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// More than is sent in one piece.
pub(super) const BACKUP_BYTES: u64 = 1_000_001;

/// How a deployment or a call goes.
#[derive(Clone, Default)]
pub(super) enum Way {
    #[default]
    Well,
    /// It fails.
    Fails(Failure),
    /// It never ends by itself.
    Hangs,
    /// The handler panics.
    Panics,
}

pub(super) struct Fake {
    pub(super) state: Mutex<State>,
    pub(super) way: Mutex<Way>,
    pub(super) logs: Logs,
    pub(super) folder: tempfile::TempDir,
    /// The last upload, and what was in its file.
    pub(super) uploaded: Mutex<Option<(Upload, Vec<u8>)>>,
    pub(super) called: Mutex<Option<(Principal, CallRequest)>>,
    /// Why it is not ready.
    pub(super) stopped: Mutex<Option<Failure>>,
    /// Something began that hangs.
    pub(super) began: Notify,
    /// Something that hangs was dropped.
    pub(super) dropped: Arc<Notify>,
}

struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Fake {
    /// A station with the tokens `read`, `deploy` and `admin` and the module `m`.
    pub(super) fn new() -> Self {
        let mut state = State::default();
        for (id, scope) in [("read", Scope::Read), ("deploy", Scope::Deploy), ("admin", Scope::Admin)] {
            let (_, token) = tokens::issue(id, id, vec![scope], [id.len() as u8; 32], 1);
            state.apply(&[Change::AddToken(token)]);
        }
        state.apply(&module_m());
        Self {
            state: Mutex::new(state),
            way: Mutex::default(),
            stopped: Mutex::default(),
            logs: Logs::default(),
            folder: tempfile::tempdir().unwrap(),
            uploaded: Mutex::default(),
            called: Mutex::default(),
            began: Notify::new(),
            dropped: Arc::default(),
        }
    }

    pub(super) fn goes(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// The files in the folder for uploads.
    pub(super) fn files(&self) -> usize {
        self.folder.path().read_dir().unwrap().count()
    }

    async fn go(&self) -> Result<(), Failure> {
        let way = self.way.lock().unwrap().clone();
        match way {
            Way::Well => Ok(()),
            Way::Fails(failure) => Err(failure),
            Way::Panics => panic!("as the test wished"),
            Way::Hangs => {
                let _dropped = Dropped(self.dropped.clone());
                self.began.notify_one();
                std::future::pending().await
            }
        }
    }

    fn view(&self, name: &ModuleName) -> Option<ModuleView> {
        let state = self.state.lock().unwrap().module(name)?.clone();
        Some(ModuleView {
            name: name.clone(),
            health: Health::Ready,
            linked: vec![],
            state,
            calls: 5,
            failures: 2,
            fuel: 700,
            instances: 1,
            memory_bytes: 65_536,
        })
    }

    fn edit(&self, module: &ModuleName, changes: &[Change]) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let missing = Failure::new(Code::AdminNotFound, format!("there is no module {module}"));
        let known = self.view(module).is_some();
        if known {
            self.state.lock().unwrap().apply(changes);
        }
        let view = self.view(module).filter(|_| known).ok_or(missing);
        Box::pin(std::future::ready(view))
    }
}

fn module_m() -> Vec<Change> {
    let (name, digest): (ModuleName, _) = ("m".parse().unwrap(), Digest::of(b"m"));
    let add = Function { name: "add".into(), params: vec![("a".into(), Type::U32)], result: Some(Type::U32) };
    let exports = vec![Interface {
        name: "demo:calc/ops@1.0.0".parse().unwrap(),
        root: false,
        functions: vec![add],
        resources: vec![],
    }];
    let world = World { imports: vec![], exports };
    let revision = Revision { digest, size: 1, uploaded_ms: 7, world, metadata: Default::default() };
    vec![Change::AddRevision(name.clone(), revision), Change::Activate(name, digest)]
}

/// A report in which `m` trapped, or did not.
pub(super) fn report(failure: Option<Failure>) -> CallReport {
    let outcome = failure.as_ref().map_or(Outcome::Ok, |failure| Outcome::Failed(failure.code));
    let at =
        vec![Location { function: Some("f".into()), file: Some("src/lib.rs".into()), line: Some(3), offset: Some(9) }];
    let frame = Frame {
        module: "m".parse().unwrap(),
        revision: Digest::of(b"m"),
        interface: Some("demo:calc/ops@1.0.0".parse().unwrap()),
        function: "add".into(),
        depth: 0,
        fuel: 10,
        outcome,
        at,
    };
    CallReport {
        id: CallId::from_u128(1),
        started_ms: 5,
        principal: "admin:admin".into(),
        module: "m".parse().unwrap(),
        function: "demo:calc/ops@1.0.0#add".parse().unwrap(),
        fuel: 10,
        duration_us: 20,
        calls: 1,
        failure,
        unit: None,
        frames: vec![frame],
    }
}

pub(super) fn trap() -> Failure {
    Failure::new(Code::CallTrap, "m trapped").with_limit("fuel", 1, 2)
}

impl Control for Fake {
    fn deploy(&self, _: Principal, upload: Upload) -> BoxFuture<'_, Result<Deployed, Failure>> {
        let bytes = std::fs::read(&upload.file).unwrap();
        *self.uploaded.lock().unwrap() = Some((upload.clone(), bytes));
        Box::pin(async move {
            self.go().await?;
            let changed = upload.digest != Digest::of(b"m");
            Ok(Deployed {
                module: upload.module,
                digest: upload.digest,
                changed,
                planned: upload.plan,
                health: Health::Ready,
                warnings: vec![Warning { code: "writes_and_waits", detail: "m does both".into() }],
            })
        })
    }

    fn remove(&self, _: Principal, module: ModuleName) -> BoxFuture<'_, Result<(), Failure>> {
        self.state.lock().unwrap().apply(&[Change::RemoveModule(module)]);
        Box::pin(std::future::ready(Ok(())))
    }

    fn grant(
        &self,
        _: Principal,
        module: ModuleName,
        grants: Vec<Grant>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let changes: Vec<_> = grants.into_iter().map(|grant| Change::AddGrant(module.clone(), grant)).collect();
        self.edit(&module, &changes)
    }

    fn revoke(
        &self,
        _: Principal,
        module: ModuleName,
        grants: Vec<Grant>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let changes: Vec<_> = grants.into_iter().map(|grant| Change::RemoveGrant(module.clone(), grant)).collect();
        self.edit(&module, &changes)
    }

    fn link(
        &self,
        _: Principal,
        module: ModuleName,
        interface: InterfaceName,
        provider: ModuleName,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        self.edit(&module, &[Change::SetLink(module.clone(), interface, provider)])
    }

    fn set_limits(
        &self,
        _: Principal,
        module: ModuleName,
        limits: LimitsPatch,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        self.edit(&module, &[Change::SetLimits(module.clone(), limits)])
    }

    fn set_routes(
        &self,
        _: Principal,
        module: ModuleName,
        routes: Vec<Route>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        self.edit(&module, &[Change::SetRoutes(module.clone(), routes)])
    }

    fn set_config(
        &self,
        _: Principal,
        module: ModuleName,
        config: BTreeMap<String, String>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        self.edit(&module, &[Change::SetConfig(module.clone(), config)])
    }

    fn call(&self, who: Principal, request: CallRequest) -> BoxFuture<'_, Result<CallAnswer, Failure>> {
        *self.called.lock().unwrap() = Some((who, request));
        Box::pin(async move {
            let failure = self.go().await.err();
            Ok(CallAnswer { result: json!(3), report: report(failure) })
        })
    }

    fn add_token(&self, _: Principal, token: Token) -> BoxFuture<'_, Result<(), Failure>> {
        self.state.lock().unwrap().apply(&[Change::AddToken(token)]);
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove_token(&self, _: Principal, id: String) -> BoxFuture<'_, Result<(), Failure>> {
        self.state.lock().unwrap().apply(&[Change::RemoveToken(id)]);
        Box::pin(std::future::ready(Ok(())))
    }

    fn state(&self) -> Arc<State> {
        Arc::new(self.state.lock().unwrap().clone())
    }

    fn graph(&self) -> GraphView {
        let names: Vec<_> = self.state.lock().unwrap().modules.keys().cloned().collect();
        GraphView { modules: names.iter().filter_map(|name| self.view(name)).collect(), links: vec![] }
    }

    fn module(&self, name: &ModuleName) -> Option<ModuleView> {
        self.view(name)
    }

    fn calls(&self, limit: usize, failed_only: bool) -> Vec<Arc<CallReport>> {
        let all = [report(Some(trap())), report(None)];
        all.into_iter().filter(|r| !failed_only || r.failure.is_some()).take(limit).map(Arc::new).collect()
    }

    fn trace(&self, id: CallId) -> BoxFuture<'_, Option<CallReport>> {
        Box::pin(std::future::ready((id == CallId::from_u128(1)).then(|| report(Some(trap())))))
    }

    fn logs(&self, module: &ModuleName, after: u64, limit: usize) -> Vec<Line> {
        self.logs.read(module, after, limit)
    }

    fn audit(&self, _: u32) -> BoxFuture<'_, Result<Vec<AuditEntry>, Failure>> {
        let entry = AuditEntry {
            at_ms: 1,
            principal: "admin:admin".into(),
            action: "deploy".into(),
            subject: "m".into(),
            detail: json!({}),
        };
        Box::pin(std::future::ready(Ok(vec![entry])))
    }

    fn events(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Published>, Failure>> {
        let module = wanted.module.unwrap_or_else(|| "m".parse().unwrap());
        let payload = vec![0xff; wanted.limit as usize];
        let topic = wanted.topic.unwrap_or_else(|| "t".into());
        let event = Event { topic, key: "k".into(), payload, call: CallId::from_u128(7), at_ms: 1 };
        Box::pin(std::future::ready(Ok(vec![Published { offset: wanted.after.unwrap_or(8) + 1, module, event }])))
    }

    fn prune_events(&self, _: Principal, _: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn tables(&self, module: Option<ModuleName>) -> BoxFuture<'_, Result<DataView, Failure>> {
        let module = module.unwrap_or_else(|| "m".parse().unwrap());
        let table =
            TableView { module: module.clone(), name: "t".into(), physical: "m1__t".into(), rows: 2, bytes: 4_096 };
        let keys = KeysView { module, keys: 3, bytes: 40 };
        Box::pin(std::future::ready(Ok(DataView { tables: vec![table], keys: vec![keys] })))
    }

    fn backup(&self, _: Principal) -> BoxFuture<'_, Result<Backup, Failure>> {
        let archive = Box::new(std::io::repeat(7).take(BACKUP_BYTES));
        Box::pin(std::future::ready(Ok(Backup { bytes: BACKUP_BYTES, archive })))
    }

    fn upload_path(&self) -> PathBuf {
        self.folder.path().join(format!("upload-{}", CallId::now()))
    }

    fn figures(&self) -> Figures {
        Figures { calls_running: 1, calls_queued: 2, threads_max: 8, compiles: 3 }
    }

    fn ready(&self) -> Result<(), Failure> {
        self.stopped.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}
