//! How an upload becomes a revision that serves.
//!
//! What takes long (compiling, a first instance) happens before anything is locked. A deployment that is only planned
//! goes the same way up to the commit, see [`plan`](super::plan).

use super::judge::{judge_for_absent, judge_revision};
use super::warnings::warnings;
use super::{Asked, Guard, Judged, blocking, needs, the_import};
use crate::control::{Deployed, Principal, Upload};
use crate::graph::Graph;
use crate::kernel::Kernel;
use crate::ports::{Executor, Prepared};
use crate::run;
use crate::state::{Change, Migration, ModuleState, Revision, Scope};
use serde_json::json;
use station_model::{Code, Digest, Failure, Grant, Interface, InterfaceName, ModuleName, Selector, World};
use std::collections::BTreeMap;
use std::{path::PathBuf, sync::Arc};

/// Removes an upload's file when the deployment ends, however it ends.
struct Received(PathBuf);

impl Drop for Received {
    fn drop(&mut self) {
        let _gone_if_kept = std::fs::remove_file(&self.0);
    }
}

/// An upload that was compiled and tried, with the links that it asks for by their full names.
pub(super) struct Ready<E: Executor> {
    pub(super) upload: Upload,
    prepared: Prepared,
    code: Arc<E::Module>,
}

impl<E: Executor> Kernel<E> {
    /// Takes in an upload, or says what taking it in would do.
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
        match upload.plan {
            true => self.plan(who, upload).await,
            false => self.take_in(who, upload).await,
        }
    }

    async fn take_in(self: &Arc<Self>, who: &Principal, upload: Upload) -> Result<Deployed, Failure> {
        let digest = upload.digest;
        let (prepared, links) = self.inspected(&upload).await?;
        let loaded = self.load_and_try(Upload { links, ..upload }, prepared).await;
        let guard = self.lock_changes().await;
        let result = match loaded {
            Ok(ready) => self.activate(&guard, who, ready).await,
            Err(failure) => Err(failure),
        };
        // A commit that failed may all the same be there after a crash, and then it names this artifact; so may an
        // earlier one of the same bytes. If none is, the next start removes the file.
        let unsure = |failure: &Failure| matches!(failure.code, Code::UploadStorage | Code::StationReadOnly);
        if result.as_ref().is_err_and(|failure| !unsure(failure)) {
            self.drop_unused(guard, vec![digest]).await;
        }
        result
    }

    /// What the uploaded component is, and who shall provide which of its imports.
    pub(super) async fn inspected(
        &self,
        upload: &Upload,
    ) -> Result<(Prepared, Vec<(InterfaceName, ModuleName)>), Failure> {
        let prepared = self.prepared(upload).await?;
        self.check_exports(&prepared.world)?;
        let links = resolved_links(&prepared.world, upload)?;
        Ok((prepared, links))
    }

    /// Loads the uploaded component and makes one instance of it, before anything is locked: this may take long. What
    /// the instance says of its migrations belongs to what the component is.
    pub(super) async fn load_and_try(&self, upload: Upload, mut prepared: Prepared) -> Result<Ready<E>, Failure> {
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
        Ok(Ready { upload, prepared, code })
    }

    async fn activate(self: &Arc<Self>, guard: &Guard, who: &Principal, ready: Ready<E>) -> Result<Deployed, Failure> {
        let (module, digest, file) = (ready.upload.module.clone(), ready.upload.digest, ready.upload.file.clone());
        let judged = self.judge_deployment(who, ready)?;
        let registry = Arc::clone(self.registry());
        blocking(move || registry.keep_artifact(&digest, &file)).await?;
        self.make(guard, judged).await?;
        self.mended(&module);
        let deployed = self.deployed(&self.graph_now(), module, digest);
        for warning in &deployed.warnings {
            tracing::warn!(module = %deployed.module, code = warning.code, "{}", warning.detail);
        }
        Ok(deployed)
    }

    /// Works a deployment out and judges it. Called under the lock.
    pub(super) fn judge_deployment(&self, who: &Principal, ready: Ready<E>) -> Result<Judged<E>, Failure> {
        let Ready { upload, prepared, code } = ready;
        // Once more, now that nobody else can add to it.
        self.check_quota(&upload.module)?;
        let detail = json!({ "digest": upload.digest, "size": upload.size });
        let asked = Asked {
            changes: self.deploy_changes(&upload, prepared),
            fresh: BTreeMap::from([(upload.digest, code)]),
            entry: self.entry(who, "deploy", upload.module.as_str(), detail),
            mends: Some(upload.module.clone()),
        };
        let (module, state) = (&upload.module, self.state_now());
        self.work_out(asked, &|before: &Graph<E>, after: &Graph<E>| {
            judge_revision(module, before, after)?;
            judge_for_absent(module, &state, after)
        })
    }

    /// The answer to a deployment that has led, or would lead, to `graph`.
    pub(super) fn deployed(&self, graph: &Graph<E>, module: ModuleName, digest: Digest) -> Deployed {
        let (health, warnings) = (self.health(graph, &module), warnings(&**self.executor(), graph, &module));
        Deployed { module, digest, changed: true, planned: false, health, warnings }
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
        let same = || self.deployed(&self.graph_now(), upload.module.clone(), upload.digest);
        (granted && linked && healthy).then(|| Deployed { changed: false, planned: upload.plan, ..same() })
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
        let settings = Arc::new(self.module_settings(module, &ModuleState::default()));
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
}

fn may_deploy(who: &Principal, upload: &Upload) -> Result<(), Failure> {
    let grants = !upload.grants.is_empty() || upload.grant_all || !upload.links.is_empty();
    match grants {
        true => needs(who, Scope::Admin, "granting and linking"),
        false => needs(who, Scope::Deploy, "deploy"),
    }
}

/// The links of an upload by the full names of its imports.
fn resolved_links(world: &World, upload: &Upload) -> Result<Vec<(InterfaceName, ModuleName)>, Failure> {
    let resolve = |(interface, provider): &(InterfaceName, ModuleName)| {
        Ok((the_import(Some(world), &upload.module, interface)?, provider.clone()))
    };
    upload.links.iter().map(resolve).collect()
}
