//! The last root calls, for `station trace` and `GET /v1/calls`: all of the recent ones, and failures for longer.
//!
//! Bounded: 1,000 calls and 1,000 failures, and 32 MiB of each. A call is never on disk; what must outlive a restart is in the
//! audit log.

use station_model::{CallId, CallReport, Failure, Frame, Location};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Calls kept, and failures kept beside them.
const CALLS_MAX: usize = 1_000;
/// Bytes of calls kept, and of failures beside them. A guest decides how many frames a report has and how long the
/// names of its functions are.
const BYTES_MAX: usize = 32 << 20;

/// The last root calls.
#[derive(Debug, Default)]
pub struct Journal {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    recent: Ring,
    failed: Ring,
}

/// The last reports, with about how many bytes they take.
#[derive(Debug, Default)]
struct Ring {
    reports: VecDeque<Arc<CallReport>>,
    bytes: usize,
}

impl Journal {
    /// Remembers a call that ended.
    pub fn record(&self, report: Arc<CallReport>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if report.failure.is_some() {
            kept.failed.push(Arc::clone(&report));
        }
        kept.recent.push(report);
    }

    /// Notes that a call which had succeeded is a failure after all, so that nobody reads of a success that was never told.
    pub fn doubt(&self, report: &Arc<CallReport>, failure: &Failure) {
        let doubted = Arc::new(CallReport { failure: Some(failure.clone()), ..CallReport::clone(report) });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.recent.replace(report.id, &doubted);
        match report.failure {
            Some(_) => kept.failed.replace(report.id, &doubted),
            None => kept.failed.push(doubted),
        }
    }

    /// The call with this id, if it is still remembered.
    pub fn get(&self, id: CallId) -> Option<Arc<CallReport>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.recent.reports.iter().chain(&kept.failed.reports).find(|report| report.id == id).cloned()
    }

    /// The last calls, newest first.
    pub fn recent(&self, limit: usize, failed_only: bool) -> Vec<Arc<CallReport>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let from = if failed_only { &kept.failed } else { &kept.recent };
        from.reports.iter().rev().take(limit).cloned().collect()
    }
}

impl Ring {
    fn replace(&mut self, id: CallId, with: &Arc<CallReport>) {
        let found = self.reports.iter_mut().rev().find(|report| report.id == id);
        found.into_iter().for_each(|report| *report = Arc::clone(with));
    }

    fn push(&mut self, report: Arc<CallReport>) {
        self.bytes += size(&report);
        self.reports.push_back(report);
        while self.reports.len() > CALLS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.reports.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(size(&oldest));
        }
    }
}

/// About how many bytes a report takes: its frames, and the names in them.
fn size(report: &CallReport) -> usize {
    let place = |at: &Location| size_of::<Location>() + at.function.as_ref().map_or(0, String::len);
    let frame = |frame: &Frame| size_of::<Frame>() + 100 + frame.at.iter().map(place).sum::<usize>();
    size_of::<CallReport>() + report.frames.iter().map(frame).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use station_model::{Digest, Outcome};

    fn report(number: u128, places: usize) -> Arc<CallReport> {
        let at = vec![Location { function: Some("x".repeat(100)), ..Location::default() }; places];
        let module: station_model::ModuleName = "m".parse().unwrap();
        let frame = Frame {
            module: module.clone(),
            revision: Digest::of(b""),
            interface: None,
            function: "run".into(),
            depth: 0,
            fuel: 0,
            outcome: Outcome::Ok,
            at,
        };
        Arc::new(CallReport {
            id: CallId::from_u128(number),
            started_ms: 0,
            principal: "host".into(),
            module,
            function: "run".parse().unwrap(),
            fuel: 0,
            duration_us: 0,
            calls: 1,
            failure: None,
            unit: None,
            frames: vec![frame],
        })
    }

    #[test]
    fn the_last_thousand_calls_are_kept() {
        let journal = Journal::default();
        (0..1_500).for_each(|n| journal.record(report(n, 0)));
        assert_eq!(journal.recent(usize::MAX, false).len(), CALLS_MAX);
        assert!(journal.get(CallId::from_u128(1_499)).is_some() && journal.get(CallId::from_u128(499)).is_none());
    }

    #[test]
    fn large_reports_are_kept_up_to_a_number_of_bytes() {
        let journal = Journal::default();
        (0..20).for_each(|n| journal.record(report(n, 20_000)));
        let kept = journal.recent(usize::MAX, false);
        assert!(!kept.is_empty() && kept.iter().map(|r| size(r)).sum::<usize>() <= BYTES_MAX);
    }
}
