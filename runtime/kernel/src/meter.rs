//! What a module uses: counters that outlive every graph, read by metrics and held against ceilings.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The use that one module makes of the station, since the start.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    failures: AtomicU64,
    fuel: AtomicU64,
    instances: AtomicU64,
    memory_bytes: AtomicU64,
}

/// A moment of a [`Meter`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Calls, nested ones included.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Fuel, without that of nested calls into other modules.
    pub fuel: u64,
    /// Instances that exist now.
    pub instances: u64,
    /// Bytes of their memories and tables.
    pub memory_bytes: u64,
}

impl Reading {
    /// True when nothing is in use now.
    pub fn is_idle(&self) -> bool {
        self.instances == 0 && self.memory_bytes == 0
    }
}

impl Meter {
    /// Adds calls that ended.
    pub fn add(&self, calls: u64, failures: u64, fuel: u64) {
        self.calls.fetch_add(calls, Relaxed);
        self.failures.fetch_add(failures, Relaxed);
        self.fuel.fetch_add(fuel, Relaxed);
    }

    /// Takes a place for one more instance, or says that `max` exist already.
    pub fn take_instance(&self, max: u64) -> bool {
        take(&self.instances, 1, max)
    }

    /// Gives the place of an instance back.
    pub fn drop_instance(&self) {
        self.instances.fetch_sub(1, Relaxed);
    }

    /// Takes memory, or says that more than `max` bytes would be in use.
    pub fn take_memory(&self, bytes: u64, max: u64) -> bool {
        take(&self.memory_bytes, bytes, max)
    }

    /// Gives memory back.
    pub fn drop_memory(&self, bytes: u64) {
        self.memory_bytes.fetch_sub(bytes, Relaxed);
    }

    /// All counters, as of now.
    pub fn read(&self) -> Reading {
        Reading {
            calls: self.calls.load(Relaxed),
            failures: self.failures.load(Relaxed),
            fuel: self.fuel.load(Relaxed),
            instances: self.instances.load(Relaxed),
            memory_bytes: self.memory_bytes.load(Relaxed),
        }
    }
}

fn take(from: &AtomicU64, amount: u64, max: u64) -> bool {
    from.fetch_update(Relaxed, Relaxed, |now| now.checked_add(amount).filter(|&next| next <= max)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_holds_and_what_is_given_back_can_be_taken_again() {
        let meter = Meter::default();
        assert!(meter.take_memory(60, 100));
        assert!(!meter.take_memory(41, 100));
        meter.drop_memory(60);
        assert!(meter.take_memory(100, 100));
        assert!(!meter.take_memory(u64::MAX, 100));
    }
}
