//! Loading what is remembered, when the station starts.
//!
//! Compiled code that is in the cache loads within milliseconds. What must be compiled again (a new version of the
//! engine, a damaged entry) takes seconds to minutes, so the start waits for it a while and then serves what is
//! there; the rest joins the graph as it comes. A module that cannot be loaded keeps nobody else from serving.

use crate::graph::Graph;
use crate::kernel::Kernel;
use crate::ports::Executor;
use station_model::{Code, Digest, Failure, ModuleName};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Modules loaded at one time: code of many megabytes each is read and checked.
const LOADING_MAX: usize = 4;

/// A module that was loaded, or why it was not.
struct Arrival<E: Executor> {
    module: ModuleName,
    digest: Digest,
    outcome: Result<Arc<E::Module>, Failure>,
}

impl<E: Executor> Kernel<E> {
    /// Loads every active revision, and returns when all are there or the start has waited long enough.
    pub(crate) async fn load_all(self: &Arc<Self>) {
        let mut loading = self.start_loading();
        let mut arrived = BTreeMap::new();
        let patience = tokio::time::sleep(Duration::from_millis(self.settings().start_wait_ms_max));
        let mut patience = std::pin::pin!(patience);
        loop {
            tokio::select! {
                next = loading.join_next() => match next {
                    Some(Ok(arrival)) => self.note(arrival, &mut arrived),
                    Some(Err(error)) => tracing::error!(%error, "a module was lost while it was loaded"),
                    None => break,
                },
                () = &mut patience => break,
            }
        }
        self.relink(&arrived);
        if !loading.is_empty() {
            tracing::warn!(modules = loading.len(), "serving while these are compiled again");
            #[expect(clippy::disallowed_methods, reason = "it ends by itself when the last module has arrived")]
            tokio::spawn(Arc::clone(self).take_the_rest(loading));
        }
    }

    fn start_loading(self: &Arc<Self>) -> JoinSet<Arrival<E>> {
        let mut loading = JoinSet::new();
        let turns = Arc::new(Semaphore::new(LOADING_MAX));
        for (module, remembered) in &self.state_now().modules {
            let Some(revision) = remembered.active_revision() else { continue };
            self.break_down(module, Failure::new(Code::CallNotReady, "its code is being compiled again"));
            let (kernel, turns) = (Arc::clone(self), Arc::clone(&turns));
            let (module, digest, world) = (module.clone(), revision.digest, revision.world.clone());
            loading.spawn(async move {
                let _turn = turns.acquire().await;
                let file = kernel.registry().artifact(&digest);
                let outcome = kernel.executor().load(digest, &file, &world).await;
                Arrival { module, digest, outcome }
            });
        }
        loading
    }

    fn note(&self, arrival: Arrival<E>, arrived: &mut BTreeMap<Digest, Arc<E::Module>>) {
        let Arrival { module, digest, outcome } = arrival;
        match outcome {
            Ok(code) => {
                self.mended(&module);
                arrived.insert(digest, code);
            }
            Err(failure) => {
                tracing::error!(%module, %digest, %failure, "could not load a module; the others serve");
                self.break_down(&module, failure);
            }
        }
    }

    async fn take_the_rest(self: Arc<Self>, mut loading: JoinSet<Arrival<E>>) {
        while let Some(Ok(arrival)) = loading.join_next().await {
            let _changing = self.lock_changes().await;
            // It may have been removed or replaced meanwhile.
            let state = self.state_now();
            let wanted = state.module(&arrival.module).and_then(|module| module.active) == Some(arrival.digest);
            if wanted {
                let mut arrived = BTreeMap::new();
                self.note(arrival, &mut arrived);
                self.relink(&arrived);
            }
        }
    }

    /// Links everything anew, with `arrived` beside what was there.
    pub(crate) fn relink(&self, arrived: &BTreeMap<Digest, Arc<E::Module>>) {
        let state = self.state_now();
        let graph = Graph::build(&**self.executor(), &state, &self.assemble(&state, arrived, None));
        self.show_graph(graph);
    }
}
