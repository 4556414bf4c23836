//! What a unit of work needs of the database: a transaction with savepoints, on one connection of its own.
//!
//! The kernel says when: when it opens, when it may write, what is undone, when it commits. The storage says how.
//! A unit belongs to one call tree and is used by one thread at a time; dropping it rolls it back.

use crate::events::Event;
use crate::ports::{BoxFuture, StorageError};
use station_model::ModuleName;
use std::sync::Arc;

/// Opens units of work.
pub trait Units: Send + Sync + 'static {
    /// Opens a unit on one snapshot of everything that is committed now.
    ///
    /// `writing` takes the database's write lock at once, before anything is read, so that the unit cannot conflict.
    /// Ask for it only while holding the kernel's own write lock, or this waits for whoever holds the database.
    ///
    /// # Errors
    /// [`SqlError::Busy`] when no connection is free, [`SqlError::Storage`].
    fn begin(&self, writing: bool, watch: Arc<dyn Watch>) -> Result<Box<dyn Unit>, SqlError>;

    /// Whether a text looks as if it writes, told from its first word and without a connection. A hint only: it saves
    /// a unit whose first statement writes from reading a snapshot that is stale when its turn comes.
    fn hints_write(&self, sql: &str) -> bool;

    /// Whether units can be opened, as far as is known without trying.
    ///
    /// # Errors
    /// When the storage refuses everything until the station is started again, with [`Stopped`](crate::ports::Stopped)
    /// among its sources.
    fn healthy(&self) -> Result<(), StorageError>;

    /// Ends when everything up to `mark` is on the disk.
    ///
    /// # Errors
    /// When the disk refused to flush. Then nobody knows what is on it, and no later flush may say otherwise.
    fn durable(&self, mark: Mark) -> BoxFuture<'static, Result<(), StorageError>>;
}

/// A commit and all before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// Looks on while a statement runs.
pub trait Watch: Send + Sync {
    /// Told every few hundred steps of SQLite's machine how many were made since the last time. True ends the
    /// statement with [`SqlError::Interrupted`].
    fn step(&self, steps: u64) -> bool;
}

/// One unit of work: a transaction on a connection of its own. Dropped without a commit, nothing has happened.
///
/// `module` is always the module whose code asks, told by the kernel and never by a guest.
pub trait Unit: Send {
    /// Everything committed that this unit can have seen: its answer may leave when that is durable.
    fn seen(&self) -> Mark;

    /// Prepares a module's statement, or finds it prepared, and says what it will do.
    ///
    /// # Errors
    /// [`SqlError::Syntax`], [`SqlError::Denied`], [`SqlError::Limit`].
    fn prepare(&mut self, module: &ModuleName, sql: &str) -> Result<Plan, SqlError>;

    /// Takes the database's write lock. Only while holding the kernel's. Does nothing when the unit has it.
    ///
    /// # Errors
    /// [`SqlError::Conflict`] when somebody has committed since the unit began to read.
    fn lock(&mut self) -> Result<(), SqlError>;

    /// Sets a savepoint on top of those that are there.
    ///
    /// # Errors
    /// [`SqlError::Storage`].
    fn save(&mut self) -> Result<(), SqlError>;

    /// Forgets the topmost savepoint; what was written since belongs to the one below.
    ///
    /// # Errors
    /// [`SqlError::Storage`].
    fn release(&mut self) -> Result<(), SqlError>;

    /// Undoes everything since the topmost savepoint, and forgets it.
    ///
    /// # Errors
    /// [`SqlError::Storage`].
    fn undo(&mut self) -> Result<(), SqlError>;

    /// Runs a module's statement to its end. One that writes wants [`lock`](Self::lock) first.
    ///
    /// # Errors
    /// Any [`SqlError`]. Except for [`SqlError::Lost`] the unit goes on as if the statement had not been run.
    fn run(&mut self, module: &ModuleName, sql: &str, params: &[Value], caps: Caps) -> Result<Rows, SqlError>;

    /// The value of a key.
    ///
    /// # Errors
    /// [`SqlError::Storage`], [`SqlError::Interrupted`].
    fn get(&mut self, module: &ModuleName, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, SqlError>;

    /// Sets keys, or removes those without a value; all of them or none. Wants [`lock`](Self::lock) first.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`SqlError::Limit`] when the module would have more than `quota_bytes`.
    fn set(&mut self, module: &ModuleName, bucket: &str, writes: &KeyWrites, quota_bytes: u64) -> Result<(), SqlError>;

    /// Up to `limit` keys that sort after `after`, in order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn keys(
        &mut self,
        module: &ModuleName,
        bucket: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, SqlError>;

    /// Publishes an event of a module. Wants [`lock`](Self::lock) first.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`SqlError::Limit`] when events of the module would take more than `quota_bytes`.
    fn publish(&mut self, module: &ModuleName, event: &Event, quota_bytes: u64) -> Result<(), SqlError>;

    /// Bytes that a module's events take.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn published(&mut self, module: &ModuleName) -> Result<u64, SqlError>;

    /// Commits. When this returns the unit is seen by all that begin later, and [`Units::durable`] says when it
    /// is safe.
    ///
    /// # Errors
    /// [`SqlError::Constraint`] for a deferred constraint, [`SqlError::Storage`]. Then it was rolled back.
    fn commit(self: Box<Self>) -> Result<Mark, SqlError>;
}

/// Keys, each with its new value or none to remove it.
pub type KeyWrites = [(String, Option<Vec<u8>>)];

/// What a statement will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// True when it may change something, the schema included.
    pub writes: bool,
    /// The table that it changes, by the module's own name; none when it only reads or changes several.
    pub table: Option<String>,
}

/// A value of SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A number without a fraction.
    Integer(i64),
    /// A number with one.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The most that one statement may answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Rows.
    pub rows_max: usize,
    /// Bytes of all values together, as the host keeps them.
    pub bytes_max: usize,
}

/// What a statement answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, a value per column.
    pub rows: Vec<Vec<Value>>,
    /// Rows that it inserted, updated or deleted; those of triggers are not counted.
    pub changed: u64,
    /// The row id of the last row that the connection inserted.
    pub last_row_id: i64,
}

/// What kind of constraint does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// `UNIQUE`.
    Unique,
    /// `PRIMARY KEY`.
    PrimaryKey,
    /// `NOT NULL`.
    NotNull,
    /// `FOREIGN KEY`.
    ForeignKey,
    /// `CHECK`.
    Check,
    /// `STRICT` tables: a value of another type.
    DataType,
    /// `RAISE` in a trigger, and everything else.
    Other,
}

/// Why a statement did not succeed. Messages name tables as the module does.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// A constraint does not hold.
    #[error("{message}")]
    Constraint {
        /// Which kind.
        kind: Constraint,
        /// SQLite's words, such as `UNIQUE constraint failed: users.email`.
        message: String,
    },
    /// Somebody outside the station holds the database, or no connection is free.
    #[error("the database is busy")]
    Busy,
    /// Somebody committed since the unit began to read, so it cannot write any more.
    #[error("another unit of work changed the database after this one had read it")]
    Conflict,
    /// The statement reaches for what is not the module's own.
    #[error("{0}")]
    Denied(String),
    /// Something is too big or too much.
    #[error("more than {max} {name}")]
    Limit {
        /// What there is too much of, such as `rows`, `result_bytes`, `sql_bytes`, `data_bytes`, `data_rows`,
        /// `event_bytes`.
        name: &'static str,
        /// How much there may be.
        max: u64,
    },
    /// The statement is not SQL, or names what is not there.
    #[error("{message}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Where, in bytes from the beginning of the module's text.
        offset: Option<u32>,
    },
    /// The [`Watch`] ended it. The unit goes on if the statement only read.
    #[error("the statement was interrupted")]
    Interrupted,
    /// Wrong number or type of parameters, and whatever else SQLite refuses.
    #[error("{0}")]
    Other(String),
    /// The transaction is gone with everything in it: the disk is full or broken, or the statement rolled it back.
    #[error("the unit of work was rolled back: {0}")]
    Lost(String),
    /// The database itself failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
