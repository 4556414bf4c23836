//! Results that a guest reads in pages, and how many of them its instance may keep.
//!
//! A result is whole before the guest gets it, so its rows live in the host. They count against the instance until
//! they are read or their handle is dropped; a statement whose rows would not fit any more is refused.

use super::options::Settings;
use station_kernel::work::{Caps, Rows, SqlError, Value};
use station_model::CallId;
use std::vec::IntoIter;

/// How much rows take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn of(rows: &[Vec<Value>]) -> Self {
        Self { rows: rows.len(), bytes: rows.iter().map(|row| bytes_of_row(row)).sum() }
    }
}

/// Bytes of a row as the host keeps it.
fn bytes_of_row(row: &[Value]) -> usize {
    size_of::<Vec<Value>>() + row.iter().map(|value| size_of::<Value>() + value_bytes(value)).sum::<usize>()
}

/// Bytes of a value beyond its place.
pub(super) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    }
}

/// What an instance keeps of SQL.
pub(super) struct Session {
    pub(super) settings: Settings,
    live: Size,
    /// The root call that inserted last, and the row's id. A reused instance must not see that of an earlier call.
    last: Option<(CallId, i64)>,
}

impl Session {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, live: Size::default(), last: None }
    }

    /// What the next result may take.
    pub(super) fn caps(&self) -> Caps {
        let Settings { rows_max, bytes_max, live_rows_max, live_bytes_max, .. } = self.settings;
        Caps {
            rows_max: rows_max.min(live_rows_max.saturating_sub(self.live.rows)),
            bytes_max: bytes_max.min(live_bytes_max.saturating_sub(self.live.bytes)),
        }
    }

    /// Keeps a result until it is read.
    ///
    /// # Errors
    /// [`SqlError::Limit`] when its columns' names are too long.
    pub(super) fn keep(&mut self, rows: Rows) -> Result<Held, SqlError> {
        let max = self.settings.column_bytes_max;
        if rows.columns.iter().map(String::len).sum::<usize>() > max {
            return Err(SqlError::Limit { name: "column_bytes", max: max as u64 });
        }
        let size = Size::of(&rows.rows);
        self.live.rows += size.rows;
        self.live.bytes += size.bytes;
        Ok(Held { columns: rows.columns, rows: rows.rows.into_iter(), left: size })
    }

    /// Counts rows no longer.
    pub(super) fn release(&mut self, size: Size) {
        self.live.rows = self.live.rows.saturating_sub(size.rows);
        self.live.bytes = self.live.bytes.saturating_sub(size.bytes);
    }

    /// Names the limit that a statement ran into. A result that would fit by itself did not because of those that are
    /// not read yet, and the guest can do something about that.
    pub(super) fn name_limit(&self, caps: Caps, error: SqlError) -> SqlError {
        let Settings { rows_max, bytes_max, live_rows_max, live_bytes_max, .. } = self.settings;
        match error {
            SqlError::Limit { name: "rows", .. } if caps.rows_max < rows_max => {
                SqlError::Limit { name: "live_rows", max: live_rows_max as u64 }
            }
            SqlError::Limit { name: "result_bytes", .. } if caps.bytes_max < bytes_max => {
                SqlError::Limit { name: "live_bytes", max: live_bytes_max as u64 }
            }
            error => error,
        }
    }

    pub(super) fn inserted(&mut self, call: Option<CallId>, row_id: i64) {
        self.last = call.map(|call| (call, row_id));
    }

    pub(super) fn last_row_id(&self, now: Option<CallId>) -> i64 {
        self.last.filter(|(call, _)| Some(*call) == now).map_or(0, |(_, row_id)| row_id)
    }
}

/// A result that the guest is reading.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct Held {
    pub(super) columns: Vec<String>,
    rows: IntoIter<Vec<Value>>,
    /// How much of it is not read.
    pub(super) left: Size,
}

impl Held {
    /// The next rows, at most `max`, and how much they were. One row always fits, so that reading comes to an end.
    pub(super) fn page(&mut self, max: u32, settings: &Settings) -> (Vec<Vec<Value>>, Size) {
        let rows_max = settings.page_rows_max.min(max as usize);
        let (mut page, mut size) = (Vec::new(), Size::default());
        while let Some(next) = self.rows.as_slice().first().filter(|_| size.rows < rows_max) {
            let bytes = size.bytes + bytes_of_row(next);
            if size.rows > 0 && bytes > settings.page_bytes_max {
                break;
            }
            size = Size { rows: size.rows + 1, bytes };
            page.extend(self.rows.next());
        }
        self.left.rows = self.left.rows.saturating_sub(size.rows);
        self.left.bytes = self.left.bytes.saturating_sub(size.bytes);
        (page, size)
    }
}
