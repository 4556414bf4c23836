//! Printing: data to stdout, talk to stderr, and neither can bring the command down.
//!
//! `println!` panics when its reader is gone, so nothing here uses it. Text for people may hold what a module
//! wrote; it is cleaned, so that no terminal obeys a guest.

use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Prints a line of data.
///
/// # Errors
/// When stdout cannot be written; `BrokenPipe` when its reader is gone.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", clean(text).trim_end_matches('\n'))?;
    stdout.flush()
}

/// Prints one JSON document on lines of its own.
///
/// # Errors
/// As [`line`].
pub(crate) fn json(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
    raw(&text)
}

/// Prints one JSON document on one line, for streams.
///
/// # Errors
/// As [`line`].
pub(crate) fn json_line(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(document).map_err(io::Error::other)?;
    raw(&text)
}

/// Prints text that a program reads, as it is.
///
/// # Errors
/// As [`line`].
pub(crate) fn raw(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
    stdout.flush()
}

/// Says something on stderr. Nobody listening is no error.
pub(crate) fn say(text: &str) {
    let text = clean(text);
    drop(writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n')));
}

/// True when somebody watches stderr.
pub(crate) fn watched() -> bool {
    io::stderr().is_terminal()
}

/// True when stdout's reader is gone, which is how `| head` says that it has seen enough.
pub(crate) fn reader_gone(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    kinds.map(io::Error::kind).any(|kind| kind == io::ErrorKind::BrokenPipe)
}

/// The text with control characters shown instead of obeyed; line ends and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| match c.is_control() && c != '\n' && c != '\t' {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A table without borders, as wide as the terminal.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    if header.iter().any(|name| !name.is_empty()) {
        table.set_header(header);
    }
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell)));
    }
    edged(&table)
}

/// The preset pads every cell; at the edges that is only noise.
fn edged(table: &comfy_table::Table) -> String {
    let lines = table.to_string();
    lines.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line).trim_end())).collect()
}

/// The same for a number of columns that is not known before.
pub(crate) fn grid(header: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|name| clean(name)));
    table.add_rows(rows.map(|row| row.iter().map(|cell| clean(cell)).collect::<Vec<_>>()));
    edged(&table)
}

/// What stands before what somebody types.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(write!(stderr, "{text}").and_then(|()| stderr.flush()));
}

/// A moment as RFC 3339 writes it, in the local time zone.
pub(crate) fn moment(ms: u64) -> String {
    let known = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let local = known.map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    local.map_or_else(|| ms.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_no_guest() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{9b}c\n\td"), "a\\u{1b}[2Jb\\r\\u{9b}c\n\td");
    }

    #[test]
    fn a_table_has_no_borders_and_no_trailing_spaces() {
        let text = table(["NAME", "STATE"], [["audit".to_owned(), "ready".to_owned()]]);
        assert_eq!(text, "NAME   STATE\naudit  ready\n");
    }

    #[test]
    fn only_a_closed_pipe_is_quiet() {
        let pipe = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(reader_gone(&pipe));
        assert!(!reader_gone(&anyhow::Error::new(io::Error::from(io::ErrorKind::NotFound))));
    }
}
