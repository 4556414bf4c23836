//! The kernel as the admin API sees it.

use crate::control::{
    CallAnswer, CallRequest, Control, DataView, Deployed, Figures, GraphView, ModuleView, Principal, Upload,
};
use crate::events::{Published, Wanted};
use crate::graph::Graph;
use crate::kernel::Kernel;
use crate::lifecycle::not_found;
use crate::logs::Line;
use crate::ports::{Backup, BoxFuture, Executor};
use crate::run::{RootCall, Target};
use crate::state::{AuditEntry, Change, ModuleState, Route, State, Token};
use serde_json::{Value, json};
use station_model::{CallId, CallReport, Code, Failure, Frame, Grant, InterfaceName, LimitsPatch, ModuleName};
use std::collections::BTreeMap;
use std::time::Duration;
use std::{path::PathBuf, sync::Arc};

/// How long the answer to a failed call may wait for names and lines.
const CALL_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a trace may.
const TRACE_PATIENCE: Duration = Duration::from_secs(15);

/// A handle on a kernel that speaks [`Control`].
pub struct Service<E: Executor>(pub Arc<Kernel<E>>);

impl<E: Executor> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Executor> Service<E> {
    fn view(&self, graph: &Graph<E>, name: &ModuleName, state: &ModuleState) -> ModuleView {
        let used = self.0.meter(name).read();
        let node = graph.find(name).and_then(|index| graph.node(index));
        ModuleView {
            name: name.clone(),
            health: self.0.health(graph, name),
            linked: node.map(|node| graph.edges_of(node).collect()).unwrap_or_default(),
            state: state.clone(),
            calls: used.calls,
            failures: used.failures,
            fuel: used.fuel,
            instances: used.instances,
            memory_bytes: used.memory_bytes,
        }
    }

    fn view_of(&self, module: &ModuleName) -> Result<ModuleView, Failure> {
        self.module(module).ok_or_else(|| not_found(module))
    }

    fn edit<'a>(
        &'a self,
        who: Principal,
        module: ModuleName,
        action: &'static str,
        detail: Value,
        changes: Vec<Change>,
    ) -> BoxFuture<'a, Result<ModuleView, Failure>> {
        Box::pin(async move {
            self.0.edit(&who, &module, action, detail, changes).await?;
            self.view_of(&module)
        })
    }

    /// The frames of a call with names, files and lines where the component tells them.
    /// Guest debug information is as hostile as the rest of the guest, so what is not found within `patience` is told
    /// by its offset.
    async fn symbolized(&self, mut report: CallReport, patience: Duration) -> CallReport {
        let all = async {
            // From the culprit up, because that is the one that is looked for.
            for frame in report.frames.iter_mut().rev().filter(|frame| !frame.at.is_empty()) {
                self.symbolize(frame).await;
            }
        };
        let _in_part = tokio::time::timeout(patience, all).await;
        report
    }

    async fn symbolize(&self, frame: &mut Frame) {
        let file = self.0.registry().artifact(&frame.revision);
        frame.at = self.0.executor().symbolize(frame.revision, &file, &frame.at).await;
    }
}

impl<E: Executor> Control for Service<E> {
    fn deploy(&self, who: Principal, upload: Upload) -> BoxFuture<'_, Result<Deployed, Failure>> {
        Box::pin(async move { self.0.deploy(&who, upload).await })
    }

    fn remove(&self, who: Principal, module: ModuleName) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.0.remove(&who, &module).await })
    }

    fn grant(
        &self,
        who: Principal,
        module: ModuleName,
        grants: Vec<Grant>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let detail = json!({ "grants": grants });
        let changes = grants.into_iter().map(|grant| Change::AddGrant(module.clone(), grant)).collect();
        self.edit(who, module, "grant", detail, changes)
    }

    fn revoke(
        &self,
        who: Principal,
        module: ModuleName,
        grants: Vec<Grant>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let missing =
            self.0.state_now().module(&module).and_then(|m| grants.iter().find(|g| !m.grants.contains(g)).cloned());
        if let Some(grant) = missing {
            let failure = Failure::new(Code::AdminNotFound, format!("module {module} has no grant {grant}"));
            return Box::pin(std::future::ready(Err(failure)));
        }
        let detail = json!({ "grants": grants });
        let changes = grants.into_iter().map(|grant| Change::RemoveGrant(module.clone(), grant)).collect();
        self.edit(who, module, "revoke", detail, changes)
    }

    fn link(
        &self,
        who: Principal,
        module: ModuleName,
        interface: InterfaceName,
        provider: ModuleName,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        Box::pin(async move {
            self.0.link(&who, &module, &interface, &provider).await?;
            self.view_of(&module)
        })
    }

    fn set_limits(
        &self,
        who: Principal,
        module: ModuleName,
        limits: LimitsPatch,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let changes = vec![Change::SetLimits(module.clone(), limits.clone())];
        self.edit(who, module, "limits", json!(limits), changes)
    }

    fn set_routes(
        &self,
        who: Principal,
        module: ModuleName,
        routes: Vec<Route>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        let changes = vec![Change::SetRoutes(module.clone(), routes.clone())];
        self.edit(who, module, "routes", json!(routes), changes)
    }

    fn set_config(
        &self,
        who: Principal,
        module: ModuleName,
        config: BTreeMap<String, String>,
    ) -> BoxFuture<'_, Result<ModuleView, Failure>> {
        // Values may be secrets, so the audit log gets the keys alone.
        let detail = json!({ "keys": config.keys().collect::<Vec<_>>() });
        let changes = vec![Change::SetConfig(module.clone(), config)];
        self.edit(who, module, "config", detail, changes)
    }

    fn call(&self, who: Principal, request: CallRequest) -> BoxFuture<'_, Result<CallAnswer, Failure>> {
        let call = RootCall {
            module: request.module,
            target: Target::Function(request.function),
            principal: who.name,
            id: CallId::now(),
            fuel: request.fuel,
            deadline_ms: request.deadline_ms,
            entry: self.0.executor().entry(request.arguments),
        };
        Box::pin(async move {
            let ended = self.0.run(call).await?;
            let report = CallReport::clone(&ended.report);
            // Of a call that succeeded nobody asked where something inside it trapped; `trace` tells.
            let report = if report.failure.is_some() { self.symbolized(report, CALL_PATIENCE).await } else { report };
            Ok(CallAnswer { result: ended.result.unwrap_or(Value::Null), report })
        })
    }

    fn add_token(&self, who: Principal, token: Token) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let id = token.id.clone();
            self.0.edit_station(&who, "token.create", &id, vec![Change::AddToken(token)]).await
        })
    }

    fn remove_token(&self, who: Principal, id: String) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if !self.0.state_now().tokens.contains_key(&id) {
                return Err(Failure::new(
                    Code::AdminNotFound,
                    format!("there is no token {id}; `station token ls` lists them"),
                ));
            }
            self.0.edit_station(&who, "token.revoke", &id, vec![Change::RemoveToken(id.clone())]).await
        })
    }

    fn state(&self) -> Arc<State> {
        self.0.state_now()
    }

    fn graph(&self) -> GraphView {
        let (state, graph) = (self.0.state_now(), self.0.graph_now());
        let modules = state.modules.iter().map(|(name, module)| self.view(&graph, name, module)).collect();
        GraphView { modules, links: graph.edges() }
    }

    fn module(&self, name: &ModuleName) -> Option<ModuleView> {
        let (state, graph) = (self.0.state_now(), self.0.graph_now());
        state.module(name).map(|module| self.view(&graph, name, module))
    }

    fn calls(&self, limit: usize, failed_only: bool) -> Vec<Arc<CallReport>> {
        self.0.journal().recent(limit, failed_only)
    }

    fn trace(&self, id: CallId) -> BoxFuture<'_, Option<CallReport>> {
        Box::pin(async move {
            let report = self.0.journal().get(id)?;
            Some(self.symbolized(CallReport::clone(&report), TRACE_PATIENCE).await)
        })
    }

    fn logs(&self, module: &ModuleName, after: u64, limit: usize) -> Vec<Line> {
        self.0.logs().read(module, after, limit)
    }

    fn audit(&self, limit: u32) -> BoxFuture<'_, Result<Vec<AuditEntry>, Failure>> {
        let registry = Arc::clone(self.0.registry());
        Box::pin(crate::lifecycle::blocking(move || registry.audit(limit)))
    }

    fn events(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Published>, Failure>> {
        Box::pin(self.0.events(wanted))
    }

    fn prune_events(&self, who: Principal, through: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let subject = format!("events through {through}");
            self.0.edit_station(&who, "events.prune", &subject, vec![Change::PruneEvents { through }]).await
        })
    }

    fn tables(&self, module: Option<ModuleName>) -> BoxFuture<'_, Result<DataView, Failure>> {
        let registry = Arc::clone(self.0.registry());
        Box::pin(crate::lifecycle::blocking(move || registry.tables(module.as_ref())))
    }

    fn backup(&self, who: Principal) -> BoxFuture<'_, Result<Backup, Failure>> {
        Box::pin(async move {
            // Everything leaves the station, so it is written down who asked; before, so that it is in the backup, too.
            self.0.edit_station(&who, "backup", "station", Vec::new()).await?;
            let (registry, now) = (Arc::clone(self.0.registry()), self.0.clock().now_ms());
            crate::lifecycle::blocking(move || registry.backup(now)).await
        })
    }

    fn upload_path(&self) -> PathBuf {
        self.0.registry().upload_path()
    }

    fn figures(&self) -> Figures {
        Figures {
            calls_running: self.0.running() as u64,
            calls_queued: self.0.threads().queued() as u64,
            threads_max: self.0.settings().threads_max as u64,
            compiles: self.0.executor().compiles(),
        }
    }

    fn ready(&self) -> Result<(), Failure> {
        self.0.open_for_calls()?;
        self.0.shop().units.healthy().map_err(|error| error.stopped().unwrap_or_else(crate::run::internal))
    }
}
