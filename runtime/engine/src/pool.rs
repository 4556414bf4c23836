//! Instances that work for no call tree: those that outlive theirs, for modules whose operator said `instances: { mode:
//! reused }`, spares, which have not had one yet, and those that wait to be thrown away.
//!
//! By default an instance is dropped at the end of its tree, so a module keeps no state between calls. A kept one
//! ends when it has served `calls_max` trees or was idle for `idle_ms_max`, and at once when its module's code or
//! settings change. One that nobody uses keeps nobody else out: where the engine has no room for a new instance the one
//! that was idle longest ends, of whichever module. Only instances of a clean tree come here: none that trapped, none whose handles are still out.

use crate::engine::Engine;
use crate::live::Live;
use crate::module::Module;
use crate::run::Run;
use crate::spares::Spares;
use crate::used::Used;
use station_kernel::graph::{Node, NodeIndex};
use station_kernel::ports::ModuleSettings;
use station_kernel::pulse::Pulse;
use station_model::{Mode, ModuleName};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Instances by module.
#[derive(Default)]
pub(crate) struct Pool {
    kept: Mutex<HashMap<ModuleName, Vec<Kept>>>,
    turns: AtomicU64,
    pub(crate) spares: Spares,
    pub(crate) used: Used,
    pulse: OnceLock<Arc<Pulse>>,
}

struct Kept {
    live: Box<Live>,
    settings: Arc<ModuleSettings>,
    /// Which one it was to be kept: the coarse clock knows no order within a tick.
    turn: u64,
    idle_since_us: u64,
    idle_us_max: u64,
}

impl Kept {
    fn is_of(&self, module: &Arc<Module>, settings: &ModuleSettings) -> bool {
        Arc::ptr_eq(&self.live.module, module) && *self.settings == *settings
    }
}

impl Pool {
    /// A kept instance for `node`, made to work for `run`.
    pub(crate) fn take(&self, node: &Node<Engine>, run: &Arc<Run>, index: NodeIndex) -> Option<Box<Live>> {
        let kept = {
            let mut pool = self.lock();
            let kept = pool.get_mut(&node.name)?;
            // Whatever the mode is now: one of other code or settings would take a place of the new ones.
            let reused = node.instances.mode == Mode::Reused;
            kept.retain(|kept| (reused || kept.live.served == 0) && kept.is_of(&node.module, &node.settings));
            kept.pop()?
        };
        let mut live = kept.live;
        live.store.data_mut().bind(run, index);
        Some(live)
    }

    /// Keeps an instance after a clean tree, or has it thrown away where the operator wants fresh ones; then a spare is
    /// wished for.
    pub(crate) fn keep(&self, node: &Node<Engine>, mut live: Box<Live>) {
        let Some(run) = live.store.data_mut().unbind() else { return };
        self.pulse.get_or_init(|| Arc::clone(&run.tree.pulse));
        live.served += 1;
        if node.instances.mode != Mode::Reused {
            self.used.add(live);
            return self.spares.wish(node);
        }
        if live.served < node.instances.calls_max {
            self.add(&node.settings, node.instances.idle_ms_max, live);
        }
    }

    /// Adds an instance that works for no tree.
    pub(crate) fn add(&self, settings: &Arc<ModuleSettings>, idle_ms_max: u64, live: Box<Live>) {
        let kept = Kept {
            settings: Arc::clone(settings),
            turn: self.turns.fetch_add(1, Relaxed),
            idle_since_us: self.pulse.get().map_or(0, |pulse| pulse.coarse_us()),
            idle_us_max: idle_ms_max.saturating_mul(1_000),
            live,
        };
        self.lock().entry(settings.module.clone()).or_default().push(kept);
    }

    /// Instances of this code and with these settings that work for no tree.
    pub(crate) fn count(&self, module: &Arc<Module>, settings: &ModuleSettings) -> usize {
        let pool = self.lock();
        pool.get(&settings.module).map_or(0, |kept| kept.iter().filter(|kept| kept.is_of(module, settings)).count())
    }

    /// Drops what was idle for too long.
    pub(crate) fn tick(&self) {
        let Some(now) = self.pulse.get().map(|pulse| pulse.coarse_us()) else { return };
        // A busy lock means that calls run, so there is nothing to hurry for.
        let Ok(mut pool) = self.kept.try_lock() else { return };
        let fresh = |kept: &mut Kept| now.saturating_sub(kept.idle_since_us) < kept.idle_us_max;
        let stale: Vec<_> = pool.values_mut().flat_map(|kept| kept.extract_if(.., |kept| !fresh(kept))).collect();
        pool.retain(|_, kept| !kept.is_empty());
        drop(pool);
        drop(stale);
    }

    /// Ends the kept instance that was idle longest. False when none is kept.
    pub(crate) fn drop_oldest(&self) -> bool {
        let mut pool = self.lock();
        // Within a module they are taken from the end, so that the first is the oldest.
        let turn = |kept: &&mut Vec<Kept>| kept.first().map(|kept| kept.turn);
        let modules = pool.values_mut().filter(|kept| !kept.is_empty());
        let oldest = modules.min_by_key(turn).map(|kept| kept.remove(0));
        drop(pool);
        oldest.is_some()
    }

    /// Drops every kept instance of this code.
    pub(crate) fn forget(&self, module: &Arc<Module>) {
        self.lock().values_mut().for_each(|kept| kept.retain(|kept| !Arc::ptr_eq(&kept.live.module, module)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModuleName, Vec<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
