//! Units of work: the kernel's [`Units`] port.
//!
//! A unit is a transaction on a connection of its own ([`desks`]). By default it only reads, on one snapshot; before
//! its first write it enters the writers' [`gate`] and takes SQLite's write lock, which fails if somebody has
//! committed since. It ends with its commit or when it is dropped, and then nothing of it has happened.
//!
//! A commit is seen by others at once and on the disk a little later: [`Units::durable`] waits for the [`flusher`],
//! which flushes for all commits together. So nothing may leave the station before `durable` of what it
//! [saw](Unit::seen) or [wrote](Unit::commit); the [`ledger`] says why those marks are enough. The [`checkpoint`]
//! thread keeps the WAL short beside all that.

mod checkpoint;
mod desks;
mod fault;
mod flusher;
mod gate;
mod ledger;
pub(crate) mod quota;
pub(crate) mod rows;
mod service;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use flusher::Sync;
pub(crate) use service::Service;
pub(crate) use work::{execute, station};

use crate::{Fault, Storage, error::Doing as _};
use station_kernel::{
    StorageError,
    ports::BoxFuture,
    work::{Mark, SqlError, Unit, Units, Watch},
};
use std::sync::Arc;
use work::Work;

impl Units for Storage {
    fn begin(&self, writing: bool, watch: Arc<dyn Watch>) -> Result<Box<dyn Unit>, SqlError> {
        Ok(Box::new(Work::begin(self, writing, watch)?))
    }

    fn hints_write(&self, sql: &str) -> bool {
        let word = sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        ["insert", "update", "delete", "replace", "create", "drop", "alter"]
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w))
    }

    fn healthy(&self) -> Result<(), StorageError> {
        self.inner.units.ledger.healthy().doing(|| "opening a unit of work".to_owned())
    }

    fn durable(&self, mark: Mark) -> BoxFuture<'static, Result<(), StorageError>> {
        let mut durable = self.inner.units.ledger.subscribe();
        Box::pin(async move {
            let settled = match durable.wait_for(|durable| durable.settles(mark.0)).await {
                Ok(settled) => settled.healthy(),
                Err(_) => Err(Fault::Closed),
            };
            settled.doing(|| "waiting until a unit of work is on the disk".to_owned())
        })
    }
}
