//! How a module comes, changes and goes.
//!
//! Every change is worked out in full on the side (new state, new graph), judged, written to the registry in one
//! transaction, and only then shown. A plan ends when it is judged. The writing and the showing are one blocking task
//! that nobody can cancel, so a client that goes away leaves either everything or nothing.

mod deploy;
mod judge;
mod plan;
mod warnings;

use crate::control::Principal;
use crate::graph::{Graph, Health, Reason};
use crate::kernel::Kernel;
use crate::ports::{Executor, RefusedChange, StorageError, chain};
use crate::state::{AuditEntry, Change, Scope, State};
use judge::{Judge, judge_link};
use serde_json::{Value, json};
use station_model::{Code, Digest, Failure, InterfaceName, ModuleName, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Held by whoever changes something. Shared with the blocking task that writes, which may outlive its caller.
pub(crate) type Guard = Arc<OwnedMutexGuard<()>>;

/// A change as it is asked for.
struct Asked<E: Executor> {
    changes: Vec<Change>,
    fresh: BTreeMap<Digest, Arc<E::Module>>,
    entry: AuditEntry,
    /// The module that is deployed anew: it need not stay broken.
    mends: Option<ModuleName>,
}

/// A change that was worked out and judged, and not yet made.
struct Judged<E: Executor> {
    changes: Vec<Change>,
    entry: AuditEntry,
    state: State,
    graph: Graph<E>,
}

impl<E: Executor> Kernel<E> {
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
        let asked = Asked {
            changes,
            fresh: BTreeMap::new(),
            entry: self.entry(who, action, module.as_str(), detail),
            mends: None,
        };
        self.change(&guard, asked, &|_, _| Ok(())).await
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
        let asked = Asked {
            changes: vec![Change::SetLink(module.clone(), import.clone(), provider.clone())],
            fresh: BTreeMap::new(),
            entry: self.entry(who, "link", module.as_str(), json!({ "interface": import, "provider": provider })),
            mends: None,
        };
        let judge = |_: &Graph<E>, after: &Graph<E>| judge_link(after, module, &import, provider);
        self.change(&guard, asked, &judge).await
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
        let asked = Asked {
            changes,
            fresh: BTreeMap::new(),
            entry: self.entry(who, "rm", module.as_str(), json!({})),
            mends: None,
        };
        self.change(&guard, asked, &|_, _| Ok(())).await?;
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
        let asked =
            Asked { changes, fresh: BTreeMap::new(), entry: self.entry(who, action, subject, json!({})), mends: None };
        self.change(&guard, asked, &|_, _| Ok(())).await
    }

    /// Works out a change, has it judged, writes it down and shows it.
    async fn change(self: &Arc<Self>, guard: &Guard, asked: Asked<E>, judge: Judge<'_, E>) -> Result<(), Failure> {
        self.make(guard, self.work_out(asked, judge)?).await
    }

    /// Works out the new state and graph and has them judged. Changes nothing.
    fn work_out(&self, asked: Asked<E>, judge: Judge<'_, E>) -> Result<Judged<E>, Failure> {
        let Asked { mut changes, fresh, entry, mends } = asked;
        let mut state = State::clone(&self.state_now());
        state.apply(&changes);
        let graph = Graph::build(&**self.executor(), &state, &self.assemble(&state, &fresh, mends.as_ref()));
        judge(&self.graph_now(), &graph)?;
        let pins = graph.new_pins(&state);
        state.apply(&pins);
        changes.extend(pins);
        changes.extend(migrations(&changes, &state, &graph));
        Ok(Judged { changes, entry, state, graph })
    }

    /// Writes down what was worked out, and shows it.
    async fn make(self: &Arc<Self>, guard: &Guard, judged: Judged<E>) -> Result<(), Failure> {
        let Judged { changes, entry, state, graph } = judged;
        let (kernel, guard) = (Arc::clone(self), Arc::clone(guard));
        // The registry is in the database of the units of work, and takes its turn to write like one.
        let turn = Arc::clone(&self.shop().writers).acquire_owned().await;
        blocking(move || {
            let _changing = (guard, turn);
            kernel.registry().commit(&changes, &entry)?;
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
            for digest in digests.iter().filter(|digest| !state.has_revision(digest)) {
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
