//! The desk: a connection, and what is run on it for whom.

use super::{
    cell::{Asker, Asking, Cell},
    error::Explain,
    growth::Counter,
    linear,
    mode::{Mode, words},
    names::quote,
    pattern,
    reply::{self, Reply},
    rewrite::split,
    texts::{Text, Texts},
};
use crate::connection;
use rusqlite::{CachedStatement, Connection, Statement, config::DbConfig, limits::Limit};
use station_kernel::{
    StorageError,
    work::{Caps, Plan, Rows, SqlError, Value, Watch},
};
use std::{cell, iter, sync::Arc};

/// The largest value, and the largest row, of a module.
pub(super) const VALUE_BYTES_MAX: u32 = 4 << 20;

/// The largest script: a migration that is longer carries data, which belongs into an upload.
const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// Prepared statements that a connection keeps, its own included. At [`KEPT_BYTES_MAX`] and some ten times as much
/// for the program, all connections together stay within a few ten megabytes.
const KEPT: usize = 128;

/// Longer texts are prepared anew each time.
const KEPT_BYTES_MAX: usize = 8 << 10;

/// What the parser and SQLite's compiler need at most, and what they get if the thread has less: a host function can
/// be called with only a little of the call thread's stack left.
const STACK_MIN: usize = 1 << 20;
const STACK_NEW: usize = 4 << 20;

/// A connection on which modules' statements run, each behind the wall, beside the station's own.
pub(crate) struct Desk {
    conn: Connection,
    cell: Cell,
    counter: Counter,
    /// By how many rows tables have grown since somebody asked.
    grown: cell::Cell<i64>,
    texts: Texts,
    /// The longest value of the station's own statements.
    length: i32,
    /// True when it has `LIKE` and `GLOB` of ours.
    own_patterns: bool,
}

/// Which statement of a script failed, and how.
#[derive(Debug, thiserror::Error)]
#[error("the statement at byte {at} of the script")]
pub(crate) struct Failed {
    /// Where the statement begins, in bytes from the beginning of the script.
    pub(crate) at: usize,
    /// How it failed. An offset in it is counted from the beginning of the script as well.
    #[source]
    pub(crate) error: SqlError,
}

impl From<Failed> for SqlError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl Desk {
    /// Installs the one authorizer, which denies everything to everybody that is not named.
    ///
    /// `conn` is one that [`connection`] has opened and hardened; here only what matters with SQL of others is added.
    /// Nothing may set another authorizer, progress handler or update hook on the connection afterwards.
    pub(crate) fn new(mut conn: Connection) -> rusqlite::Result<Self> {
        connection::set(&conn, SWITCHES, LIMITS)?;
        conn.set_prepared_statement_cache_capacity(KEPT);
        let length = conn.limit(Limit::SQLITE_LIMIT_LENGTH)?;
        linear::install(&conn)?;
        let cell = Cell::install(&mut conn)?;
        let (counter, grown) = (Counter::install(&mut conn)?, cell::Cell::new(0));
        Ok(Self { conn, cell, counter, grown, texts: Texts::default(), length, own_patterns: false })
    }

    /// Runs the station's own statements. Nothing is refused to them while `f` runs, except what a trigger that a
    /// module made would do for it.
    pub(crate) fn station<T>(&mut self, f: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let _asking = self.cell.ask(Asker::Station);
        f(&mut self.conn)
    }

    /// Who is told of the steps of statements, the station's included; `None` between units.
    pub(crate) fn watch(&mut self, watch: Option<Arc<dyn Watch>>) {
        self.cell.watch(watch);
    }

    /// By how many rows tables have grown by what modules have run since this was asked before; perhaps less, never
    /// more. What failed or was undone must be asked away.
    pub(crate) fn grown(&self) -> i64 {
        self.grown.take()
    }

    /// True if a statement that was prepared can add rows.
    pub(crate) fn adds(&self, module: i64, sql: &str) -> bool {
        self.texts.get(module, sql).is_none_or(|text| text.does.known().adds())
    }

    /// True while a transaction is open on the connection.
    pub(crate) fn in_transaction(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// False when the connection finds less by its indexes than a new one.
    pub(crate) fn is_as_new(&self) -> bool {
        !self.own_patterns
    }

    /// Prepares a module's statement, or finds it prepared, and says what it will do.
    ///
    /// # Errors
    /// [`SqlError::Syntax`], [`SqlError::Denied`], [`SqlError::Limit`].
    pub(crate) fn prepare(&mut self, module: i64, sql: &str) -> Result<Plan, SqlError> {
        stacker::maybe_grow(STACK_MIN, STACK_NEW, || {
            let text = self.text(module, sql)?;
            self.plan(&text)
        })
    }

    /// Runs a module's statement to its end. `changed` and `last_row_id` are those of this statement, 0 if it did
    /// not change or insert anything.
    ///
    /// # Errors
    /// Any [`SqlError`].
    pub(crate) fn run(&mut self, module: i64, sql: &str, params: &[Value], caps: Caps) -> Result<Rows, SqlError> {
        stacker::maybe_grow(STACK_MIN, STACK_NEW, || {
            let text = self.text(module, sql)?;
            self.run_text(&text, params, caps)
        })
    }

    /// Runs a script of many statements (a migration) without parameters, stopping at the first that fails. What
    /// the others did stays: the caller sets a savepoint. Rows are thrown away.
    ///
    /// # Errors
    /// Says which statement it was.
    pub(crate) fn script(&mut self, module: i64, sql: &str) -> Result<(), Failed> {
        let whole = |error| Failed { at: 0, error };
        if sql.len() > SCRIPT_BYTES_MAX {
            return Err(whole(SqlError::Limit { name: "script_bytes", max: SCRIPT_BYTES_MAX as u64 }));
        }
        for (at, statement) in split(sql).map_err(whole)? {
            self.run(module, statement, &[], SCRIPT_CAPS).map_err(|error| Failed { at, error: moved(error, at) })?;
        }
        Ok(())
    }
}

/// What a migration may answer with; nobody sees it.
const SCRIPT_CAPS: Caps = Caps { rows_max: 1_000, bytes_max: 1 << 20 };

fn moved(error: SqlError, by: usize) -> SqlError {
    match error {
        SqlError::Syntax { message, offset: Some(offset) } => {
            SqlError::Syntax { message, offset: u32::try_from(by).ok().map(|by| by.saturating_add(offset)) }
        }
        other => other,
    }
}

/// With legacy `ALTER TABLE`, renaming a table does not parse the views and triggers of the whole schema: otherwise
/// one module's broken view would keep all others from renaming anything.
const SWITCHES: &[(DbConfig, bool)] = &[(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, true)];

/// The text is longer than the module's by the physical names.
const LIMITS: &[(Limit, i32)] = &[
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 256 << 10),
    (Limit::SQLITE_LIMIT_VDBE_OP, 50_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, pattern::SHORT_BYTES_MAX.cast_signed()),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 999),
    (Limit::SQLITE_LIMIT_TRIGGER_STEPS, 100),
];

/// How a text becomes a statement, and what it says of itself.
impl Desk {
    fn text(&mut self, module: i64, sql: &str) -> Result<Arc<Text>, SqlError> {
        if let Some(text) = self.texts.get(module, sql) {
            return Ok(text);
        }
        let text = Arc::new(Text::new(module, sql)?);
        // Planned before it is kept: a plan comes of a first preparation, which SQLite's authorizer sees.
        self.plan(&text)?;
        if !self.texts.put(sql, Arc::clone(&text)) {
            self.conn.flush_prepared_statement_cache();
        }
        Ok(text)
    }

    fn plan(&self, text: &Text) -> Result<Plan, SqlError> {
        if let Some(plan) = text.plan.get() {
            return Ok(plan.clone());
        }
        let asking = self.ask(text);
        let statement = self.open(text, &asking)?;
        let plan = text.plan.get_or_init(|| planned(text, &statement, &asking.changes())).clone();
        text.does.learn(asking.does());
        if let Some(table) = asking.drops() {
            text.drops.get_or_init(|| table);
        }
        keep(text, statement);
        Ok(plan)
    }

    fn ask(&self, text: &Text) -> Asking<'_> {
        self.cell.ask(Asker::Module(text.names.clone(), text.rewritten.mode))
    }

    fn open(&self, text: &Text, asking: &Asking<'_>) -> Result<CachedStatement<'_>, SqlError> {
        let failed = |error| Explain { preparing: true, ..explain(text, asking) }.error(error);
        self.conn.prepare_cached(&text.rewritten.sql).map_err(failed)
    }
}

fn explain<'a>(text: &'a Text, asking: &Asking<'_>) -> Explain<'a> {
    Explain { names: &text.names, edits: &text.rewritten.edits, denied: asking.denied(), preparing: false }
}

fn planned(text: &Text, statement: &Statement<'_>, changes: &[String]) -> Plan {
    let table = match changes {
        [one] => Some(text.names.own(one).to_owned()),
        _ => None,
    };
    Plan { writes: !statement.readonly(), table }
}

fn keep(text: &Text, statement: CachedStatement<'_>) {
    if text.rewritten.sql.len() > KEPT_BYTES_MAX {
        statement.discard();
    }
}

/// How a statement is run.
impl Desk {
    /// Past the rewriter, for the tests of the wall.
    #[cfg(test)]
    pub(super) fn raw(&mut self, module: i64, physical: &str) -> Result<Rows, SqlError> {
        self.run_text(&Text::verbatim(module, physical), &[], SCRIPT_CAPS)
    }

    fn run_text(&mut self, text: &Text, params: &[Value], caps: Caps) -> Result<Rows, SqlError> {
        let was_open = self.in_transaction();
        let mut outcome = self.attempt(text, params, caps);
        if matches!(outcome, Err(SqlError::Limit { name: pattern::LIMIT, .. })) && !self.own_patterns {
            // SQLite has undone what the statement did.
            pattern::install(&self.conn, &self.cell).map_err(storage)?;
            self.own_patterns = true;
            outcome = self.attempt(text, params, caps);
        }
        if text.rewritten.mode.is_schema() {
            self.texts.forget();
            self.conn.flush_prepared_statement_cache();
        }
        match was_open && !self.in_transaction() {
            true => Err(lost(outcome)),
            false => outcome,
        }
    }

    fn attempt(&self, text: &Text, params: &[Value], caps: Caps) -> Result<Rows, SqlError> {
        let asking = self.ask(text);
        let _shorter = Shorter::on(self)?;
        let mut statement = self.open(text, &asking)?;
        let (before, dropped) = (self.counter.now(&self.conn), self.dropped(text)?);
        // SQLite undoes a statement that fails. Not one that is stopped because it answers too much, and not one
        // that succeeds and is found to be wrong.
        let outcome = match text.rewritten.mode == Mode::Alter || answers_and_writes(&statement) {
            true => self.undoing(text, || self.step(text, &asking, &mut statement, params, caps)),
            false => self.step(text, &asking, &mut statement, params, caps),
        };
        keep(text, statement);
        let does = text.does.learn(asking.does());
        if outcome.is_ok() {
            let counted = self.counter.now(&self.conn).since(before);
            self.grow(match text.rewritten.mode.is_schema() {
                true => counted.schema(dropped),
                false => counted.rows(does),
            });
        }
        outcome
    }

    fn grow(&self, rows: i64) {
        self.grown.set(self.grown.get().saturating_add(rows));
    }

    /// Rows of the table that the statement drops.
    fn dropped(&self, text: &Text) -> Result<i64, SqlError> {
        let Some(table) = text.drops.get() else { return Ok(0) };
        let _asking = self.cell.ask(Asker::Station);
        let sql = format!("SELECT count(*) FROM {}", quote(table));
        self.conn.query_row(&sql, [], |row| row.get(0)).map_err(storage)
    }

    fn step(
        &self,
        text: &Text,
        asking: &Asking<'_>,
        statement: &mut Statement<'_>,
        params: &[Value],
        caps: Caps,
    ) -> Result<Rows, SqlError> {
        reply::bind(statement, params)?;
        let before = self.conn.last_insert_rowid();
        let (writes, mut columns) = (!statement.readonly(), named(text, statement));
        let mut reply = Reply::new(caps);
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| explain(text, asking).error(error))? {
            if reply.rows.is_empty() {
                // Again, because SQLite may have prepared the statement again.
                columns = named(text, row.as_ref());
            }
            reply.take(row, columns.len())?;
        }
        drop(rows);
        let changed = if writes && text.rewritten.mode == Mode::Plain { self.conn.changes() } else { 0 };
        let last_row_id = if changed > 0 { self.inserted(text, before) } else { 0 };
        Ok(Rows { columns, rows: reply.rows, changed, last_row_id })
    }

    /// The row id that the statement inserted, 0 if none. SQLite keeps one number for the whole connection, which
    /// may be another module's, so if it is what it was before, the row has to be there.
    fn inserted(&self, text: &Text, before: i64) -> i64 {
        let now = self.conn.last_insert_rowid();
        match now != before || self.has_row(text, now).unwrap_or(false) {
            true => now,
            false => 0,
        }
    }

    fn has_row(&self, text: &Text, row_id: i64) -> Option<bool> {
        let first = words(&text.rewritten.sql).next()?;
        ["INSERT", "REPLACE", "WITH"].contains(&first.as_str()).then_some(())?;
        let table = text.names.quoted(text.plan.get()?.table.as_ref()?);
        let sql = format!("SELECT 1 FROM {table} WHERE rowid = ?1");
        self.conn.prepare_cached(&sql).ok()?.exists([row_id]).ok()
    }

    /// Runs `f` and undoes what it did if it fails, or if it renamed a table away.
    fn undoing(&self, text: &Text, f: impl FnOnce() -> Result<Rows, SqlError>) -> Result<Rows, SqlError> {
        let before = self.objects(text)?;
        self.own("SAVEPOINT statement_of_a_module")?;
        let outcome = f().and_then(|rows| match self.objects(text)? == before {
            true => Ok(rows),
            false => Err(SqlError::Denied(format!("{RENAMED_AWAY} (module {})", text.names.module))),
        });
        if outcome.is_err() && self.in_transaction() {
            self.own("ROLLBACK TO statement_of_a_module")?;
        }
        if self.in_transaction() {
            self.own("RELEASE statement_of_a_module")?;
        }
        outcome
    }

    /// How many tables, indexes, views and triggers the module has; 0 unless a table is altered. SQLite does not
    /// tell the authorizer which name a table gets, so it is seen by what is missing afterwards.
    fn objects(&self, text: &Text) -> Result<i64, SqlError> {
        if text.rewritten.mode != Mode::Alter {
            return Ok(0);
        }
        let _asking = self.cell.ask(Asker::Station);
        let sql = "SELECT count(*) FROM sqlite_schema WHERE lower(name) GLOB 'm' || ?1 || '__*'";
        let mut statement = self.conn.prepare_cached(sql).map_err(storage)?;
        statement.query_row([text.names.module], |row| row.get(0)).map_err(storage)
    }

    /// A statement of the desk's own.
    fn own(&self, sql: &str) -> Result<(), SqlError> {
        let _asking = self.cell.ask(Asker::Station);
        self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).map_err(storage)
    }
}

const RENAMED_AWAY: &str = "a table can only be renamed to another name of the same module";

fn storage(error: rusqlite::Error) -> SqlError {
    SqlError::Storage(StorageError { doing: "guarding a module's statement".to_owned(), source: error.into() })
}

fn answers_and_writes(statement: &Statement<'_>) -> bool {
    statement.column_count() > 0 && !statement.readonly()
}

fn named(text: &Text, statement: &Statement<'_>) -> Vec<String> {
    let own = |name: &str| match text.names.in_text(name) {
        true => text.rewritten.edits.old_text(name),
        false => name.to_owned(),
    };
    statement.column_names().map(own).collect()
}

/// The transaction is gone. An interrupted write takes it along, and then that is what happened.
fn lost(outcome: Result<Rows, SqlError>) -> SqlError {
    match outcome {
        Ok(_) => SqlError::Lost("a statement ended it".to_owned()),
        Err(SqlError::Interrupted) => SqlError::Interrupted,
        Err(error) => SqlError::Lost(chain(&error)),
    }
}

fn chain(error: &SqlError) -> String {
    let first: &dyn std::error::Error = error;
    let all: Vec<_> = iter::successors(Some(first), |error| error.source()).map(ToString::to_string).collect();
    all.join(": ")
}

/// Values are short while this lives.
struct Shorter<'a>(&'a Desk);

impl<'a> Shorter<'a> {
    fn on(desk: &'a Desk) -> Result<Self, SqlError> {
        let max = i32::try_from(VALUE_BYTES_MAX).unwrap_or(i32::MAX).min(desk.length);
        desk.conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, max).map_err(storage)?;
        Ok(Self(desk))
    }
}

impl Drop for Shorter<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.0.length) {
            tracing::error!(%error, "the connection keeps the limits of modules");
        }
    }
}
