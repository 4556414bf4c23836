//! The last root calls, for `station trace` and `GET /v1/calls`: all of the recent ones, and failures for longer.
//!
//! Bounded: 1,000 calls and 1,000 failures. A call is never on disk; what must outlive a restart is in the
//! audit log.

use station_model::{CallId, CallReport};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Calls kept, and failures kept beside them.
const CALLS_MAX: usize = 1_000;

/// The last root calls.
#[derive(Debug, Default)]
pub struct Journal {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    recent: VecDeque<Arc<CallReport>>,
    failed: VecDeque<Arc<CallReport>>,
}

impl Journal {
    /// Remembers a call that ended.
    pub fn record(&self, report: Arc<CallReport>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if report.failure.is_some() {
            push(&mut kept.failed, Arc::clone(&report));
        }
        push(&mut kept.recent, report);
    }

    /// The call with this id, if it is still remembered.
    pub fn get(&self, id: CallId) -> Option<Arc<CallReport>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.recent.iter().chain(&kept.failed).find(|report| report.id == id).cloned()
    }

    /// The last calls, newest first.
    pub fn recent(&self, limit: usize, failed_only: bool) -> Vec<Arc<CallReport>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let from = if failed_only { &kept.failed } else { &kept.recent };
        from.iter().rev().take(limit).cloned().collect()
    }
}

fn push(to: &mut VecDeque<Arc<CallReport>>, report: Arc<CallReport>) {
    if to.len() == CALLS_MAX {
        to.pop_front();
    }
    to.push_back(report);
}
