//! SQLite as Spin spells it, so that modules written for Spin run as they are.
//!
//! Three spellings are in use and have the same values and errors: `spin:sqlite@3.x`, `fermyon:spin/sqlite@2.0.0`
//! before it, and the first one, which has no version and numbers where the others have resources. There is one
//! database, the module's own, and it is called `default`; Spin says access-denied to a name that the application was
//! not given, and so does the station. The `async` functions of 3.1 are not here: a station refuses async components.
//!
//! A transaction that a module opens by itself is refused by the database: each call is one.

use super::rows::Session;
use super::statement::{Kind, failed};
use crate::host::{Host, offers, with_habits};
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::{Habit, ModuleSettings};
use station_kernel::work::{Rows, SqlError, Value as Stored};
use station_model::ModuleName;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

const V3: &str = "spin:sqlite/sqlite@3.1.0";
const V2: &str = "fermyon:spin/sqlite@2.0.0";
const V1: &str = "fermyon:spin/sqlite";
/// One function for reading and for writing, so a module that only reads is taken for one that writes.
const HABITS: &[(&str, Habit)] = &[("execute", Habit::Writes), ("[method]connection.execute", Habit::Writes)];
/// The only database that there is.
const DEFAULT: &str = "default";
/// Fuel of opening a connection, which is only a handle, and of asking it.
const LOOK_FUEL: u64 = 300;

/// The capability. It goes by the settings of [`Sql`](super::Sql).
pub(crate) struct Spin;

/// A connection, which is only what it remembers: the database is the call's.
#[derive(Default)]
struct Connection {
    last_row_id: i64,
    changes: u64,
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Value {
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "real")]
    Real(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "blob")]
    Blob(Vec<u8>),
    #[component(name = "null")]
    Null,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct RowResult {
    values: Vec<Value>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct QueryResult {
    columns: Vec<String>,
    rows: Vec<RowResult>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-database")]
    #[expect(dead_code, reason = "the case is part of the interface's type")]
    NoSuchDatabase,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "invalid-connection")]
    InvalidConnection,
    #[component(name = "database-full")]
    DatabaseFull,
    #[component(name = "io")]
    Io(String),
}

type Answer<T> = std::result::Result<T, Error>;
type Store<'a> = StoreContextMut<'a, Ctx>;

impl Capability for Spin {
    fn name(&self) -> &'static str {
        "spin-sqlite"
    }

    fn offers(&self) -> Vec<Offer> {
        with_habits(offers([V3, V2, V1], false), HABITS)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        let mut newest = linker.instance(V3)?;
        link_resource(&mut newest)?;
        newest.func_wrap(
            "[method]connection.last-insert-rowid",
            |mut store: Store<'_>, (connection,): (Resource<Connection>,)| {
                Ok((asked(store.data_mut(), &connection)?.last_row_id,))
            },
        )?;
        newest.func_wrap(
            "[method]connection.changes",
            |mut store: Store<'_>, (connection,): (Resource<Connection>,)| {
                Ok((asked(store.data_mut(), &connection)?.changes,))
            },
        )?;
        link_resource(&mut linker.instance(V2)?)?;
        link_numbers(&mut linker.instance(V1)?)
    }

    fn prepare(&self, _ctx: &mut Ctx, _settings: &ModuleSettings) {}
}

/// The functions that the second and the third version have in common.
fn link_resource(to: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    to.resource("connection", ResourceType::host::<Connection>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Connection>::new_own(rep))?;
        Ok(())
    })?;
    to.func_wrap("[static]connection.open", |mut store: Store<'_>, (database,): (String,)| {
        Ok((open(store.data_mut(), &database)?,))
    })?;
    to.func_wrap(
        "[method]connection.execute",
        |mut store: Store<'_>, (connection, sql, params): (Resource<Connection>, String, Vec<Value>)| {
            Ok((execute(store.data_mut(), &connection, &sql, params)?,))
        },
    )
}

/// The first version: a connection is a number, which a guest can get wrong.
fn link_numbers(to: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    to.func_wrap("open", |mut store: Store<'_>, (database,): (String,)| {
        Ok((open(store.data_mut(), &database)?.map(|connection| connection.rep()),))
    })?;
    to.func_wrap("execute", |mut store: Store<'_>, (number, sql, params): (u32, String, Vec<Value>)| {
        Ok((execute(store.data_mut(), &Resource::new_borrow(number), &sql, params)?,))
    })?;
    to.func_wrap("close", |mut store: Store<'_>, (number,): (u32,)| {
        // One that is closed already, or was never open, is closed.
        let _closed = store.data_mut().table.delete(Resource::<Connection>::new_own(number));
        Ok(())
    })
}

fn open(ctx: &mut Ctx, database: &str) -> Result<Answer<Resource<Connection>>> {
    ctx.charge(LOOK_FUEL);
    if database != DEFAULT || ctx.call_id().is_none() {
        return Ok(Err(Error::AccessDenied));
    }
    Ok(Ok(ctx.table.push(Connection::default())?))
}

fn asked<'a>(ctx: &'a mut Ctx, connection: &Resource<Connection>) -> Result<&'a Connection> {
    ctx.charge(LOOK_FUEL);
    Ok(ctx.table.get(connection)?)
}

fn execute(
    ctx: &mut Ctx,
    connection: &Resource<Connection>,
    sql: &str,
    params: Vec<Value>,
) -> Result<Answer<QueryResult>> {
    if ctx.table.get(connection).is_err() {
        return Ok(Err(Error::InvalidConnection));
    }
    let caps = ctx.state::<Session>()?.settings.caps();
    let params: Vec<_> = params.into_iter().map(stored).collect();
    let rows = match Host(ctx).statement(sql, &params, caps)? {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(told(ctx.module(), error))),
    };
    remember(ctx.table.get_mut(connection)?, Kind::of(sql), &rows);
    let shown = |row: Vec<Stored>| RowResult { values: row.into_iter().map(shown).collect() };
    Ok(Ok(QueryResult { columns: rows.columns, rows: rows.rows.into_iter().map(shown).collect() }))
}

fn remember(connection: &mut Connection, kind: Kind, rows: &Rows) {
    connection.last_row_id = kind.inserted(rows).unwrap_or(connection.last_row_id);
    if kind != Kind::Other {
        connection.changes = rows.changed;
    }
}

fn stored(value: Value) -> Stored {
    match value {
        Value::Integer(number) => Stored::Integer(number),
        Value::Real(number) => Stored::Real(number),
        Value::Text(text) => Stored::Text(text),
        Value::Blob(bytes) => Stored::Blob(bytes),
        Value::Null => Stored::Null,
    }
}

fn shown(value: Stored) -> Value {
    match value {
        Stored::Integer(number) => Value::Integer(number),
        Stored::Real(number) => Value::Real(number),
        Stored::Text(text) => Value::Text(text),
        Stored::Blob(bytes) => Value::Blob(bytes),
        Stored::Null => Value::Null,
    }
}

/// The error as the guest sees it. Spin has a case for a full database and words for everything else.
fn told(module: &ModuleName, error: SqlError) -> Error {
    match error {
        SqlError::Limit { name: "data_bytes" | "data_rows", .. } => Error::DatabaseFull,
        SqlError::Conflict | SqlError::Interrupted | SqlError::Lost(_) | SqlError::Storage(_) => {
            Error::Io(failed(module, &error))
        }
        error => Error::Io(error.to_string()),
    }
}
