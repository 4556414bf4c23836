//! From rows of the database to values, and back.

use crate::files::Error;
use crate::station::sql::database::{self, Row, Value};
use crate::station::sql::types::Error as SqlError;

/// All rows that a query answers with.
pub fn query(sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
    let found = database::query(sql, params).map_err(storage)?;
    let mut rows = Vec::new();
    loop {
        let page = found.next(u32::MAX);
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

/// Runs a statement and answers how many rows it changed.
pub fn execute(sql: &str, params: &[Value]) -> Result<u64, Error> {
    database::execute(sql, params).map_err(storage)
}

fn storage(error: SqlError) -> Error {
    Error::Storage(format!("{error:?}"))
}

/// The values of a row, taken one after the other in the order of its columns.
pub struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub fn of(row: Row) -> Self {
        Self(row.values.into_iter())
    }

    pub fn integer(&mut self) -> Result<i64, Error> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(number),
            other => Err(unexpected("a number", other)),
        }
    }

    pub fn text(&mut self) -> Result<String, Error> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            other => Err(unexpected("a text", other)),
        }
    }

    pub fn optional_text(&mut self) -> Result<Option<String>, Error> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            other => Err(unexpected("a text or nothing", other)),
        }
    }
}

/// The tables are STRICT, so this is a statement that does not select what its reader expects.
fn unexpected(wanted: &str, found: Option<Value>) -> Error {
    Error::Storage(format!("{wanted} was expected, and found {found:?}"))
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, self::text)
}
