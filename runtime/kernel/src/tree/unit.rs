//! The tree's unit of work, as host functions use it.
//!
//! The module that asks is the one that runs, by the tree's own stack; a guest never names itself.

use super::Tree;
use crate::events::Event;
use crate::ports::{Executor, chain};
use crate::threads;
use crate::work::{Caps, Mark, Rows, SqlError, State, Unit, Value, fatal};
use station_model::{Code, Failure, ModuleName, UnitOutcome, UnitReport, Wrote};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// What a statement came to: an error inside is the guest's, one outside ends its call.
pub type Told<T> = Result<Result<T, SqlError>, Failure>;

impl<E: Executor> Tree<E> {
    /// Runs one statement of the module that runs, in at most `steps_max` steps of the database's machine.
    ///
    /// # Errors
    /// Outside: `call.*`, `unit.*`, `station.*`, which end the call. Inside: what the guest did wrong.
    pub fn sql(&self, sql: &str, params: &[Value], caps: Caps, steps_max: u64) -> Told<Rows> {
        if self.work.shop.units.hints_write(sql) {
            self.ready_to_write()?;
        }
        let plan = match self.read(steps_max, |unit, module| unit.prepare(module, sql))? {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        if !plan.writes {
            return self.read(steps_max, |unit, module| unit.run(module, sql, params, caps));
        }
        let told = self.write(steps_max, |unit, module| unit.run(module, sql, params, caps))?;
        if let Ok(rows) = &told {
            self.note_write(plan.table, rows.changed);
        }
        Ok(told)
    }

    /// Reads in the unit of work, which opens if it was not.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn read<T>(
        &self,
        steps_max: u64,
        read: impl FnOnce(&mut dyn Unit, &ModuleName) -> Result<T, SqlError>,
    ) -> Told<T> {
        self.check_time()?;
        if self.work.wants_lock() {
            self.ready_to_write()?;
        }
        let state = self.work.opened()?;
        let streaming = state.read_only;
        let told = self.run(state, steps_max, false, read);
        if streaming {
            // What was read may leave with the next byte, and a failure tells of it as well.
            self.wait_durable()?;
        }
        told
    }

    /// Writes in the unit of work: with the write lock, and every call on the stack behind a savepoint.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn write<T>(
        &self,
        steps_max: u64,
        write: impl FnOnce(&mut dyn Unit, &ModuleName) -> Result<T, SqlError>,
    ) -> Told<T> {
        self.ready_to_write()?;
        let mut state = self.work.opened()?;
        let depth = self.depth().saturating_sub(1);
        self.work.save_up_to(&mut state, depth)?;
        self.run(state, steps_max, true, write)
    }

    /// Publishes an event of the module that runs, in the unit of work. `quota_bytes` is what all of its events may take.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn publish(&self, event: &Event, quota_bytes: u64) -> Told<()> {
        let told = self.write(u64::MAX, |unit, module| unit.publish(module, event, quota_bytes))?;
        if told.is_ok() {
            self.note_write(Some(format!("events/{}", event.topic)), 1);
        }
        Ok(told)
    }

    /// Publishes an event of the module that runs when the root call has ended, however it does. Until then it is kept in
    /// memory, and the answer is held; a call that is run again begins without it.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn publish_always(&self, event: Event, quota_bytes: u64) -> Told<()> {
        let room = self.read(u64::MAX, |unit, module| Ok((module.clone(), unit.published(module)?)))?;
        let (module, used) = match room {
            Ok(room) => room,
            Err(error) => return Ok(Err(error)),
        };
        let mut state = self.work.state();
        if state.read_only {
            return Err(response_started());
        }
        let wanted = used.saturating_add(state.kept.bytes_of(&module)).saturating_add(event.bytes());
        if wanted > quota_bytes {
            return Ok(Err(SqlError::Limit { name: "event_bytes", max: quota_bytes }));
        }
        Ok(state.kept.add(&module, event))
    }

    /// Publishes what must be known although the root call has failed, or has only read. For when it will not be run again.
    ///
    /// # Errors
    /// Why it could not be written; what the call itself has come to stays.
    pub(crate) fn tell(&self) -> Result<(), Failure> {
        if !self.work.untold() {
            return Ok(());
        }
        let lost = |error: &dyn std::error::Error| {
            tracing::error!(call = %self.id, error = %chain(error), "events that are published in any case are lost");
        };
        let runtime = tokio::runtime::Handle::try_current().inspect_err(|error| lost(error));
        let runtime = runtime.map_err(|_| crate::run::internal())?;
        let writers = Arc::clone(&self.work.shop.writers);
        let permit = threads::waiting(|| runtime.block_on(writers.acquire_owned())).inspect_err(|error| lost(error));
        let told = self.work.tell(permit.map_err(|_| crate::run::internal())?).inspect_err(|error| lost(error));
        told.map_err(|error| fatal(&error))
    }

    /// Notes rows that the running call changed, for the report.
    pub fn note_write(&self, table: Option<String>, rows: u64) {
        let Some((node, depth)) = self.running() else { return };
        self.work.state().log.note(node, depth, table, rows);
    }

    /// Steps of the database's machine that the last statement took.
    pub fn steps(&self) -> u64 {
        self.work.watch.steps()
    }

    /// Takes the write lock, in the order in which trees ask for it, and the database's own.
    fn ready_to_write(&self) -> Result<(), Failure> {
        self.check_time()?;
        let asked_us = self.pulse.exact_us();
        {
            let state = self.work.state();
            state.usable()?;
            if state.read_only {
                return Err(response_started());
            }
            if state.permit.is_some() {
                return Ok(());
            }
        }
        let permit = self.turn_to_write()?;
        let mut state = self.work.state();
        self.work.locked(&mut state, permit, asked_us);
        match state.unit.as_mut().map(|unit| unit.lock()) {
            Some(Err(error)) => Err(state.break_down(&error)),
            _ => Ok(()),
        }
    }

    /// The write lock. Where nobody has it and nobody waits for it, without the cost of a wait.
    fn turn_to_write(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let writers = &self.work.shop.writers;
        if let Ok(permit) = Arc::clone(writers).try_acquire_owned() {
            return Ok(permit);
        }
        let permit = self.wait(Arc::clone(writers).acquire_owned())?;
        permit.map_err(|_| Failure::new(Code::StationDraining, "the station is shutting down"))
    }

    fn run<T>(
        &self,
        mut state: std::sync::MutexGuard<'_, State>,
        steps_max: u64,
        writes: bool,
        work: impl FnOnce(&mut dyn Unit, &ModuleName) -> Result<T, SqlError>,
    ) -> Told<T> {
        let internal = || Failure::new(Code::StationInternal, "a statement without a call or a unit of work");
        let (node, _) = self.running().ok_or_else(internal)?;
        let module = &self.graph.node(node).ok_or_else(internal)?.name;
        self.work.watch.begin(self.due_us(), steps_max);
        let done = work(state.unit.as_deref_mut().ok_or_else(internal)?, module);
        match done {
            Ok(done) => Ok(Ok(done)),
            Err(SqlError::Interrupted) => {
                let failure = self.interrupted();
                if writes {
                    // SQLite has rolled everything back, not only this statement.
                    state.broken.get_or_insert(failure.clone());
                }
                Err(failure)
            }
            Err(error @ (SqlError::Conflict | SqlError::Lost(_) | SqlError::Storage(_))) => {
                Err(state.break_down(&error))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Why a statement was interrupted.
    fn interrupted(&self) -> Failure {
        match (self.check_time(), self.work.watch.is_spent()) {
            (Err(failure), _) => failure,
            (Ok(()), true) => Failure::new(Code::CallOutOfFuel, "a statement used up the fuel of the call"),
            (Ok(()), false) => Failure::new(Code::SqlInterrupted, "a statement was interrupted"),
        }
    }

    /// The module that runs and its level on the stack; the root has 0.
    fn running(&self) -> Option<(crate::graph::NodeIndex, usize)> {
        self.book(|book| book.open.last().map(|open| (open.node, book.open.len() - 1)))?
    }

    /// Notes that something happened outside which cannot be done twice, such as a request that was sent. The call
    /// is then not run again after a conflict.
    pub fn note_outside(&self) {
        self.work.note_outside();
    }

    /// Begins the response: nothing can be written from now on. False when something was written already, or must be
    /// known in any case, and the response must be held until the commit.
    pub fn begin_response(&self) -> bool {
        let mut state = self.work.state();
        let streams = (state.permit.is_none() || state.doomed) && state.kept.is_empty();
        state.read_only |= streams;
        streams
    }

    /// Has the unit rolled back however the root call ends: it answers with an error.
    pub fn doom(&self) {
        self.work.state().doomed = true;
    }

    /// Everything that the tree has seen or committed, for whoever answers before the root call has ended.
    pub fn mark(&self) -> Mark {
        self.work.state().mark
    }

    /// Waits until everything that the tree has seen or committed is on the disk. What is committed stays, so neither
    /// a deadline nor a cancel ends this.
    ///
    /// # Errors
    /// `station.internal` when the disk refused.
    pub fn wait_durable(&self) -> Result<(), Failure> {
        let mark = self.mark();
        if mark == Mark::default() {
            return Ok(());
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| crate::run::not_durable())?;
        let durable = self.work.shop.units.durable(mark);
        threads::waiting(|| runtime.block_on(durable)).map_err(|_| crate::run::not_durable())
    }

    /// Ends the unit of work: commits when `stays`, rolls back otherwise. Idempotent; the first decides.
    ///
    /// # Errors
    /// Why it could not be committed; then it was rolled back.
    pub fn end_unit(&self, stays: bool) -> Result<Mark, Failure> {
        self.work.end(stays)
    }

    /// True when something that this tree wrote is gone again: an instance may still believe in it.
    pub fn was_undone(&self) -> bool {
        self.work.state().undone
    }

    /// True when the unit itself has failed and the tree must end with it, whatever its modules can express.
    pub fn is_broken(&self) -> bool {
        self.work.state().broken.is_some()
    }

    /// What the unit of work did; none when there was no statement.
    pub(crate) fn unit_report(&self) -> Option<UnitReport> {
        let state = self.work.state();
        let log = &state.log;
        let opened_us = log.opened_us.or(log.locked_us)?;
        let outcome = match (log.locked_us, log.committed) {
            (None, _) => UnitOutcome::Read,
            (Some(_), true) => UnitOutcome::Committed,
            (Some(_), false) => UnitOutcome::RolledBack,
        };
        let wrote = log.wrote.iter().filter_map(|wrote| {
            let module = self.graph.node(wrote.node)?.name.clone();
            Some(Wrote { module, table: wrote.table.clone(), rows: wrote.rows })
        });
        Some(UnitReport {
            outcome,
            open_us: log.ended_us.saturating_sub(opened_us),
            locked_us: log.locked_us.map_or(0, |at| log.ended_us.saturating_sub(at)),
            waited_us: log.waited_us,
            reran: state.eager,
            always: log.always,
            wrote: wrote.collect(),
        })
    }
}

fn response_started() -> Failure {
    Failure::new(Code::UnitResponseStarted, "the response has begun; write before it, or answer later")
}
