//! Events that must be known even when the call fails: an audit of a refused login.
//!
//! They wait in memory, outside of every savepoint, until the root call has ended: then they are written with its commit,
//! or in a unit of their own after its rollback. A call that is run again begins without those of its first attempt.

use super::{SqlError, Unit};
use crate::events::Event;
use station_model::ModuleName;

/// Events that one root call may keep.
const EVENTS_MAX: usize = 256;
/// Bytes of all of them.
const BYTES_MAX: u64 = 1 << 20;

/// What a root call has to tell when it has ended, in the order in which it was published.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    events: Vec<(ModuleName, Event)>,
    bytes: u64,
}

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Bytes of those of one module.
    pub(crate) fn bytes_of(&self, module: &ModuleName) -> u64 {
        self.events.iter().filter(|(owner, _)| owner == module).map(|(_, event)| event.bytes()).sum()
    }

    /// Keeps one more.
    ///
    /// # Errors
    /// [`SqlError::Limit`] when the call has too many, or too large ones.
    pub(crate) fn add(&mut self, module: &ModuleName, event: Event) -> Result<(), SqlError> {
        let bytes = self.bytes.saturating_add(event.bytes());
        if self.events.len() >= EVENTS_MAX {
            return Err(SqlError::Limit { name: "events_always", max: EVENTS_MAX as u64 });
        }
        if bytes > BYTES_MAX {
            return Err(SqlError::Limit { name: "events_always_bytes", max: BYTES_MAX });
        }
        self.bytes = bytes;
        self.events.push((module.clone(), event));
        Ok(())
    }

    /// Writes all of them. Who published them has been asked for the quota then.
    pub(crate) fn publish(&self, unit: &mut dyn Unit) -> Result<(), SqlError> {
        self.events.iter().try_for_each(|(module, event)| unit.publish(module, event, u64::MAX))
    }
}
