//! Who asks: the one thing that the authorizer of a connection knows.
//!
//! SQLite allows one authorizer per connection, and setting another expires every prepared statement. So there is
//! one closure for good, and a cell that says for whom it is asked. The cell says *nobody* except while a guard
//! lives, and to nobody everything is denied. A guard lives while a statement is prepared and while it runs, because
//! SQLite prepares again in the middle of a run when the schema has changed.

use super::{mode::Mode, names::Names, wall};
use rusqlite::{
    Connection,
    hooks::{AuthContext, Authorization},
};
use station_kernel::work::Watch;
use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many steps of SQLite's machine there are between two questions to the watch: some microseconds.
const STEPS: u16 = 500;

/// For whom statements are prepared and run.
#[derive(Debug, Clone)]
pub(super) enum Asker {
    Nobody,
    Station,
    Module(Names, Mode),
}

struct State {
    asker: Asker,
    /// Why the first thing was denied since the asker began to ask.
    denied: Option<String>,
    /// The tables that the asker's statements were found to change.
    changes: BTreeSet<String>,
    watch: Option<Arc<dyn Watch>>,
}

/// The cell, shared with the connection's hooks.
#[derive(Clone)]
pub(super) struct Cell(Arc<Mutex<State>>);

/// Somebody asks. Who asked before asks again when this is dropped.
pub(super) struct Asking<'a> {
    cell: &'a Cell,
    before: Asker,
}

impl Cell {
    /// A cell that the hooks of `conn` look into.
    pub(super) fn install(conn: &mut Connection) -> rusqlite::Result<Self> {
        let cell = Self(Arc::new(Mutex::new(State {
            asker: Asker::Nobody,
            denied: None,
            changes: BTreeSet::new(),
            watch: None,
        })));
        let (wall, steps) = (cell.clone(), cell.clone());
        conn.authorizer(Some(move |context: AuthContext<'_>| wall.judge(&context)))?;
        conn.progress_handler(i32::from(STEPS), Some(move || steps.spend(u64::from(STEPS))))?;
        Ok(cell)
    }

    pub(super) fn ask(&self, asker: Asker) -> Asking<'_> {
        let mut state = self.state();
        state.denied = None;
        state.changes.clear();
        Asking { cell: self, before: mem::replace(&mut state.asker, asker) }
    }

    pub(super) fn watch(&self, watch: Option<Arc<dyn Watch>>) {
        self.state().watch = watch;
    }

    /// Nothing can leave the state half changed, so a panic elsewhere is no reason to stop.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.state();
        match wall::judge(&state.asker, context) {
            Ok(changed) => {
                state.changes.extend(changed.map(str::to_owned));
                Authorization::Allow
            }
            Err(why) => {
                state.denied.get_or_insert(why);
                Authorization::Deny
            }
        }
    }

    /// Tells the watch of work that is worth so many steps. True ends the statement. The watch is asked without the
    /// lock, because it is the kernel's code.
    pub(super) fn spend(&self, steps: u64) -> bool {
        let watch = self.state().watch.clone();
        watch.is_some_and(|watch| watch.step(steps))
    }
}

impl Asking<'_> {
    /// Why something was denied, if it was.
    pub(super) fn denied(&self) -> Option<String> {
        self.cell.state().denied.clone()
    }

    /// The physical names of the tables that were found to change.
    pub(super) fn changes(&self) -> Vec<String> {
        self.cell.state().changes.iter().cloned().collect()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.cell.state().asker = mem::replace(&mut self.before, Asker::Nobody);
    }
}
