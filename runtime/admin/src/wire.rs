//! From the kernel's words to those of the wire.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use station_api as api;
use station_kernel::Line;
use station_kernel::control::{DataView, Deployed, KeysView, ModuleView, TableView, Warning};
use station_kernel::events::Published;
use station_kernel::graph::{Edge, Health, Reason, Waiting};
use station_kernel::state::{AuditEntry, Metadata, ModuleState, Revision, Route, Scope, Token};
use station_model::{Function, FunctionPath, Interface};

pub(crate) fn state(health: &Health) -> api::State {
    match health {
        Health::Ready => api::State::Ready,
        Health::Waiting(_) => api::State::Waiting,
        Health::Broken(_) => api::State::Broken,
    }
}

pub(crate) fn waiting_for(health: &Health) -> Vec<api::Waiting> {
    match health {
        Health::Waiting(waiting) => waiting.iter().map(waiting_import).collect(),
        Health::Ready | Health::Broken(_) => Vec::new(),
    }
}

pub(crate) fn data(data: DataView) -> api::TableList {
    let DataView { tables, keys } = data;
    api::TableList { tables: tables.into_iter().map(table).collect(), keys: keys.into_iter().map(self::keys).collect() }
}

pub(crate) fn event(published: Published) -> api::Event {
    let Published { offset, module, event } = published;
    api::Event {
        offset,
        module,
        topic: event.topic,
        key: event.key,
        call: event.call.to_string(),
        at_ms: event.at_ms,
        payload: STANDARD.encode(&event.payload),
        text: String::from_utf8(event.payload).ok(),
    }
}

fn keys(keys: KeysView) -> api::Keys {
    let KeysView { module, keys, bytes } = keys;
    api::Keys { module, keys, bytes }
}

fn table(table: TableView) -> api::Table {
    let TableView { module, name, physical, rows, bytes } = table;
    api::Table { module, name, physical, rows, bytes }
}

fn failure(health: &Health) -> Option<api::CallFailure> {
    match health {
        Health::Broken(failure) => Some(failure.clone().into()),
        Health::Ready | Health::Waiting(_) => None,
    }
}

fn waiting_import(waiting: &Waiting) -> api::Waiting {
    api::Waiting {
        interface: waiting.interface.clone(),
        reason: reason(waiting.reason).to_owned(),
        detail: waiting.detail.clone(),
        candidates: waiting.candidates.clone(),
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NoProvider => "no_provider",
        Reason::Ambiguous => "ambiguous",
        Reason::NotGranted => "not_granted",
        Reason::TypeMismatch => "type_mismatch",
        Reason::ProviderWaiting => "provider_waiting",
        Reason::ProviderGone => "provider_gone",
    }
}

pub(crate) fn deployed(deployed: Deployed) -> api::Deployed {
    api::Deployed {
        module: deployed.module,
        digest: deployed.digest,
        state: state(&deployed.health),
        changed: deployed.changed,
        planned: deployed.planned,
        waiting_for: waiting_for(&deployed.health),
        warnings: deployed.warnings.into_iter().map(warning).collect(),
    }
}

fn warning(warning: Warning) -> api::Warning {
    api::Warning { code: warning.code.to_owned(), detail: warning.detail }
}

pub(crate) fn summary(view: &ModuleView) -> api::ModuleSummary {
    api::ModuleSummary {
        name: view.name.clone(),
        state: state(&view.health),
        waiting_for: waiting_for(&view.health),
        failure: failure(&view.health),
        digest: view.state.active,
        version: view.state.active_revision().and_then(|r| r.metadata.version.clone()),
        revisions: view.state.revisions.len(),
        calls: view.calls,
        failures: view.failures,
        fuel: view.fuel,
    }
}

pub(crate) fn module(view: &ModuleView) -> api::Module {
    let revision = view.state.active_revision();
    let interfaces = |of: fn(&Revision) -> &Vec<Interface>| revision.map(|r| of(r).iter().map(interface).collect());
    api::Module {
        summary: summary(view),
        metadata: revision.map(|r| metadata(&r.metadata)).unwrap_or_default(),
        imports: interfaces(|r| &r.world.imports).unwrap_or_default(),
        exports: interfaces(|r| &r.world.exports).unwrap_or_default(),
        grants: view.state.grants.clone(),
        links: view.state.links.clone(),
        linked: view.linked.iter().cloned().map(edge).collect(),
        limits: view.state.limits.clone().into(),
        routes: view.state.routes.iter().map(route).collect(),
        config_keys: view.state.config.keys().cloned().collect(),
    }
}

fn metadata(metadata: &Metadata) -> api::Metadata {
    api::Metadata {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        description: metadata.description.clone(),
        licence: metadata.licence.clone(),
        source: metadata.source.clone(),
        producers: metadata.producers.clone(),
    }
}

fn interface(interface: &Interface) -> api::Interface {
    let functions = interface.functions.iter().map(|f| function(interface, f)).collect();
    api::Interface { name: interface.name.clone(), functions }
}

fn function(interface: &Interface, function: &Function) -> api::Function {
    let at = (!interface.root).then(|| interface.name.clone());
    let path = FunctionPath { interface: at, function: function.name.clone() };
    api::Function { name: function.name.clone(), path: path.to_string(), signature: signature(function) }
}

fn signature(function: &Function) -> String {
    let params: Vec<_> = function.params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let result = function.result.as_ref().map(|ty| format!(" -> {ty}")).unwrap_or_default();
    format!("func({}){result}", params.join(", "))
}

fn route(route: &Route) -> api::Route {
    api::Route { host: route.host.clone(), path: route.path.clone() }
}

pub(crate) fn kernel_route(route: api::Route) -> Route {
    Route { host: route.host, path: route.path }
}

pub(crate) fn versions(state: &ModuleState) -> Vec<api::Version> {
    let version = |revision: &Revision| api::Version {
        digest: revision.digest,
        active: state.active == Some(revision.digest),
        size: revision.size,
        uploaded_ms: revision.uploaded_ms,
        metadata: metadata(&revision.metadata),
    };
    state.revisions.iter().rev().map(version).collect()
}

pub(crate) fn node(view: &ModuleView) -> api::GraphNode {
    let names = |of: fn(&Revision) -> &Vec<Interface>| {
        view.state.active_revision().map(|r| of(r).iter().map(|i| i.name.clone()).collect())
    };
    api::GraphNode {
        name: view.name.clone(),
        state: state(&view.health),
        waiting_for: waiting_for(&view.health),
        digest: view.state.active,
        imports: names(|r| &r.world.imports).unwrap_or_default(),
        exports: names(|r| &r.world.exports).unwrap_or_default(),
    }
}

pub(crate) fn edge(edge: Edge) -> api::GraphEdge {
    api::GraphEdge {
        importer: edge.importer,
        interface: edge.interface,
        provider: edge.provider,
        exported: edge.exported,
        lane: edge.lane,
        lane_reason: edge.lane_reason,
    }
}

pub(crate) fn line(line: Line) -> api::LogLine {
    api::LogLine { seq: line.seq, at_ms: line.at_ms, call: line.call, level: line.level, text: line.text }
}

pub(crate) fn audit(entry: AuditEntry) -> api::AuditEntry {
    api::AuditEntry {
        at_ms: entry.at_ms,
        principal: entry.principal,
        action: entry.action,
        subject: entry.subject,
        detail: entry.detail,
    }
}

pub(crate) fn scope(scope: Scope) -> api::Scope {
    match scope {
        Scope::Read => api::Scope::Read,
        Scope::Deploy => api::Scope::Deploy,
        Scope::Admin => api::Scope::Admin,
    }
}

pub(crate) fn kernel_scope(scope: api::Scope) -> Scope {
    match scope {
        api::Scope::Read => Scope::Read,
        api::Scope::Deploy => Scope::Deploy,
        api::Scope::Admin => Scope::Admin,
    }
}

pub(crate) fn token(token: &Token) -> api::Token {
    api::Token {
        id: token.id.clone(),
        label: token.label.clone(),
        scopes: token.scopes.iter().copied().map(scope).collect(),
        created_ms: token.created_ms,
    }
}
