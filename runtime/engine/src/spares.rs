//! Fresh instances that are made ahead, by threads that have just answered a call and have nothing better to do.
//!
//! A spare is as good as an instance that is made within the call: it is made by the same code, has never worked for
//! anybody, and whoever gets it pays the fuel of its start. Where the start asks for anything that only a call has, or
//! fails, the module gets no spares. They keep nobody out: like every idle instance they give way when the engine is full.

use crate::engine::{Engine, Shared};
use crate::live::{Live, Making, Purpose};
use crate::module::Module;
use station_kernel::Meter;
use station_kernel::graph::Node;
use station_kernel::ports::ModuleSettings;
use station_model::Code;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Spares that a module has at most.
const SPARES_MAX: usize = 2;
/// Modules that wait for spares; more are served later.
const WISHES_MAX: usize = 64;

/// What spares are wanted for.
#[derive(Default)]
pub(crate) struct Spares(Mutex<VecDeque<Wish>>);

/// A module that has just used up an instance.
struct Wish {
    module: Arc<Module>,
    settings: Arc<ModuleSettings>,
    meter: Arc<Meter>,
    idle_ms_max: u64,
}

impl Spares {
    /// Wishes for a spare of a module.
    pub(crate) fn wish(&self, node: &Node<Engine>) {
        if node.module.starts_in_calls.load(Relaxed) {
            return;
        }
        let mut wishes = self.lock();
        let known = wishes.iter().any(|wish| Arc::ptr_eq(&wish.module, &node.module) && wish.settings == node.settings);
        if !known && wishes.len() < WISHES_MAX {
            wishes.push_back(Wish {
                module: Arc::clone(&node.module),
                settings: Arc::clone(&node.settings),
                meter: Arc::clone(&node.meter),
                idle_ms_max: node.instances.idle_ms_max,
            });
        }
    }

    fn next(&self) -> Option<Wish> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Wish>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes one spare, if one is wished for and there is room.
pub(crate) fn make_one(shared: &Arc<Shared>) {
    let Some(wish) = shared.pool.spares.next() else { return };
    let Wish { module, settings, meter, idle_ms_max } = &wish;
    if shared.pool.count(module, settings) >= SPARES_MAX || is_short(shared) {
        return;
    }
    // As much as a call would have for it; more than that, and the call had better fail by itself.
    let making = Making { module, settings, meter, fuel: settings.limits.fuel, purpose: Purpose::Spare };
    match Live::make(shared, &making) {
        Ok(live) if !live.store.data().asked_alone() => shared.pool.add(settings, *idle_ms_max, live),
        // Of a module that is busy there are instances enough.
        Err((named, _)) if matches!(named.failure.code, Code::StationBusy | Code::CallMemoryLimit) => (),
        _ => module.starts_in_calls.store(true, Relaxed),
    }
}

/// True when memory is for calls: half of what all instances may have is taken.
fn is_short(shared: &Shared) -> bool {
    shared.meter.read().memory_bytes > shared.settings.memory_bytes_max / 2
}
