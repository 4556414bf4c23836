//! One unit of work per root call: when it opens, when it may write, what is undone, when it commits.
//!
//! By default a tree has none: it opens at the first statement, on a snapshot of what is committed. Before its first
//! write a unit takes the station's write lock, first come first served, so that writers queue fairly and never
//! deadlock; from then on it has `unit.write-max` to end. Every call below the root that writes, or below which
//! something is written, is a savepoint, made when it is first needed: a call that writes nothing pays for one load.
//!
//! It ends with its root call: committed when that succeeded, rolled back otherwise. What ends the unit itself (a
//! conflict, too long, a full disk) ends the whole tree, whatever a module would do about it.
//!
//! Events that must be known even when the call fails are [kept](Kept) beside it.

mod kept;
mod port;

pub use port::{Caps, Constraint, KeyWrites, Mark, Plan, Rows, SqlError, Unit, Units, Value, Watch};

pub(crate) use kept::Kept;

use crate::graph::NodeIndex;
use crate::ports::chain;
use crate::pulse::Pulse;
use crate::tree::Cancel;
use station_model::{Code, Failure};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Tables that a report tells of one call tree.
const TABLES_MAX: usize = 64;
/// No limit yet.
const NEVER: u64 = u64::MAX;

/// What the units of all trees share.
#[derive(Clone)]
pub struct Workshop {
    /// Opens units.
    pub units: Arc<dyn Units>,
    /// One permit, given to writers in the order in which they came.
    pub writers: Arc<Semaphore>,
    /// How long a unit may take from its first write to its end.
    pub write_ms_max: u64,
}

impl Workshop {
    /// A workshop for these units.
    pub fn new(units: Arc<dyn Units>, write_ms_max: u64) -> Self {
        Self { units, writers: Arc::new(Semaphore::new(1)), write_ms_max }
    }
}

/// The unit of work of one call tree.
pub struct Work {
    pub(crate) shop: Workshop,
    pub(crate) watch: Arc<Watching>,
    /// Savepoints that are set: for the calls 1 to this one on the stack.
    saved: AtomicUsize,
    write_due_us: AtomicU64,
    outside: AtomicBool,
    state: Mutex<State>,
}

/// What a unit of work has come to.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) unit: Option<Box<dyn Unit>>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// Take the write lock before the first read: the second attempt of a call that conflicted.
    pub(crate) eager: bool,
    /// The response has begun, so nothing may be written.
    pub(crate) read_only: bool,
    /// Nothing of it may stay, however the root call ends.
    pub(crate) doomed: bool,
    /// Ended: nothing more can be read or written.
    pub(crate) closed: bool,
    /// Something that was written is gone again.
    pub(crate) undone: bool,
    /// Why the unit cannot go on.
    pub(crate) broken: Option<Failure>,
    pub(crate) mark: Mark,
    /// To be published however the root call ends.
    pub(crate) kept: Kept,
    pub(crate) log: Log,
}

/// What is told of a unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) opened_us: Option<u64>,
    pub(crate) locked_us: Option<u64>,
    pub(crate) ended_us: u64,
    pub(crate) waited_us: u64,
    pub(crate) committed: bool,
    /// Events that were published although or because the call failed.
    pub(crate) always: u64,
    /// Who changed how many rows of which table, and at which depth of the stack.
    pub(crate) wrote: Vec<Wrote>,
}

#[derive(Debug, Clone)]
pub(crate) struct Wrote {
    pub(crate) node: NodeIndex,
    pub(crate) table: Option<String>,
    pub(crate) rows: u64,
    pub(crate) depth: usize,
}

/// Ends a statement that runs when its call must end.
pub(crate) struct Watching {
    pulse: Arc<Pulse>,
    cancel: Arc<Cancel>,
    due_us: AtomicU64,
    steps: AtomicU64,
    steps_max: AtomicU64,
    /// The call has ended well, and what is written now is the station's.
    patient: AtomicBool,
}

impl Watch for Watching {
    fn step(&self, steps: u64) -> bool {
        if self.patient.load(Ordering::Relaxed) {
            return false;
        }
        let made = self.steps.fetch_add(steps, Ordering::Relaxed).saturating_add(steps);
        made > self.steps_max.load(Ordering::Relaxed)
            || self.pulse.coarse_us() >= self.due_us.load(Ordering::Relaxed)
            || self.cancel.check().is_err()
    }
}

/// Lets a statement run to its end.
pub(crate) struct Patient;

impl Watch for Patient {
    fn step(&self, _: u64) -> bool {
        false
    }
}

impl Watching {
    /// Begins to watch a statement that must have ended at `due_us` and may make `steps_max` steps.
    pub(crate) fn begin(&self, due_us: u64, steps_max: u64) {
        self.due_us.store(due_us, Ordering::Relaxed);
        self.steps.store(0, Ordering::Relaxed);
        self.steps_max.store(steps_max, Ordering::Relaxed);
    }

    /// Steps made since [`begin`](Self::begin).
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.steps() > self.steps_max.load(Ordering::Relaxed)
    }
}

impl Work {
    /// A unit that is not opened yet. `eager` takes the write lock before anything is read.
    pub fn new(shop: &Workshop, pulse: &Arc<Pulse>, cancel: &Arc<Cancel>, eager: bool) -> Self {
        let watch = Watching {
            pulse: Arc::clone(pulse),
            cancel: Arc::clone(cancel),
            due_us: AtomicU64::new(NEVER),
            steps: AtomicU64::new(0),
            steps_max: AtomicU64::new(NEVER),
            patient: AtomicBool::new(false),
        };
        Self {
            shop: shop.clone(),
            watch: Arc::new(watch),
            saved: AtomicUsize::new(0),
            write_due_us: AtomicU64::new(NEVER),
            outside: AtomicBool::new(false),
            state: Mutex::new(State { eager, ..State::default() }),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the unit must have ended, on the pulse's clock; far away while nothing was written.
    pub(crate) fn due_us(&self) -> u64 {
        self.write_due_us.load(Ordering::Relaxed)
    }

    /// The failure of a unit that wrote for too long.
    pub(crate) fn too_long(&self, now_us: u64) -> Failure {
        let max = self.shop.write_ms_max;
        let used = max.saturating_add(now_us.saturating_sub(self.due_us()) / 1_000);
        let message =
            format!("a call may take {max} ms from its first write to its end; write last, or less at a time");
        Failure::new(Code::UnitTooLong, message).with_limit("unit_write_ms_max", max, used)
    }

    /// Notes that something outside has happened that cannot be done twice.
    pub(crate) fn note_outside(&self) {
        self.outside.store(true, Ordering::Relaxed);
    }

    /// True when the call conflicted and nobody would notice if it were run again.
    pub(crate) fn may_run_again(&self) -> bool {
        let state = self.state();
        let conflict = state.broken.as_ref().is_some_and(|failure| failure.code == Code::UnitConflict);
        conflict && !state.eager && !state.read_only && !self.outside.load(Ordering::Relaxed)
    }

    /// Ends the savepoint of the call at `depth`, if it has one: what it wrote belongs to its caller, or is gone.
    pub(crate) fn leave(&self, depth: usize, stays: bool) {
        let saved = self.saved.load(Ordering::Relaxed);
        if depth == 0 || saved < depth {
            return;
        }
        let mut state = self.state();
        self.saved.store(depth - 1, Ordering::Relaxed);
        state.log.leave(depth, stays);
        state.undone |= !stays;
        let ended = match (&mut state.unit, stays) {
            (Some(unit), true) => unit.release(),
            (Some(unit), false) => unit.undo(),
            (None, _) => return,
        };
        if let Err(error) = ended {
            state.break_down(&error);
        }
    }

    /// True when the write lock must be taken before anything is read.
    pub(crate) fn wants_lock(&self) -> bool {
        let state = self.state();
        state.eager && state.permit.is_none() && !state.closed
    }

    /// The state of a unit that can go on, opened at the first statement.
    pub(crate) fn opened(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.state();
        state.usable()?;
        if state.unit.is_none() {
            self.open(&mut state)?;
        }
        Ok(state)
    }

    /// Opens the unit; for writing when the tree has the write lock.
    fn open(&self, state: &mut State) -> Result<(), Failure> {
        let watch: Arc<dyn Watch> = Arc::<Watching>::clone(&self.watch);
        let unit = self.shop.units.begin(state.permit.is_some(), watch).map_err(|error| state.break_down(&error))?;
        state.mark = unit.seen();
        state.unit = Some(unit);
        state.log.opened_us = Some(self.watch.pulse.exact_us());
        Ok(())
    }

    /// Notes that the tree has the write lock, which was waited for since `asked_us`. Time runs from now.
    pub(crate) fn locked(&self, state: &mut State, permit: OwnedSemaphorePermit, asked_us: u64) {
        let now = self.watch.pulse.exact_us();
        state.log.waited_us = now.saturating_sub(asked_us);
        state.log.locked_us = Some(now);
        state.permit = Some(permit);
        self.write_due_us.store(now.saturating_add(self.shop.write_ms_max.saturating_mul(1_000)), Ordering::Relaxed);
    }

    /// Sets the savepoints that are missing for a write by the call at `depth`.
    pub(crate) fn save_up_to(&self, state: &mut State, depth: usize) -> Result<(), Failure> {
        let Some(unit) = &mut state.unit else { return Ok(()) };
        let mut saved = self.saved.load(Ordering::Relaxed);
        while saved < depth {
            if let Err(error) = unit.save() {
                return Err(state.break_down(&error));
            }
            saved += 1;
            self.saved.store(saved, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends the unit. Committed when `stays`, and if it wrote anything; rolled back otherwise.
    pub(crate) fn end(&self, stays: bool) -> Result<Mark, Failure> {
        let mut state = self.state();
        if state.closed {
            return state.broken.clone().map_or(Ok(state.mark), Err);
        }
        let wrote = state.permit.is_some();
        let stays = stays && !state.doomed && state.broken.is_none();
        state.undone |= wrote && !stays;
        // What is kept must not be stopped by what the last statement has left of time, steps and patience.
        self.watch.patient.store(true, Ordering::Relaxed);
        let ended = match state.unit.take() {
            Some(unit) if wrote && stays => state.commit(unit),
            unit => {
                drop(unit);
                Ok(())
            }
        };
        state.log.committed = wrote && stays && ended.is_ok();
        if let Err(error) = ended {
            state.undone = true;
            state.break_down(&error);
        }
        self.close(&mut state);
        state.broken.clone().map_or(Ok(state.mark), Err)
    }

    /// What must be published now that the root call has ended, if it was not with the commit.
    pub(crate) fn untold(&self) -> bool {
        !self.state().kept.is_empty()
    }

    /// Publishes that in a unit of its own, with the permit to write. Nothing ends it but the disk: the call has ended
    /// already, perhaps because its time was over.
    pub(crate) fn tell(&self, _permit: OwnedSemaphorePermit) -> Result<(), SqlError> {
        let mut unit = self.shop.units.begin(true, Arc::new(Patient))?;
        let mut state = self.state();
        state.kept.publish(&mut *unit)?;
        state.mark = unit.commit()?;
        state.told();
        Ok(())
    }

    fn close(&self, state: &mut State) {
        state.closed = true;
        state.permit = None;
        state.log.ended_us = self.watch.pulse.exact_us();
        self.write_due_us.store(NEVER, Ordering::Relaxed);
    }
}

impl State {
    /// Commits, and with it what had to be published in any case.
    fn commit(&mut self, mut unit: Box<dyn Unit>) -> Result<(), SqlError> {
        self.kept.publish(&mut *unit)?;
        self.mark = unit.commit()?;
        self.told();
        Ok(())
    }

    /// What was kept is published.
    fn told(&mut self) {
        self.log.always += std::mem::take(&mut self.kept).len() as u64;
    }

    /// Fails when nothing more can be read or written.
    pub(crate) fn usable(&self) -> Result<(), Failure> {
        match (&self.broken, self.closed) {
            (Some(failure), _) => Err(failure.clone()),
            (None, true) => Err(Failure::new(Code::StationInternal, "the unit of work has ended")),
            (None, false) => Ok(()),
        }
    }

    /// Remembers that the unit cannot go on, and why: as the failure that ends the tree.
    pub(crate) fn break_down(&mut self, error: &SqlError) -> Failure {
        let failure = fatal(error);
        self.broken.get_or_insert(failure).clone()
    }
}

/// An error of the unit itself, as the failure of the call tree.
pub(crate) fn fatal(error: &SqlError) -> Failure {
    match error {
        SqlError::Conflict => Failure::new(Code::UnitConflict, error.to_string()),
        SqlError::Constraint { .. } => Failure::new(Code::SqlConstraint, error.to_string()),
        SqlError::Busy => Failure::new(Code::SqlBusy, "the database is held by somebody outside the station"),
        SqlError::Lost(_) => {
            tracing::error!(%error, "the database rolled a unit of work back");
            Failure::new(Code::StationReadOnly, error.to_string())
        }
        SqlError::Storage(error) if let Some(stopped) = error.stopped() => stopped,
        error => {
            tracing::error!(error = %chain(error), "the database failed in a unit of work");
            Failure::new(Code::StationInternal, "the database failed; the station's log has the details")
        }
    }
}

impl Log {
    /// Adds rows that the call at `depth` changed.
    pub(crate) fn note(&mut self, node: NodeIndex, depth: usize, table: Option<String>, rows: u64) {
        let same = |wrote: &&mut Wrote| wrote.node == node && wrote.depth == depth && wrote.table == table;
        if let Some(wrote) = self.wrote.iter_mut().find(same) {
            wrote.rows = wrote.rows.saturating_add(rows);
        } else if self.wrote.len() < TABLES_MAX {
            self.wrote.push(Wrote { node, table, rows, depth });
        }
    }

    /// What the call at `depth` wrote is now its caller's, or gone.
    fn leave(&mut self, depth: usize, stays: bool) {
        if !stays {
            self.wrote.retain(|wrote| wrote.depth < depth);
            return;
        }
        let of_callers = |wrote: &Wrote| wrote.depth < depth;
        let (above, own): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wrote).into_iter().partition(of_callers);
        self.wrote = above;
        for wrote in own {
            self.note(wrote.node, depth - 1, wrote.table, wrote.rows);
        }
    }
}
