//! Desired state: what `station.yaml` says about modules is made so at the start.
//!
//! Applied module by module and in any order: one that needs another waits for it. A file whose digest is already
//! active costs nothing. What was uploaded or granted by the admin API and is not contradicted stays.

use crate::settings::ModuleSpec;
use station_engine::Engine;
use station_kernel::Kernel;
use station_kernel::control::{Principal, Upload};
use station_kernel::graph::Health;
use station_kernel::state::{Change, ModuleState, Scope};
use station_model::{Digest, Failure, InterfaceName, ModuleName};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a module of the configuration is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file cannot be read.
    #[error("module {module}: reading {path}")]
    Source {
        /// The module.
        module: ModuleName,
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It was refused.
    #[error("module {module}: {failure}")]
    Refused {
        /// The module.
        module: ModuleName,
        /// Why.
        failure: Failure,
    },
}

/// Makes every module of `specs` as it is wanted.
pub(crate) async fn apply(kernel: &Arc<Kernel<Engine>>, specs: &[ModuleSpec]) -> Result<(), Error> {
    for spec in specs {
        apply_one(kernel, spec).await?;
    }
    for spec in specs {
        report(kernel, &spec.name);
    }
    Ok(())
}

async fn apply_one(kernel: &Arc<Kernel<Engine>>, spec: &ModuleSpec) -> Result<(), Error> {
    let refused = |failure| Error::Refused { module: spec.name.clone(), failure };
    let who = Principal { name: "config".to_owned(), scope: Scope::Admin };
    if let Some(source) = &spec.source {
        tracing::info!(module = %spec.name, source = %source.display(), "deploying");
        let upload = receive(kernel, spec, source).await?;
        kernel.deploy(&who, upload).await.map_err(refused)?;
    }
    // A module that is uploaded later finds its grants waiting for it.
    let is = kernel.state_now().module(&spec.name).cloned();
    let mut changes = changes(spec, &is.clone().unwrap_or_default());
    if is.is_none() {
        changes.insert(0, Change::AddModule(spec.name.clone()));
    }
    if changes.is_empty() {
        return Ok(());
    }
    kernel.edit_station(&who, "config", spec.name.as_str(), changes).await.map_err(refused)
}

/// A copy of the module's file where uploads are received.
async fn receive(kernel: &Arc<Kernel<Engine>>, spec: &ModuleSpec, source: &Path) -> Result<Upload, Error> {
    let failed = |error| Error::Source { module: spec.name.clone(), path: source.to_owned(), source: error };
    let bytes = tokio::fs::read(source).await.map_err(failed)?;
    let file = kernel.registry().upload_path();
    tokio::fs::write(&file, &bytes).await.map_err(failed)?;
    Ok(Upload {
        module: spec.name.clone(),
        file,
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        grants: spec.grants.clone(),
        grant_all: spec.grant_all,
        links: spec.links.clone(),
        plan: false,
    })
}

/// What must change for a module to be as it is wanted. Grants and links are here again for modules without a file.
fn changes(spec: &ModuleSpec, is: &ModuleState) -> Vec<Change> {
    let name = &spec.name;
    let mut changes = Vec::new();
    let missing = spec.grants.iter().filter(|grant| !is.grants.contains(grant));
    changes.extend(missing.map(|grant| Change::AddGrant(name.clone(), grant.clone())));
    let wanted = spec.links.iter().map(|(interface, provider)| (import_named(is, interface), provider));
    let other = wanted.filter(|(interface, provider)| is.links.get(interface) != Some(provider));
    changes.extend(other.map(|(interface, provider)| Change::SetLink(name.clone(), interface, provider.clone())));
    if is.limits != spec.limits {
        changes.push(Change::SetLimits(name.clone(), spec.limits.clone()));
    }
    if is.instances != spec.instances {
        changes.push(Change::SetInstances(name.clone(), spec.instances.clone()));
    }
    if is.routes != spec.routes {
        changes.push(Change::SetRoutes(name.clone(), spec.routes.clone()));
    }
    if is.config != spec.config {
        changes.push(Change::SetConfig(name.clone(), spec.config.clone()));
    }
    changes
}

/// The full name of the import that is meant, where the module is there and its version was left out.
fn import_named(is: &ModuleState, wanted: &InterfaceName) -> InterfaceName {
    let imports = is.active_revision().into_iter().flat_map(|revision| &revision.world.imports);
    let meant = |name: &&InterfaceName| *name == wanted || (wanted.version().is_none() && wanted.same_interface(name));
    imports.map(|import| &import.name).find(meant).unwrap_or(wanted).clone()
}

fn report(kernel: &Arc<Kernel<Engine>>, name: &ModuleName) {
    let graph = kernel.graph_now();
    match graph.find(name).and_then(|at| graph.node(at)).map(|node| &node.health) {
        Some(Health::Ready) => tracing::info!(module = %name, "ready"),
        Some(Health::Waiting(waiting)) => {
            for open in waiting {
                tracing::warn!(module = %name, interface = %open.interface, "waiting: {}", open.detail);
            }
        }
        Some(Health::Broken(failure)) => tracing::error!(module = %name, %failure, "broken"),
        None => tracing::warn!(module = %name, "has no component yet; upload one"),
    }
}
