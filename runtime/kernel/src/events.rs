//! Events that modules publish, and what is told of those that are kept.
//!
//! Publishing is a write like any other: in the unit of work of the call, and gone with it. What must be known even when
//! the call fails is kept in memory until it has ended; see [`work`](crate::work).

use crate::kernel::Kernel;
use crate::lifecycle::blocking;
use crate::ports::Executor;
use crate::work::{Patient, fatal};
use station_model::{CallId, Failure, ModuleName};
use std::sync::Arc;

/// What an event takes beside its own bytes; an empty one takes a row all the same.
const ROW_BYTES: u64 = 128;

/// An event that a module publishes. The module is never part of it: it is known from who runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about, such as `dossiers.opened`.
    pub topic: String,
    /// Events of one key are in order; empty for events that belong to nothing in particular.
    pub key: String,
    /// What it says. Nobody here looks into it.
    pub payload: Vec<u8>,
    /// The root call in which it was published.
    pub call: CallId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Event {
    /// What it counts for: the bytes of its topic, key and payload, and of its row.
    pub fn bytes(&self) -> u64 {
        ROW_BYTES + (self.topic.len() + self.key.len() + self.payload.len()) as u64
    }
}

/// An event that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its place in the order of commits, from 1.
    pub offset: u64,
    /// Who published it.
    pub module: ModuleName,
    /// What.
    pub event: Event,
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those after this offset; the last ones without it.
    pub after: Option<u64>,
    /// At most so many; fewer where they are large.
    pub limit: u32,
    /// Only those of this module.
    pub module: Option<ModuleName>,
    /// Only those with this topic.
    pub topic: Option<String>,
}

impl<E: Executor> Kernel<E> {
    /// Events that were published, once they are on the disk.
    ///
    /// # Errors
    /// `upload.storage` or `station.read_only` when the database failed, `sql.busy`, `station.internal`.
    pub(crate) async fn events(&self, wanted: Wanted) -> Result<Vec<Published>, Failure> {
        let registry = Arc::clone(self.registry());
        let found = blocking(move || registry.events(&wanted)).await?;
        // Whatever was read is older than what a unit sees that begins now.
        let units = Arc::clone(&self.shop().units);
        let seen = tokio::task::spawn_blocking(move || units.begin(false, Arc::new(Patient)).map(|unit| unit.seen()));
        let mark = seen.await.map_err(|_| crate::run::internal())?.map_err(|error| fatal(&error))?;
        self.shop().units.durable(mark).await.map_err(|_| crate::run::not_durable())?;
        Ok(found)
    }
}
