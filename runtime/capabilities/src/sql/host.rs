//! `station:sql/database`.

use super::rows::{Held, Session};
use super::statement::failed;
use crate::host::Host;
use station_kernel::work::{self, SqlError};
use station_model::ModuleName;
use wasmtime::Result;
use wasmtime::component::Resource;

wasmtime::component::bindgen!({
    path: "../../wit/station-sql",
    world: "imports",
    imports: { default: trappable },
    with: { "station:sql/database.rows": crate::sql::rows::Held },
});

use station::sql::database;
use station::sql::types::{self, Constraint, ConstraintKind, Error, Limit, Row, Syntax, Value};

/// Fuel of a look at a result, apart from what is read.
const LOOK_FUEL: u64 = 300;

type Reply<T> = Result<std::result::Result<T, Error>>;

impl types::Host for Host<'_> {}

impl database::Host for Host<'_> {
    fn query(&mut self, sql: String, params: Vec<Value>) -> Reply<Resource<Held>> {
        let caps = self.0.state::<Session>()?.caps();
        let done = self.statement(&sql, &given(params), caps)?;
        let (session, table) = self.0.parts::<Session>()?;
        let held = done.map_err(|error| session.name_limit(caps, error)).and_then(|rows| session.keep(rows));
        match held {
            Ok(held) => Ok(Ok(table.push(held)?)),
            Err(error) => Ok(Err(told(self.0.module(), error))),
        }
    }

    fn execute(&mut self, sql: String, params: Vec<Value>) -> Reply<u64> {
        let caps = self.0.state::<Session>()?.settings.caps();
        let done = self.statement(&sql, &given(params), caps)?;
        Ok(done.map(|rows| rows.changed).map_err(|error| told(self.0.module(), error)))
    }

    fn last_insert_rowid(&mut self) -> Result<i64> {
        self.0.charge(LOOK_FUEL);
        let now = self.0.call_id();
        Ok(self.0.state::<Session>()?.last_row_id(now))
    }
}

impl database::HostRows for Host<'_> {
    fn columns(&mut self, rows: Resource<Held>) -> Result<Vec<String>> {
        let columns = self.0.table.get(&rows)?.columns.clone();
        let bytes: usize = columns.iter().map(String::len).sum();
        self.0.charge(LOOK_FUEL + bytes as u64);
        Ok(columns)
    }

    fn next(&mut self, rows: Resource<Held>, max: u32) -> Result<Vec<Row>> {
        self.0.charge(LOOK_FUEL);
        let (session, table) = self.0.parts::<Session>()?;
        let (page, size) = table.get_mut(&rows)?.page(max, &session.settings);
        session.release(size);
        self.charge_rows(size);
        Ok(page.into_iter().map(row).collect())
    }

    fn drop(&mut self, rows: Resource<Held>) -> Result<()> {
        let (session, table) = self.0.parts::<Session>()?;
        session.release(table.delete(rows)?.left);
        Ok(())
    }
}

fn given(params: Vec<Value>) -> Vec<work::Value> {
    let one = |value| match value {
        Value::Null => work::Value::Null,
        Value::Integer(number) => work::Value::Integer(number),
        Value::Real(number) => work::Value::Real(number),
        Value::Text(text) => work::Value::Text(text),
        Value::Blob(bytes) => work::Value::Blob(bytes),
    };
    params.into_iter().map(one).collect()
}

fn row(values: Vec<work::Value>) -> Row {
    let one = |value| match value {
        work::Value::Null => Value::Null,
        work::Value::Integer(number) => Value::Integer(number),
        work::Value::Real(number) => Value::Real(number),
        work::Value::Text(text) => Value::Text(text),
        work::Value::Blob(bytes) => Value::Blob(bytes),
    };
    Row { values: values.into_iter().map(one).collect() }
}

/// The error as the guest sees it.
pub(super) fn told(module: &ModuleName, error: SqlError) -> Error {
    match error {
        SqlError::Constraint { kind, message } => Error::Constraint(Constraint { kind: kind_of(kind), message }),
        SqlError::Busy => Error::Busy,
        SqlError::Conflict => Error::Conflict,
        SqlError::Denied(why) => Error::Denied(why),
        SqlError::Limit { name, max } => Error::Limit(Limit { name: name.replace('_', "-"), max }),
        SqlError::Syntax { message, offset } => Error::Syntax(Syntax { message, offset }),
        SqlError::Other(why) => Error::Other(why),
        error => Error::Other(failed(module, &error)),
    }
}

fn kind_of(kind: work::Constraint) -> ConstraintKind {
    match kind {
        work::Constraint::Unique => ConstraintKind::Unique,
        work::Constraint::PrimaryKey => ConstraintKind::PrimaryKey,
        work::Constraint::NotNull => ConstraintKind::NotNull,
        work::Constraint::ForeignKey => ConstraintKind::ForeignKey,
        work::Constraint::Check => ConstraintKind::Check,
        work::Constraint::DataType => ConstraintKind::DataType,
        work::Constraint::Other => ConstraintKind::Other,
    }
}
