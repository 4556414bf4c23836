//! How another thread ends a tree: the client went away, or the station shuts down.

use station_model::{Code, Failure};
use std::sync::atomic::{AtomicU8, Ordering};

/// Ends a tree from outside.
#[derive(Debug, Default)]
pub struct Cancel {
    reason: AtomicU8,
    woken: tokio::sync::Notify,
}

/// Why a tree is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Whoever asked is gone.
    ClientGone = 1,
    /// The station shuts down.
    Draining = 2,
}

impl Cancel {
    /// Ends the tree at its next check. The first reason stays.
    pub fn set(&self, reason: Reason) {
        let _first = self.reason.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
        self.woken.notify_waiters();
    }

    /// Fails when the tree was cancelled.
    ///
    /// # Errors
    /// `call.cancelled`, `station.draining`.
    pub fn check(&self) -> Result<(), Failure> {
        match self.reason.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => Err(Failure::new(Code::CallCancelled, "the caller went away before the call ended")),
            _ => Err(Failure::new(Code::StationDraining, "the station shut down before the call ended")),
        }
    }

    /// Waits until the tree is cancelled.
    pub async fn cancelled(&self) -> Failure {
        loop {
            let woken = self.woken.notified();
            let mut woken = std::pin::pin!(woken);
            // Registered before the check, so that a `set` in between is not missed.
            woken.as_mut().enable();
            if let Err(failure) = self.check() {
                return failure;
            }
            woken.await;
        }
    }
}
