//! Fresh instances that are made ahead, by threads that have just answered a call and have nothing better to do.
//!
//! A spare is as good as an instance that is made within the call: it is made by the same code, has never worked for
//! anybody, and whoever gets it pays the fuel of its start. Where the start asks for anything that only a call has, or
//! fails, the module gets no spares. They keep nobody out: like every idle instance they give way when the engine is full,
//! and a call that finds no place while one is being made waits for that one.

use crate::engine::{Engine, Shared};
use crate::live::{Live, Making, Purpose};
use crate::module::Module;
use station_kernel::Meter;
use station_kernel::graph::Node;
use station_kernel::ports::ModuleSettings;
use station_model::Code;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Spares that a module has at most.
const SPARES_MAX: usize = 2;
/// Modules that wait for spares; more are served later.
const WISHES_MAX: usize = 64;

/// How long a call waits for spares that are being made, which is as long as modules may take to start.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What spares are wanted for, and how many are being made.
#[derive(Default)]
pub(crate) struct Spares {
    wishes: Mutex<Wishes>,
    made: Condvar,
}

#[derive(Default)]
struct Wishes {
    queue: VecDeque<Wish>,
    making: usize,
}

/// A wish that is being granted, until this is dropped.
struct Granting<'a> {
    spares: &'a Spares,
    wish: Wish,
}

impl Drop for Granting<'_> {
    fn drop(&mut self) {
        self.spares.lock().making -= 1;
        self.spares.made.notify_all();
    }
}

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
        let wishes = &mut self.lock().queue;
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

    /// Waits for spares that are being made now. False when there were none.
    pub(crate) fn wait(&self) -> bool {
        let wishes = self.lock();
        let any = wishes.making > 0;
        let waited = self.made.wait_timeout_while(wishes, WAIT_MAX, |wishes| wishes.making > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        any
    }

    fn next(&self) -> Option<Granting<'_>> {
        let mut wishes = self.lock();
        let wish = wishes.queue.pop_front()?;
        wishes.making += 1;
        Some(Granting { spares: self, wish })
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes one spare, if one is wished for and there is room.
pub(crate) fn make_one(shared: &Arc<Shared>) {
    let Some(granting) = shared.pool.spares.next() else { return };
    let Wish { module, settings, meter, idle_ms_max } = &granting.wish;
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
