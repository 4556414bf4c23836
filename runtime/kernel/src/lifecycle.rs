//! How a module comes, changes and goes.
//!
//! Every change is worked out in full on the side (new state, new graph), judged, written to the registry in one
//! transaction, and only then shown. The writing and the showing are one blocking task that nobody can cancel, so
//! a client that goes away leaves either everything or nothing.

use crate::control::{Deployed, Principal, Upload};
use crate::graph::{self, Graph, Health, Reason, Waiting};
use crate::kernel::Kernel;
use crate::ports::{Executor, Prepared, RefusedChange, StorageError, chain};
use crate::run;
use crate::state::{AuditEntry, Change, Migration, Revision, Scope, State};
use serde_json::{Value, json};
use station_model::{Code, Digest, Failure, Grant, Interface, InterfaceName, ModuleName, Selector, World};
use std::collections::{BTreeMap, BTreeSet};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::OwnedMutexGuard;

/// Held by whoever changes something. Shared with the blocking task that writes, which may outlive its caller.
pub(crate) type Guard = Arc<OwnedMutexGuard<()>>;

/// A change that was worked out and not yet made.
struct Plan<E: Executor> {
    changes: Vec<Change>,
    fresh: BTreeMap<Digest, Arc<E::Module>>,
    entry: AuditEntry,
    /// The module that is deployed anew: it need not stay broken.
    mends: Option<ModuleName>,
}

/// Looks at the graph before and after, and may refuse.
type Judge<'a, E> = &'a (dyn Fn(&Graph<E>, &Graph<E>) -> Result<(), Failure> + Send + Sync);

/// Removes an upload's file when the deployment ends, however it ends.
struct Received(PathBuf);

impl Drop for Received {
    fn drop(&mut self) {
        let _gone_if_kept = std::fs::remove_file(&self.0);
    }
}

impl<E: Executor> Kernel<E> {
    /// Takes in an upload.
    ///
    /// # Errors
    /// `upload.*`, `link.*`, `start.*`, `admin.forbidden`. Then nothing has changed.
    pub async fn deploy(self: &Arc<Self>, who: &Principal, upload: Upload) -> Result<Deployed, Failure> {
        let _received = Received(upload.file.clone());
        may_deploy(who, &upload)?;
        if let Some(same) = self.unchanged(&upload) {
            return Ok(same);
        }
        self.check_quota(&upload.module)?;
        let prepared = self.prepared(&upload).await?;
        self.check_exports(&prepared.world)?;
        let links = resolved_links(&prepared.world, &upload)?;
        let loaded = self.load_and_try(&upload, prepared).await;
        let guard = self.lock_changes().await;
        let result = match loaded {
            Ok((code, prepared)) => {
                self.activate(&guard, who, &Upload { links, ..upload.clone() }, prepared, code).await
            }
            Err(failure) => Err(failure),
        };
        // A commit that failed may all the same be there after a crash, and then it names this artifact; so may an
        // earlier one of the same bytes. If none is, the next start removes the file.
        let unsure = |failure: &Failure| matches!(failure.code, Code::UploadStorage | Code::StationReadOnly);
        if result.as_ref().is_err_and(|failure| !unsure(failure)) {
            self.drop_unused(guard, vec![upload.digest]).await;
        }
        result
    }

    /// Loads the uploaded component and makes one instance of it, before anything is locked: this may take long. What
    /// the instance says of its migrations belongs to what the component is.
    async fn load_and_try(
        &self,
        upload: &Upload,
        mut prepared: Prepared,
    ) -> Result<(Arc<E::Module>, Prepared), Failure> {
        let code = self.executor().load(upload.digest, &upload.file, &prepared.world).await?;
        let exported = self.try_instance(&upload.module, &code).await?;
        let known = &mut prepared.metadata.migrations;
        if !exported.is_empty() && !known.is_empty() && exported != *known {
            let message = "the component brings migrations in custom sections and exports others; choose one of both";
            return Err(Failure::new(Code::UploadInvalid, message));
        }
        if !exported.is_empty() {
            *known = exported;
        }
        Ok((code, prepared))
    }

    async fn activate(
        self: &Arc<Self>,
        guard: &Guard,
        who: &Principal,
        upload: &Upload,
        prepared: Prepared,
        code: Arc<E::Module>,
    ) -> Result<Deployed, Failure> {
        // Once more, now that nobody else can add to it.
        self.check_quota(&upload.module)?;
        let registry = Arc::clone(self.registry());
        let (digest, file) = (upload.digest, upload.file.clone());
        blocking(move || registry.keep_artifact(&digest, &file)).await?;
        let detail = json!({ "digest": upload.digest, "size": upload.size });
        let plan = Plan {
            changes: self.deploy_changes(upload, prepared),
            fresh: BTreeMap::from([(upload.digest, code)]),
            entry: self.entry(who, "deploy", upload.module.as_str(), detail),
            mends: Some(upload.module.clone()),
        };
        let module = upload.module.clone();
        let state = self.state_now();
        let judge = move |before: &Graph<E>, after: &Graph<E>| {
            judge_revision(&module, before, after)?;
            judge_for_absent(&module, &state, after)
        };
        self.change(guard, plan, &judge).await?;
        self.mended(&upload.module);
        let health = self.health(&self.graph_now(), &upload.module);
        Ok(Deployed { module: upload.module.clone(), digest: upload.digest, changed: true, health })
    }

    /// The answer to an upload that is already there with everything that it asks for.
    fn unchanged(&self, upload: &Upload) -> Option<Deployed> {
        let state = self.state_now();
        let module = state.module(&upload.module).filter(|m| m.active == Some(upload.digest))?;
        let mut wanted = upload.grants.clone();
        if upload.grant_all {
            wanted.extend(self.all_grants(&module.active_revision()?.world));
        }
        let granted = wanted.iter().all(|grant| module.grants.contains(grant));
        let links = resolved_links(&module.active_revision()?.world, upload).ok()?;
        let linked = links.iter().all(|(interface, provider)| module.links.get(interface) == Some(provider));
        let healthy = self.broken(&upload.module).is_none();
        (granted && linked && healthy).then(|| Deployed {
            module: upload.module.clone(),
            digest: upload.digest,
            changed: false,
            health: self.health(&self.graph_now(), &upload.module),
        })
    }

    /// Interfaces of the host are exported by the host alone, but for those that it calls.
    fn check_exports(&self, world: &World) -> Result<(), Failure> {
        let reserved = |name: &InterfaceName| name.is_reserved() && !self.executor().host_calls(name);
        match world.exports.iter().find(|export| reserved(&export.name)) {
            None => Ok(()),
            Some(export) => Err(Failure::new(
                Code::UploadBadName,
                format!(
                    "the component exports {}; only the host may provide `wasi:` and `station:` interfaces",
                    export.name
                ),
            )),
        }
    }

    fn check_quota(&self, name: &ModuleName) -> Result<(), Failure> {
        let state = self.state_now();
        let (settings, module) = (self.settings(), state.module(name));
        let modules = state.modules.len();
        if module.is_none() && modules >= settings.modules_max {
            let failure =
                Failure::new(Code::UploadQuota, "the station keeps no more modules; remove one with `station rm`");
            return Err(failure.with_limit("modules_max", settings.modules_max as u64, modules as u64 + 1));
        }
        let revisions = module.map_or(0, |m| m.revisions.len());
        if revisions >= settings.revisions_max {
            let failure = Failure::new(Code::UploadQuota, format!("the station keeps no more revisions of {name}"));
            return Err(failure.with_limit("revisions_max", settings.revisions_max as u64, revisions as u64 + 1));
        }
        Ok(())
    }

    /// What the component is: known from an earlier upload of the same bytes, or found out now.
    async fn prepared(&self, upload: &Upload) -> Result<Prepared, Failure> {
        let state = self.state_now();
        let known = state.modules.values().find_map(|module| module.revision(&upload.digest));
        match known {
            Some(revision) => Ok(Prepared { world: revision.world.clone(), metadata: revision.metadata.clone() }),
            None => self.executor().prepare(upload.digest, &upload.file).await,
        }
    }

    async fn try_instance(&self, module: &ModuleName, code: &Arc<E::Module>) -> Result<Vec<Migration>, Failure> {
        let settings = Arc::new(self.module_settings(module, &crate::state::ModuleState::default()));
        let (executor, code) = (Arc::clone(self.executor()), Arc::clone(code));
        let (send, receive) = tokio::sync::oneshot::channel();
        let job = move || drop(send.send(run::guarded(|| executor.trial(&code, &settings))));
        let busy = |_| Failure::new(Code::StationBusy, "all call threads are taken; try the upload again");
        self.threads().run(job).map_err(busy)?;
        receive.await.unwrap_or_else(|_| Err(Failure::new(Code::StationInternal, "the trial instance was lost")))
    }

    fn deploy_changes(&self, upload: &Upload, prepared: Prepared) -> Vec<Change> {
        let name = &upload.module;
        let mut grants = upload.grants.clone();
        if upload.grant_all {
            grants.extend(self.all_grants(&prepared.world));
        }
        let revision = Revision {
            digest: upload.digest,
            size: upload.size,
            uploaded_ms: self.clock().now_ms(),
            world: prepared.world,
            metadata: prepared.metadata,
        };
        let mut changes = vec![
            Change::AddModule(name.clone()),
            Change::AddRevision(name.clone(), revision),
            Change::Activate(name.clone(), upload.digest),
        ];
        changes.extend(grants.into_iter().map(|grant| Change::AddGrant(name.clone(), grant)));
        changes.extend(
            upload.links.iter().map(|(i, provider)| Change::SetLink(name.clone(), i.clone(), provider.clone())),
        );
        changes
    }

    /// A grant for everything that a world imports and that is not given to everybody.
    fn all_grants(&self, world: &World) -> Vec<Grant> {
        let needed = |import: &&Interface| !import.only_types() && !self.executor().harmless(&import.name);
        let grant =
            |import: &Interface| Grant::Import { selector: Selector::Interface(import.name.clone()), provider: None };
        world.imports.iter().filter(needed).map(grant).collect()
    }

    /// Makes changes to one module that exists.
    ///
    /// # Errors
    /// `admin.not_found`, `admin.forbidden`, `link.*`, `upload.storage`. Then nothing has changed.
    pub async fn edit(
        self: &Arc<Self>,
        who: &Principal,
        module: &ModuleName,
        action: &str,
        detail: Value,
        changes: Vec<Change>,
    ) -> Result<(), Failure> {
        needs(who, Scope::Admin, action)?;
        let guard = self.lock_changes().await;
        if self.state_now().module(module).is_none() {
            return Err(not_found(module));
        }
        let plan = Plan {
            changes,
            fresh: BTreeMap::new(),
            entry: self.entry(who, action, module.as_str(), detail),
            mends: None,
        };
        self.change(&guard, plan, &|_, _| Ok(())).await
    }

    /// Settles who provides an import.
    ///
    /// # Errors
    /// As [`edit`](Self::edit), and `link.no_such_export`, `link.type_mismatch`.
    pub async fn link(
        self: &Arc<Self>,
        who: &Principal,
        module: &ModuleName,
        interface: &InterfaceName,
        provider: &ModuleName,
    ) -> Result<(), Failure> {
        needs(who, Scope::Admin, "link")?;
        let guard = self.lock_changes().await;
        let state = self.state_now();
        let importer = state.module(module).ok_or_else(|| not_found(module))?;
        let import = the_import(importer.active_revision().map(|r| &r.world), module, interface)?;
        if state.module(provider).is_none() {
            return Err(not_found(provider));
        }
        let plan = Plan {
            changes: vec![Change::SetLink(module.clone(), import.clone(), provider.clone())],
            fresh: BTreeMap::new(),
            entry: self.entry(who, "link", module.as_str(), json!({ "interface": import, "provider": provider })),
            mends: None,
        };
        let judge = |_: &Graph<E>, after: &Graph<E>| judge_link(after, module, &import, provider);
        self.change(&guard, plan, &judge).await
    }

    /// Removes a module with everything that is remembered about it. Its importers wait from then on.
    ///
    /// # Errors
    /// `admin.not_found`, `admin.forbidden`, `upload.storage`.
    pub async fn remove(self: &Arc<Self>, who: &Principal, module: &ModuleName) -> Result<(), Failure> {
        needs(who, Scope::Admin, "rm")?;
        let guard = self.lock_changes().await;
        let digests = match self.state_now().module(module) {
            Some(found) => found.revisions.iter().map(|r| r.digest).collect(),
            None => return Err(not_found(module)),
        };
        let changes = vec![Change::RemoveModule(module.clone())];
        let plan = Plan {
            changes,
            fresh: BTreeMap::new(),
            entry: self.entry(who, "rm", module.as_str(), json!({})),
            mends: None,
        };
        self.change(&guard, plan, &|_, _| Ok(())).await?;
        self.forget(module);
        self.drop_unused(guard, digests).await;
        Ok(())
    }

    /// Changes that concern no module, such as tokens.
    ///
    /// # Errors
    /// `admin.forbidden`, `upload.storage`.
    pub async fn edit_station(
        self: &Arc<Self>,
        who: &Principal,
        action: &str,
        subject: &str,
        changes: Vec<Change>,
    ) -> Result<(), Failure> {
        needs(who, Scope::Admin, action)?;
        let guard = self.lock_changes().await;
        let plan =
            Plan { changes, fresh: BTreeMap::new(), entry: self.entry(who, action, subject, json!({})), mends: None };
        self.change(&guard, plan, &|_, _| Ok(())).await
    }

    /// Works out the new state and graph, has them judged, writes them down and shows them.
    async fn change(self: &Arc<Self>, guard: &Guard, mut plan: Plan<E>, judge: Judge<'_, E>) -> Result<(), Failure> {
        let mut state = State::clone(&self.state_now());
        state.apply(&plan.changes);
        let graph = Graph::build(&**self.executor(), &state, &self.assemble(&state, &plan.fresh, plan.mends.as_ref()));
        judge(&self.graph_now(), &graph)?;
        let pins = graph.new_pins(&state);
        state.apply(&pins);
        plan.changes.extend(pins);
        let migrations = migrations(&plan.changes, &state, &graph);
        plan.changes.extend(migrations);
        let (kernel, guard) = (Arc::clone(self), Arc::clone(guard));
        // The registry is in the database of the units of work, and takes its turn to write like one.
        let turn = Arc::clone(&self.shop().writers).acquire_owned().await;
        blocking(move || {
            let _changing = (guard, turn);
            kernel.registry().commit(&plan.changes, &plan.entry)?;
            kernel.show(state, graph);
            Ok(())
        })
        .await
    }

    pub(crate) async fn lock_changes(&self) -> Guard {
        Arc::new(Arc::clone(self.changing()).lock_owned().await)
    }

    /// Removes artifacts and compiled code that no revision has any more. Under the lock, because another upload of
    /// the same bytes may have kept its artifact and not yet written its revision.
    async fn drop_unused(self: &Arc<Self>, guard: Guard, digests: Vec<Digest>) {
        let kernel = Arc::clone(self);
        let drop_all = move || {
            let _changing = guard;
            let state = kernel.state_now();
            let used = |digest: &Digest| state.modules.values().any(|module| module.revision(digest).is_some());
            for digest in digests.iter().filter(|digest| !used(digest)) {
                kernel.executor().forget(*digest);
                kernel.registry().drop_artifact(digest)?;
            }
            Ok(())
        };
        if let Err(failure) = blocking(drop_all).await {
            tracing::warn!(%failure, "could not remove an artifact; the next start tries again");
        }
    }

    fn entry(&self, who: &Principal, action: &str, subject: &str, detail: Value) -> AuditEntry {
        AuditEntry {
            at_ms: self.clock().now_ms(),
            principal: who.name.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        }
    }
}

/// The migrations that become due with `changes`: those of modules that get a revision or a grant and may use what
/// their world imports. A module without a grant for SQL makes no tables. What was applied before is not again.
fn migrations<E: Executor>(changes: &[Change], state: &State, graph: &Graph<E>) -> Vec<Change> {
    let touched: BTreeSet<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Activate(name, _) | Change::AddGrant(name, _) => Some(name),
            _ => None,
        })
        .collect();
    let due = touched.into_iter().filter_map(|name| {
        let all = &state.module(name)?.active_revision()?.metadata.migrations;
        let node = graph.find(name).and_then(|at| graph.node(at))?;
        let denied = matches!(&node.health, Health::Waiting(why) if why.iter().any(|w| w.reason == Reason::NotGranted));
        (!all.is_empty() && !denied).then(|| Change::Migrate(name.clone(), all.clone()))
    });
    due.collect()
}

/// Runs `work` where it may block; a failure of the registry is `upload.storage`, or `station.read_only` once it has
/// stopped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Failure> {
    let storage = |error: StorageError| {
        if let Some(RefusedChange(failure)) = error.source.downcast_ref() {
            return failure.clone();
        }
        if let Some(stopped) = error.stopped() {
            return stopped;
        }
        tracing::error!(error = %chain(&error), "the registry failed");
        Failure::new(Code::UploadStorage, format!("{error} failed; nothing has changed"))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(storage),
        Err(_) => Err(Failure::new(Code::StationInternal, "the change was lost")),
    }
}

fn may_deploy(who: &Principal, upload: &Upload) -> Result<(), Failure> {
    let grants = !upload.grants.is_empty() || upload.grant_all || !upload.links.is_empty();
    match grants {
        true => needs(who, Scope::Admin, "granting and linking"),
        false => needs(who, Scope::Deploy, "deploy"),
    }
}

fn needs(who: &Principal, scope: Scope, what: &str) -> Result<(), Failure> {
    let word = if scope == Scope::Admin { "admin" } else { "deploy" };
    match who.scope.includes(scope) {
        true => Ok(()),
        false => Err(Failure::new(Code::AdminForbidden, format!("{what} needs a token with the scope `{word}`"))),
    }
}

pub(crate) fn not_found(module: &ModuleName) -> Failure {
    Failure::new(Code::AdminNotFound, format!("there is no module {module}; `station ls` lists them"))
}

/// The links of an upload by the full names of its imports.
fn resolved_links(world: &World, upload: &Upload) -> Result<Vec<(InterfaceName, ModuleName)>, Failure> {
    let resolve = |(interface, provider): &(InterfaceName, ModuleName)| {
        Ok((the_import(Some(world), &upload.module, interface)?, provider.clone()))
    };
    upload.links.iter().map(resolve).collect()
}

/// The import of `module` that is meant: by its full name, or without a version where only one fits.
fn the_import(world: Option<&World>, module: &ModuleName, wanted: &InterfaceName) -> Result<InterfaceName, Failure> {
    let imports = || world.into_iter().flat_map(|world| &world.imports).map(|import| &import.name);
    let loose: Vec<_> = imports().filter(|name| wanted.version().is_none() && wanted.same_interface(name)).collect();
    match (imports().find(|name| *name == wanted), loose.as_slice()) {
        (Some(name), _) => Ok(name.clone()),
        (None, [name]) => Ok((*name).clone()),
        _ => Err(Failure::new(
            Code::LinkNoSuchExport,
            format!("module {module} does not import {wanted}; `station show {module}` lists what it imports"),
        )),
    }
}

/// A new revision may not differ from what its providers have, nor break a module that is linked to it and serves.
fn judge_revision<E: Executor>(module: &ModuleName, before: &Graph<E>, after: &Graph<E>) -> Result<(), Failure> {
    let mismatch = |waiting: &Waiting| waiting.reason == Reason::TypeMismatch;
    if let Some(found) = waiting_in(after, module).iter().find(|w| mismatch(w)) {
        return Err(Failure::new(Code::LinkTypeMismatch, format!("{module} cannot be linked: {}", found.detail)));
    }
    for edge in before.edges().iter().filter(|edge| edge.provider == *module && edge.importer != *module) {
        let was_ready = waiting_in(before, &edge.importer).is_empty();
        let now = waiting_in(after, &edge.importer);
        let broken = now.iter().find(|w| w.interface == edge.interface && w.reason != Reason::ProviderWaiting);
        if let Some(found) = broken.filter(|_| was_ready) {
            let code = if mismatch(found) { Code::LinkTypeMismatch } else { Code::LinkNoSuchExport };
            let message = format!("this revision of {module} would break {}: {}", edge.importer, found.detail);
            return Err(Failure::new(code, message));
        }
    }
    Ok(())
}

/// Importers whose code is not loaded (it is being compiled again after a start) are in no graph, but what they
/// import is known: a revision may not break them either.
fn judge_for_absent<E: Executor>(module: &ModuleName, state: &State, after: &Graph<E>) -> Result<(), Failure> {
    let new = after.find(module).and_then(|at| after.node(at));
    let old = state.module(module).and_then(|module| module.active_revision());
    let (Some(new), Some(old)) = (new, old) else { return Ok(()) };
    for (importer, remembered) in state.modules.iter().filter(|(name, _)| after.find(name).is_none()) {
        let imports = remembered.active_revision().map_or(&[][..], |revision| &revision.world.imports);
        for import in imports.iter().filter(|import| graph::pinned(remembered, &import.name) == Some(module)) {
            let was_met = graph::unmet(import, &old.world, module).is_none();
            let Some((reason, why)) = graph::unmet(import, &new.world, module).filter(|_| was_met) else { continue };
            let mismatch = reason == Reason::TypeMismatch;
            let code = if mismatch { Code::LinkTypeMismatch } else { Code::LinkNoSuchExport };
            return Err(Failure::new(code, format!("this revision of {module} would break {importer}: {why}")));
        }
    }
    Ok(())
}

fn judge_link<E: Executor>(
    after: &Graph<E>,
    module: &ModuleName,
    import: &InterfaceName,
    provider: &ModuleName,
) -> Result<(), Failure> {
    let waiting = waiting_in(after, module);
    let Some(found) = waiting.iter().find(|w| w.interface == *import) else { return Ok(()) };
    match found.reason {
        Reason::TypeMismatch => Err(Failure::new(Code::LinkTypeMismatch, found.detail.clone())),
        Reason::ProviderGone | Reason::NoProvider => {
            let message =
                format!("module {provider} does not export {import}; `station show {provider}` lists what it exports");
            Err(Failure::new(Code::LinkNoSuchExport, message))
        }
        // A missing grant or a provider that waits itself can be mended later; the choice stands.
        _ => Ok(()),
    }
}

fn waiting_in<'a, E: Executor>(graph: &'a Graph<E>, module: &ModuleName) -> &'a [Waiting] {
    match graph.find(module).and_then(|at| graph.node(at)).map(|node| &node.health) {
        Some(Health::Waiting(waiting)) => waiting,
        _ => &[],
    }
}
