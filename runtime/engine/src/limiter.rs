//! Memory, counted over everything an instance has.
//!
//! wasmtime's own limits hold per memory and per table, so forty memories of 64 MiB pass a limit of 64 MiB. This
//! limiter adds up all memories and tables of the store, and takes each byte from the module's meter and from the
//! station's as well. A refused growth is a `-1` to the guest, which may cope; it is remembered, so that a trap
//! that follows is told as the memory limit and not as a trap.

use station_kernel::Meter;
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Host bytes of one table element.
const TABLE_ELEMENT_BYTES: u64 = 16;
/// Core instances, memories and tables of one store; real components have up to about twenty.
const INSTANCES_MAX: usize = 128;
const MEMORIES_MAX: usize = 8;
const TABLES_MAX: usize = 64;

/// The memory of one instance, held against three ceilings.
pub(crate) struct Limiter {
    used: u64,
    instance_max: u64,
    module: Arc<Meter>,
    module_max: u64,
    station: Arc<Meter>,
    station_max: u64,
    refused: Option<u64>,
}

/// The three ceilings, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryMax {
    pub(crate) instance: u64,
    pub(crate) module: u64,
    pub(crate) station: u64,
}

impl Limiter {
    pub(crate) fn new(module: Arc<Meter>, station: Arc<Meter>, max: MemoryMax) -> Self {
        Self {
            used: 0,
            instance_max: max.instance,
            module,
            module_max: max.module,
            station,
            station_max: max.station,
            refused: None,
        }
    }

    /// The limit and the bytes that were asked for, when a growth was refused since the last look.
    pub(crate) fn take_refused(&mut self) -> Option<(u64, u64)> {
        self.refused.take().map(|asked| (self.instance_max, asked))
    }

    /// Counts nothing of the instance from now on: it is about to be thrown away.
    pub(crate) fn retire(&mut self) {
        let used = std::mem::take(&mut self.used);
        self.module.drop_memory(used);
        self.station.drop_memory(used);
    }

    fn grow(&mut self, bytes: u64) -> bool {
        let wanted = self.used.saturating_add(bytes);
        let granted = wanted <= self.instance_max && self.take(bytes);
        if granted {
            self.used = wanted;
        } else {
            self.refused = Some(wanted);
        }
        granted
    }

    fn take(&self, bytes: u64) -> bool {
        if !self.module.take_memory(bytes, self.module_max) {
            return false;
        }
        let taken = self.station.take_memory(bytes, self.station_max);
        if !taken {
            self.module.drop_memory(bytes);
        }
        taken
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.retire();
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow((desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(station: &Arc<Meter>, module: &Arc<Meter>) -> Limiter {
        let max = MemoryMax { instance: 100, module: 150, station: 200 };
        Limiter::new(Arc::clone(module), Arc::clone(station), max)
    }

    #[test]
    fn memories_of_one_instance_add_up() {
        let (station, module) = (Arc::default(), Arc::default());
        let mut one = limiter(&station, &module);
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!one.memory_growing(0, 60, None).unwrap());
        assert_eq!(one.take_refused(), Some((100, 120)));
        assert!(one.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn instances_of_one_module_and_of_the_station_add_up_and_give_back() {
        let station: Arc<Meter> = Arc::default();
        let (module, other) = (Arc::default(), Arc::default());
        let (mut a, mut b, mut c) = (limiter(&station, &module), limiter(&station, &module), limiter(&station, &other));
        assert!(a.memory_growing(0, 90, None).unwrap());
        assert!(!b.memory_growing(0, 90, None).unwrap(), "the module has 150 in all");
        assert!(b.memory_growing(0, 60, None).unwrap());
        assert!(!c.memory_growing(0, 60, None).unwrap(), "the station has 200 in all");
        drop(a);
        assert!(c.memory_growing(0, 60, None).unwrap());
        drop((b, c));
        assert_eq!(station.read().memory_bytes, 0);
    }

    #[test]
    fn tables_count_as_bytes() {
        let (station, module) = (Arc::default(), Arc::default());
        assert!(!limiter(&station, &module).table_growing(0, 7, None).unwrap());
    }
}
