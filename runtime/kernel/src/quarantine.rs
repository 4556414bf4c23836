//! Taking a module out of service whose calls make the station itself fail.
//!
//! A panic in a host function ends one call and nothing else. A module whose calls find the same mistake again and
//! again is different: each panic costs a log entry and an unwinding stack, and a mistake may leave something half done.
//! After [`PANICS_MAX`] within [`WINDOW_US`] the module is `broken`: its calls answer `call.not_ready` and what imports
//! it waits. It is the module on top of the stack that is held responsible, not the one that the client called.
//!
//! It ends with the next deployment of the module, of the same bytes too, or with a restart: nothing is written down.

use crate::kernel::Kernel;
use crate::ports::Executor;
use crate::tree::Tree;
use station_model::{Code, Digest, Failure, ModuleName};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Panics after which a module is out. One or two may be chance; a third within minutes is a pattern.
const PANICS_MAX: usize = 3;
/// How long one counts: long enough for a module that is called every few minutes.
const WINDOW_US: u64 = 10 * 60 * 1_000_000;

/// The last panics of each module, by the pulse's clock.
#[derive(Default)]
pub(crate) struct Panics(Mutex<BTreeMap<ModuleName, VecDeque<u64>>>);

impl Panics {
    /// Counts one. True when it is one too many; counting then begins anew.
    fn note(&self, module: &ModuleName, now_us: u64) -> bool {
        let mut all = self.lock();
        let times = all.entry(module.clone()).or_default();
        times.retain(|time| now_us.saturating_sub(*time) < WINDOW_US);
        times.push_back(now_us);
        let full = times.len() >= PANICS_MAX;
        if full {
            all.remove(module);
        }
        full
    }

    /// Forgets those of a module that is gone or another one now.
    pub(crate) fn forget(&self, module: &ModuleName) {
        self.lock().remove(module);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModuleName, VecDeque<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Executor> Kernel<E> {
    /// Holds the module on top of the stack responsible for a panic. Called on the call's thread, which has the
    /// runtime at hand.
    pub(crate) fn blame(self: Arc<Self>, tree: &Tree<E>) {
        let Some(node) = tree.innermost() else { return };
        let (module, digest) = (node.name.clone(), node.digest);
        tracing::error!(call = %tree.id, %module, %digest, "a host function panicked");
        if self.panics().note(&module, tree.pulse.exact_us()) {
            #[expect(clippy::disallowed_methods, reason = "it ends by itself, after the change that is under way")]
            tokio::spawn(async move { self.take_out(&module, digest).await });
        }
    }

    async fn take_out(&self, module: &ModuleName, digest: Digest) {
        let _changing = self.lock_changes().await;
        // It may have been removed or replaced meanwhile.
        if self.state_now().module(module).and_then(|module| module.active) != Some(digest) {
            return;
        }
        tracing::error!(%module, %digest, "takes a module out of service until it is deployed again");
        self.break_down(module, out_of_service());
        self.relink(&BTreeMap::new());
    }
}

fn out_of_service() -> Failure {
    let minutes = WINDOW_US / 60_000_000;
    let message = format!(
        "its calls made the station itself fail {PANICS_MAX} times within {minutes} minutes; it is out of service until it is deployed again or the station is restarted"
    );
    Failure::new(Code::CallNotReady, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_panics_within_the_window_count() {
        let (panics, module) = (Panics::default(), "a".parse().unwrap());
        let minute = |minute: u64| panics.note(&module, minute * 60_000_000);
        assert!(!minute(0) && !minute(6) && !minute(11), "the first one is too old");
        assert!(minute(15), "these three are within ten minutes");
        assert!(!minute(16), "and counting begins anew");
    }

    #[test]
    fn each_module_has_a_count_of_its_own_that_can_be_forgotten() {
        let (panics, one, two) = (Panics::default(), "one".parse().unwrap(), "two".parse().unwrap());
        assert!(!panics.note(&one, 1) && !panics.note(&one, 1) && !panics.note(&two, 1));
        panics.forget(&one);
        assert!(!panics.note(&one, 1) && !panics.note(&one, 1) && panics.note(&one, 1));
    }
}
