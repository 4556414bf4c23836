//! What a deployment would do, without doing it.
//!
//! A plan goes the way of a deployment up to the commit, and so refuses what that would refuse: the component is
//! compiled and tried, the new graph is built and judged. What only the commit can find out, it does not say: a migration
//! that fails, a disk that is full. Afterwards nothing is left of it, compiled code included.

use super::{Guard, blocking};
use crate::control::{Deployed, Principal, Upload};
use crate::kernel::Kernel;
use crate::ports::Executor;
use station_model::{Digest, Failure, ModuleName};
use std::sync::Arc;

impl<E: Executor> Kernel<E> {
    /// Says what would become of an upload.
    pub(super) async fn plan(self: &Arc<Self>, who: &Principal, upload: Upload) -> Result<Deployed, Failure> {
        let (module, digest) = (upload.module.clone(), upload.digest);
        let result = self.foresee(who, upload).await;
        let guard = self.lock_changes().await;
        self.leave_nothing(guard, module, digest).await;
        result
    }

    async fn foresee(&self, who: &Principal, upload: Upload) -> Result<Deployed, Failure> {
        let (module, digest) = (upload.module.clone(), upload.digest);
        let (prepared, links) = self.inspected(&upload).await?;
        let ready = self.load_and_try(Upload { links, ..upload }, prepared).await?;
        let _changing = self.lock_changes().await;
        let judged = self.judge_deployment(who, ready)?;
        Ok(Deployed { planned: true, ..self.deployed(&judged.graph, module, digest) })
    }

    /// Drops what a plan has brought into memory and into the cache, unless it is in use. Under the lock, like the
    /// removal of an artifact. A plan has no artifact: one that is there is that of a commit which may have failed, and
    /// may be needed at the next start.
    async fn leave_nothing(self: &Arc<Self>, guard: Guard, module: ModuleName, digest: Digest) {
        let kernel = Arc::clone(self);
        let drop_all = move || {
            let _changing = guard;
            let state = kernel.state_now();
            if state.module(&module).is_none() {
                kernel.forget(&module);
            }
            if !state.has_revision(&digest) {
                kernel.executor().forget(digest);
            }
            Ok(())
        };
        if let Err(failure) = blocking(drop_all).await {
            tracing::warn!(%failure, "could not drop what a plan has compiled");
        }
    }
}
