//! What a tree remembers of its calls: the stack of those that run, and marks of those that ended.
//!
//! Positions and numbers only, so that a call costs no allocation. Names are looked up for the report.

use crate::graph::{Found, NodeIndex};
use station_model::{Code, Location, Outcome};

/// Frames that a report shows of a call that succeeded. Two thousand reports are kept, so this bounds their memory.
const FRAMES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) open: Vec<Open>,
    pub(super) done: Vec<Mark>,
    /// The stack at the failure that is on its way up, or was the last to be.
    pub(super) path: Vec<Mark>,
    /// True from the moment of that failure until something else happens.
    pub(super) path_is_fresh: bool,
    pub(super) calls: u64,
    /// What each module used, until it is added to its meter.
    pub(super) used: Vec<Used>,
}

/// What one module used in a tree.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) node: NodeIndex,
    pub(super) calls: u64,
    pub(super) failures: u64,
    /// Without that of the calls into others.
    pub(super) fuel: u64,
}

/// A call that runs.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) node: NodeIndex,
    pub(super) what: Called,
    pub(super) entered_us: u64,
    /// Time that the tree had spent waiting when the call began.
    pub(super) waited_us: u64,
    /// When the call must have ended, on the pulse's clock, and the limit that says so.
    pub(super) deadline_us: u64,
    pub(super) deadline_ms: u64,
    pub(super) children_fuel: u64,
    pub(super) slot: Option<usize>,
}

/// A call that ended, or stands in the trace while it runs.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) node: NodeIndex,
    pub(super) what: Called,
    pub(super) depth: u32,
    pub(super) fuel: u64,
    pub(super) outcome: Outcome,
    pub(super) at: Vec<Location>,
}

/// What is called in a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// An exported function.
    Function(Found),
    /// The destructor of a resource that this export defines.
    Drop {
        /// Position of the export.
        export: usize,
    },
    /// A handler that the host calls, such as `wasi:http/incoming-handler#handle`.
    Handler(&'static str),
}

impl Book {
    /// Notes a call that begins, for the stack and, while there is room, for the report.
    pub(super) fn begin(&mut self, depth: usize, mut open: Open) {
        self.calls += 1;
        self.path_is_fresh = false;
        if self.done.len() < FRAMES_MAX {
            open.slot = Some(self.done.len());
            self.done.push(open.mark(depth, Outcome::Ok));
        }
        self.open.push(open);
    }

    /// Counts a call that ended, for the meter of its module.
    pub(super) fn count(&mut self, node: NodeIndex, fuel: u64, failed: bool) {
        let failures = u64::from(failed);
        match self.used.iter_mut().find(|used| used.node == node) {
            Some(used) => {
                used.calls += 1;
                used.failures += failures;
                used.fuel = used.fuel.saturating_add(fuel);
            }
            None => self.used.push(Used { node, calls: 1, failures, fuel }),
        }
    }

    /// Remembers a call that went well.
    pub(super) fn close(&mut self, open: &Open, fuel: u64) {
        self.path_is_fresh = false;
        if let Some(mark) = open.slot.and_then(|slot| self.done.get_mut(slot)) {
            (mark.fuel, mark.outcome) = (fuel, Outcome::Ok);
        }
    }

    /// Remembers a call that failed, with the code and where; the failure is its own where it is the `origin`.
    pub(super) fn close_failed(
        &mut self,
        open: &Open,
        depth: usize,
        fuel: u64,
        (code, at): (Code, Vec<Location>),
        origin: bool,
    ) {
        let outcome = Outcome::Failed(code);
        self.path_is_fresh = true;
        if origin {
            self.path = self.open.iter().enumerate().map(|(depth, open)| open.mark(depth, outcome)).collect();
            self.path.push(open.mark(depth, outcome));
        }
        if let Some(mark) = self.path.get_mut(depth) {
            (mark.fuel, mark.outcome) = (fuel, outcome);
            mark.at.clone_from(&at);
        }
        if let Some(mark) = open.slot.and_then(|slot| self.done.get_mut(slot)) {
            (mark.fuel, mark.outcome, mark.at) = (fuel, outcome, at);
        }
    }
}

impl Open {
    pub(super) fn mark(&self, depth: usize, outcome: Outcome) -> Mark {
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        Mark { node: self.node, what: self.what.clone(), depth, fuel: 0, outcome, at: Vec::new() }
    }
}
