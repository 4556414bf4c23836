//! Case files in their tables. `migrations/` says what those look like.

use std::collections::BTreeMap;

use crate::draft::{self, Draft};
use crate::rows::{Columns, execute, optional_text, query, text};
use crate::station::sql::database::{Row, Value, last_insert_rowid};

/// Most case files of one page.
const PAGE_MAX: u32 = 100;

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    Invalid(Vec<String>),
    NotFound(String),
    Closed(String),
    Storage(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub number: i64,
    pub draft: Draft,
    pub opened: String,
    pub closed: Option<String>,
}

/// Opens a case file under the next number, which the database gives.
pub fn open(draft: Draft, today: &str) -> Result<File, Error> {
    let draft = draft.checked().map_err(Error::Invalid)?;
    execute(
        "INSERT INTO dossiers (title, client, kind, deadline, opened) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[
            text(&draft.title),
            text(&draft.client),
            text(&draft.kind),
            optional_text(draft.deadline.as_deref()),
            text(today),
        ],
    )?;
    let number = last_insert_rowid();
    for label in &draft.labels {
        execute("INSERT INTO labels (dossier, label) VALUES (?1, ?2)", &[Value::Integer(number), text(label)])?;
    }
    Ok(File { number, draft, opened: today.to_owned(), closed: None })
}

pub fn get(id: &str) -> Result<File, Error> {
    let unknown = || Error::NotFound(id.to_owned());
    let number = crate::id::number(id).ok_or_else(unknown)?;
    let found = after(number.saturating_sub(1), 1)?.into_iter().next();
    found.filter(|file| file.number == number).ok_or_else(unknown)
}

/// Case files after an id, and where the next page begins.
pub fn list(after_id: Option<&str>, limit: u32) -> Result<(Vec<File>, Option<i64>), Error> {
    let start = match after_id {
        None => 0,
        Some(text) => crate::id::number(text).ok_or_else(|| Error::Invalid(vec![format!("`{text}` is not an id")]))?,
    };
    // One more than asked for, to know whether there is a next page.
    let limit = limit.clamp(1, PAGE_MAX);
    let mut found = after(start, limit + 1)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|file| file.number);
    Ok((found, next))
}

pub fn close(id: &str, reason: &str, today: &str) -> Result<File, Error> {
    let mut mistakes = Vec::new();
    draft::check_text(&mut mistakes, "reason", reason);
    if !mistakes.is_empty() {
        return Err(Error::Invalid(mistakes));
    }
    let mut file = get(id)?;
    let changed = execute(
        "UPDATE dossiers SET closed = ?2 WHERE number = ?1 AND closed IS NULL",
        &[Value::Integer(file.number), text(today)],
    )?;
    if changed == 0 {
        return Err(Error::Closed(id.to_owned()));
    }
    file.closed = Some(today.to_owned());
    Ok(file)
}

/// At most so many case files after a number, in order.
fn after(number: i64, limit: u32) -> Result<Vec<File>, Error> {
    let rows = query(
        "SELECT number, title, client, kind, deadline, opened, closed FROM dossiers \
         WHERE number > ?1 ORDER BY number LIMIT ?2",
        &[Value::Integer(number), Value::Integer(limit.into())],
    )?;
    let mut files = rows.into_iter().map(file).collect::<Result<Vec<_>, _>>()?;
    if let Some(last) = files.last() {
        let mut labels = labels(number, last.number)?;
        for file in &mut files {
            file.draft.labels = labels.remove(&file.number).unwrap_or_default();
        }
    }
    Ok(files)
}

/// A case file, still without its labels.
fn file(row: Row) -> Result<File, Error> {
    let mut columns = Columns::of(row);
    Ok(File {
        number: columns.integer()?,
        draft: Draft {
            title: columns.text()?,
            client: columns.text()?,
            kind: columns.text()?,
            deadline: columns.optional_text()?,
            labels: Vec::new(),
        },
        opened: columns.text()?,
        closed: columns.optional_text()?,
    })
}

/// The labels of all case files after one number up to another: one statement for a page rather than one per file.
fn labels(after: i64, last: i64) -> Result<BTreeMap<i64, Vec<String>>, Error> {
    let rows = query(
        "SELECT dossier, label FROM labels WHERE dossier > ?1 AND dossier <= ?2 ORDER BY dossier, label",
        &[Value::Integer(after), Value::Integer(last)],
    )?;
    let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in rows {
        let mut columns = Columns::of(row);
        found.entry(columns.integer()?).or_default().push(columns.text()?);
    }
    Ok(found)
}
