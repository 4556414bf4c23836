//! By how many rows a module's statement makes its tables grow.
//!
//! SQLite tells of each row that comes to an ordinary table or leaves it (its update hook), and how many rows a
//! statement has changed in all. What the hook was not told of are rows of tables `WITHOUT ROWID`, and rows of a
//! table that is emptied at once; whether they came or went is known where the statement can do only one of both.
//! Triggers and the actions of foreign keys are in both numbers. A dropped table is counted before it goes.
//!
//! The answer is never too small, and nearly always exact. It is too large by the rows that a `REPLACE` has replaced,
//! of which SQLite tells nobody, and where one statement adds rows to a table `WITHOUT ROWID` and changes some. So
//! who refuses something on account of it counts the rows first (`unit/rows.rs`).
//!
//! The alternative that lost is SQLite's preupdate hook, which is told of everything: as rusqlite has it, it needs
//! libclang on every machine that builds a station, and while it is set a table is emptied row by row.

use rusqlite::{
    Connection,
    hooks::{Action, AuthAction},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, Ordering::Relaxed},
};

const ADDS: u8 = 1;
const CHANGES: u8 = 2;
const REMOVES: u8 = 4;

/// What a statement can do to rows, its triggers and foreign keys included.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Does(u8);

impl Does {
    /// What the authorizer is asked for says it.
    pub(super) fn of(action: &AuthAction<'_>) -> Self {
        Self(match action {
            AuthAction::Insert { .. } => ADDS,
            AuthAction::Update { .. } => CHANGES,
            AuthAction::Delete { .. } => REMOVES,
            _ => 0,
        })
    }

    pub(super) fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    pub(super) fn adds(self) -> bool {
        self.0 & ADDS != 0
    }

    /// By how many rows tables have grown at most, if `rows` of them were changed in a way that nobody told of.
    fn growth(self, rows: i64) -> i64 {
        match self.0 {
            REMOVES => -rows,
            what if what & ADDS != 0 => rows,
            _ => 0,
        }
    }
}

/// What a text can do. Once it can do something it always can: SQLite prepares a statement anew when somebody makes
/// a trigger, and tells the authorizer only then.
#[derive(Debug, Default)]
pub(super) struct Learned(AtomicU8);

impl Learned {
    pub(super) fn learn(&self, more: Does) -> Does {
        Does(self.0.fetch_or(more.0, Relaxed)).and(more)
    }

    pub(super) fn known(&self) -> Does {
        Does(self.0.load(Relaxed))
    }
}

/// What the hook of a connection was told since it is there.
#[derive(Debug, Default)]
struct Told {
    came: AtomicI64,
    went: AtomicI64,
    stayed: AtomicI64,
}

/// Counts what happens to the rows of a connection.
#[derive(Debug)]
pub(super) struct Counter(Arc<Told>);

/// What was counted up to a moment, or since one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    came: i64,
    went: i64,
    stayed: i64,
    /// All of these and what the hook is not told of.
    changes: i64,
}

impl Counter {
    /// Sets the connection's one update hook.
    pub(super) fn install(conn: &mut Connection) -> rusqlite::Result<Self> {
        let told = Arc::new(Told::default());
        let counts = Arc::clone(&told);
        conn.update_hook(Some(move |action, _: &str, _: &str, _| {
            let count = match action {
                Action::SQLITE_INSERT => &counts.came,
                Action::SQLITE_DELETE => &counts.went,
                _ => &counts.stayed,
            };
            count.fetch_add(1, Relaxed);
        }))?;
        Ok(Self(told))
    }

    pub(super) fn now(&self, conn: &Connection) -> Counted {
        let Told { came, went, stayed } = &*self.0;
        Counted {
            came: came.load(Relaxed),
            went: went.load(Relaxed),
            stayed: stayed.load(Relaxed),
            changes: conn.total_changes().cast_signed(),
        }
    }
}

impl Counted {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            came: self.came - before.came,
            went: self.went - before.went,
            stayed: self.stayed - before.stayed,
            changes: self.changes - before.changes,
        }
    }

    /// The growth by a statement that reads and writes rows.
    pub(super) fn rows(self, does: Does) -> i64 {
        let untold = (self.changes - self.came - self.went - self.stayed).max(0);
        self.came - self.went + does.growth(untold)
    }

    /// The growth by a statement that changes the schema, and drops a table of so many rows. What foreign keys take
    /// from other tables then stays counted, because SQLite may empty the dropped table in the same way.
    pub(super) fn schema(self, dropped: i64) -> i64 {
        self.came - dropped
    }
}
