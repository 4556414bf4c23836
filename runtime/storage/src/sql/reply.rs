//! Parameters in, rows out.

use super::desk::VALUE_BYTES_MAX;
use rusqlite::{
    Row, Statement,
    types::{ToSqlOutput, ValueRef},
};
use station_kernel::work::{Caps, SqlError, Value};
use std::mem::size_of;

/// Binds the parameters in their order; there must be as many as the statement has.
pub(super) fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<(), SqlError> {
    let (wanted, given) = (statement.parameter_count(), params.len());
    if wanted != given {
        return Err(SqlError::Other(format!("the statement has {wanted} parameters, and {given} were given")));
    }
    for (number, value) in (1_usize..).zip(params) {
        is_small(value)?;
        let value = ToSqlOutput::Borrowed(borrowed(value));
        statement.raw_bind_parameter(number, value).map_err(|error| SqlError::Other(error.to_string()))?;
    }
    Ok(())
}

fn is_small(value: &Value) -> Result<(), SqlError> {
    match bytes(&borrowed(value)) > VALUE_BYTES_MAX as usize {
        true => Err(SqlError::Limit { name: "value_bytes", max: u64::from(VALUE_BYTES_MAX) }),
        false => Ok(()),
    }
}

fn borrowed(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Integer(number) => ValueRef::Integer(*number),
        Value::Real(number) => ValueRef::Real(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

fn bytes(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Rows as they come, counted.
pub(super) struct Reply {
    caps: Caps,
    bytes: usize,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Reply {
    pub(super) fn new(caps: Caps) -> Self {
        Self { caps, bytes: 0, rows: Vec::new() }
    }

    /// Takes a row, unless it is one too many. What is counted is what the host keeps: a value has its size in Rust
    /// even if it is null.
    pub(super) fn take(&mut self, row: &Row<'_>, columns: usize) -> Result<(), SqlError> {
        if self.rows.len() >= self.caps.rows_max {
            return Err(SqlError::Limit { name: "rows", max: self.caps.rows_max as u64 });
        }
        self.count(size_of::<Vec<Value>>())?;
        let values: Result<_, _> = (0..columns).map(|column| self.value(row, column)).collect();
        self.rows.push(values?);
        Ok(())
    }

    fn value(&mut self, row: &Row<'_>, column: usize) -> Result<Value, SqlError> {
        let found = row.get_ref(column).map_err(|error| SqlError::Other(error.to_string()))?;
        self.count(size_of::<Value>() + bytes(&found))?;
        Ok(match found {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(utf8(text, column)?),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
        })
    }

    fn count(&mut self, bytes: usize) -> Result<(), SqlError> {
        self.bytes += bytes;
        match self.bytes > self.caps.bytes_max {
            true => Err(SqlError::Limit { name: "result_bytes", max: self.caps.bytes_max as u64 }),
            false => Ok(()),
        }
    }
}

fn utf8(text: &[u8], column: usize) -> Result<String, SqlError> {
    String::from_utf8(text.to_owned()).map_err(|_| {
        let number = column + 1;
        SqlError::Other(format!("column {number} holds text that is not UTF-8; select it with CAST (… AS BLOB)"))
    })
}
