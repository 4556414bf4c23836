//! The kernel's [`Registry`] port: what was decided about modules, and their components.
//!
//! By default the kernel loads once, at the start, and commits every change before it shows it to anybody; so the
//! database is never behind what a client was told. A commit is one transaction with its audit entry: there is no
//! change without a line that says who made it. Migrations of modules are part of it; one that fails is a
//! [`RefusedChange`] as the source of the error.

use crate::{Fault, Storage, backup, change, error::Doing as _, events, inspect, load, migrate::Bounds, unit};
use station_kernel::{
    Registry, StorageError,
    control::DataView,
    events::{Published, Wanted},
    ports::{Backup, RefusedChange},
    state::{AuditEntry, Change, State},
};
use station_model::{Digest, ModuleName};
use std::path::{Path, PathBuf};

impl Registry for Storage {
    fn load(&self) -> Result<State, StorageError> {
        self.read(load::state).doing(|| "loading the registry".to_owned())
    }

    fn commit(&self, changes: &[Change], entry: &AuditEntry) -> Result<(), StorageError> {
        let (quota, time_max) = (self.quota(), self.inner.settings.migration_max);
        let bounds = Bounds { quota, rows: &self.inner.units.rows, time_max };
        let written = self.transact(|desk| {
            changes.iter().try_for_each(|change| change::write(desk, change, entry.at_ms, &bounds))?;
            unit::station(desk, |tx| change::append(tx, entry))
        });
        let doing = || format!("recording {} of {:?}", entry.action, entry.subject);
        match written {
            Err(Fault::Migration(failed)) => Err(RefusedChange(failed.failure())).doing(doing),
            written => written.doing(doing),
        }
    }

    fn keep_artifact(&self, digest: &Digest, uploaded: &Path) -> Result<(), StorageError> {
        self.inner.artifacts.keep(digest, uploaded).doing(|| format!("keeping the component {digest}"))
    }

    fn artifact(&self, digest: &Digest) -> PathBuf {
        self.inner.artifacts.path(digest)
    }

    fn upload_path(&self) -> PathBuf {
        self.inner.artifacts.upload_path()
    }

    fn drop_artifact(&self, digest: &Digest) -> Result<(), StorageError> {
        self.inner.artifacts.forget(digest).doing(|| format!("removing the component {digest}"))
    }

    fn sweep(&self, state: &State) -> Result<(), StorageError> {
        let revisions = state.modules.values().flat_map(|module| &module.revisions);
        let swept = self.inner.artifacts.sweep(revisions.map(|revision| revision.digest));
        swept.doing(|| "removing components that no module has".to_owned())
    }

    fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StorageError> {
        self.read(|db| load::audit(db, limit)).doing(|| "reading the audit log".to_owned())
    }

    fn events(&self, wanted: &Wanted) -> Result<Vec<Published>, StorageError> {
        self.read(|db| events::page(db, wanted)).doing(|| "reading events".to_owned())
    }

    fn backup(&self, at_ms: u64) -> Result<Backup, StorageError> {
        let made = backup::of_open(&self.inner.file, &self.inner.artifacts, at_ms);
        made.doing(|| "making a backup".to_owned())
    }

    fn tables(&self, module: Option<&ModuleName>) -> Result<DataView, StorageError> {
        let data = self.inner.file.parent().unwrap_or(Path::new("."));
        inspect::tables(data, module).map_err(RefusedChange).doing(|| "listing the tables".to_owned())
    }
}
