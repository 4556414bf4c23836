//! Who asks: the one thing that the authorizer of a connection knows.
//!
//! SQLite allows one authorizer per connection, and setting another expires every prepared statement. So there is
//! one closure for good, and a cell that says for whom it is asked. The cell says *nobody* except while a guard
//! lives, and to nobody everything is denied. A guard lives while a statement is prepared and while it runs, because
//! SQLite prepares again in the middle of a run when the schema has changed.

use super::{growth::Does, mode::Mode, names::Names, wall};
use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
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
    /// None until it was asked for something; most statements are prepared already.
    heard: Option<Box<Heard>>,
    watch: Option<Arc<dyn Watch>>,
}

/// What the authorizer was asked for since the asker began to ask.
#[derive(Default)]
struct Heard {
    /// Why the first thing was denied.
    denied: Option<String>,
    /// The tables that were found to change.
    changes: BTreeSet<String>,
    /// What was found to be done to rows.
    does: Does,
    /// The table that was found to be dropped.
    drops: Option<String>,
}

/// The cell, shared with the connection's hooks.
#[derive(Clone)]
pub(super) struct Cell(Arc<Mutex<State>>);

/// Somebody asks. Who asked before asks again when this is dropped.
pub(super) struct Asking<'a> {
    cell: &'a Cell,
    before: (Asker, Option<Box<Heard>>),
}

impl Cell {
    /// A cell that the hooks of `conn` look into.
    pub(super) fn install(conn: &mut Connection) -> rusqlite::Result<Self> {
        let cell = Self(Arc::new(Mutex::new(State { asker: Asker::Nobody, heard: None, watch: None })));
        let (wall, steps) = (cell.clone(), cell.clone());
        conn.authorizer(Some(move |context: AuthContext<'_>| wall.judge(&context)))?;
        conn.progress_handler(i32::from(STEPS), Some(move || steps.spend(u64::from(STEPS))))?;
        Ok(cell)
    }

    pub(super) fn ask(&self, asker: Asker) -> Asking<'_> {
        let mut state = self.state();
        let before = (mem::replace(&mut state.asker, asker), state.heard.take());
        Asking { cell: self, before }
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
                state.heard().note(&context.action, changed);
                allow(context)
            }
            Err(why) => {
                state.heard().denied.get_or_insert(why);
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

impl State {
    fn heard(&mut self) -> &mut Heard {
        self.heard.get_or_insert_default()
    }
}

impl Heard {
    fn note(&mut self, action: &AuthAction<'_>, changed: Option<&str>) {
        self.changes.extend(changed.map(str::to_owned));
        self.does = self.does.and(Does::of(action));
        if let AuthAction::DropTable { table_name } = action {
            self.drops = Some((*table_name).to_owned());
        }
    }
}

/// A trigger that empties a table does it row by row, which is what SQLite makes of `Ignore` there: the rows that go
/// are told then, and otherwise only how many were changed together with those that came.
fn allow(context: &AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Delete { .. } if context.accessor.is_some() => Authorization::Ignore,
        _ => Authorization::Allow,
    }
}

impl Asking<'_> {
    /// Why something was denied, if it was.
    pub(super) fn denied(&self) -> Option<String> {
        self.heard(|heard| heard.denied.clone())
    }

    /// The physical names of the tables that were found to change.
    pub(super) fn changes(&self) -> Vec<String> {
        self.heard(|heard| heard.changes.iter().cloned().collect())
    }

    /// What was found to be done to rows.
    pub(super) fn does(&self) -> Does {
        self.heard(|heard| heard.does)
    }

    /// The physical name of the table that was found to be dropped.
    pub(super) fn drops(&self) -> Option<String> {
        self.heard(|heard| heard.drops.clone())
    }

    fn heard<T: Default>(&self, f: impl FnOnce(&Heard) -> T) -> T {
        self.cell.state().heard.as_deref().map(f).unwrap_or_default()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let (asker, heard) = mem::replace(&mut self.before, (Asker::Nobody, None));
        let mut state = self.cell.state();
        (state.asker, state.heard) = (asker, heard);
    }
}
