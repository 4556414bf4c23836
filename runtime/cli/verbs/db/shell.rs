//! `station db shell --read-only`: a small prompt on the database of a data folder.
//!
//! Statements come from `-c`, from a terminal, or from whatever stdin is. The first that fails ends it, except at a
//! terminal.

use crate::{out, problem, session, units};
use serde_json::{Value as Json, json};
use station_host::inspect::{Answer, Shell, ShellSettings, Value};
use station_model::Code;
use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

const AFTER: &str = "\
It only reads, and does not hold what it has read: a station that runs in the folder goes on as before. \
Tables of modules have names such as m1__cases, which `station db tables` lists. At the prompt a \
statement ends with `;`, `.tables` lists tables, `.quit` ends.

Examples:
  station db shell --read-only --data data
  station db shell --read-only --data data -c 'SELECT name, active FROM modules'
  station db shell --read-only --data data --json < report.sql";

/// What is read of stdin at most.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Characters of a value that people are shown.
const SHOWN_MAX: usize = 120;
/// What `.tables` asks.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";

/// Read in the database of a data folder, by SQL
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Required: there is no shell that writes
    #[arg(long, required = true)]
    read_only: bool,
    /// The data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Run this instead of asking; may be several statements
    #[arg(long, short, value_name = "SQL")]
    command: Option<String>,
    /// At most so many rows of each statement
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// How long each statement may run
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::millis)]
    timeout: units::Millis,
    /// Print one JSON document on stdout, for a problem too
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> ExitCode {
        session::ended(self.read(), self.json)
    }

    fn read(&self) -> anyhow::Result<()> {
        let time_max = Duration::from_millis(self.timeout.0);
        let settings = ShellSettings { rows_max: self.limit, time_max, ..ShellSettings::default() };
        let shell = Shell::open(&self.data, settings).map_err(problem::failed)?;
        match &self.command {
            Some(text) => self.answer(&shell, text),
            None if io::stdin().is_terminal() && !self.json => prompt(&shell),
            None => self.answer(&shell, &all_of_stdin()?),
        }
    }

    fn answer(&self, shell: &Shell, text: &str) -> anyhow::Result<()> {
        if !self.json {
            return shown(shell, text);
        }
        let mut results = Vec::new();
        shell.run(text, |answer| results.push(document(&answer))).map_err(problem::failed)?;
        Ok(out::json(&json!({ "results": results }))?)
    }
}

fn all_of_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    match read as u64 > TEXT_BYTES_MAX {
        true => Err(problem::refused(Code::SqlTooBig, format!("stdin has more than {TEXT_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

/// Answers for people. What went before a mistake is shown.
fn shown(shell: &Shell, text: &str) -> anyhow::Result<()> {
    let mut printed = Ok(());
    let ran = shell.run(text, |answer| {
        if printed.is_ok() {
            printed = out::line(&page(&answer));
        }
    });
    printed?;
    ran.map_err(problem::failed)
}

/// Reads statements from a terminal until its end.
fn prompt(shell: &Shell) -> anyhow::Result<()> {
    let (mut text, mut lines) = (String::new(), io::stdin().lock().lines());
    loop {
        out::prompt(if text.is_empty() { "station> " } else { "    ...> " });
        let Some(line) = lines.next().transpose()? else { return Ok(()) };
        match (text.is_empty(), line.trim()) {
            (true, "") => {}
            (true, ".quit" | ".exit") => return Ok(()),
            (true, ".tables") => told(shown(shell, TABLES)),
            (true, ".help") => out::say("SQL that reads, ended by `;`; .tables; .quit"),
            (_, end) => {
                text.push_str(&line);
                text.push('\n');
                if end.ends_with(';') {
                    told(shown(shell, &std::mem::take(&mut text)));
                }
            }
        }
    }
}

/// A mistake at the prompt is said, and the next statement is asked for.
fn told(done: anyhow::Result<()>) {
    if let Err(error) = done {
        let problem = problem::of(&error);
        out::say(&format!("error[{}]: {}", problem.code, problem.detail));
    }
}

fn page(answer: &Answer) -> String {
    let rows = answer.rows.iter().map(|row| row.iter().map(text).collect());
    let more = if answer.more { "there are more rows; --limit says how many are shown\n" } else { "" };
    format!("{}{more}", out::grid(&answer.columns, rows))
}

fn text(value: &Value) -> String {
    let whole = match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("x'{}'", hex(bytes.get(..SHOWN_MAX).unwrap_or(bytes))),
    };
    match whole.char_indices().nth(SHOWN_MAX).and_then(|(at, _)| whole.get(..at)) {
        Some(start) => format!("{start}…"),
        None => whole,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn document(answer: &Answer) -> Json {
    let rows: Vec<Vec<Json>> = answer.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    json!({ "columns": answer.columns, "rows": rows, "more": answer.more })
}

/// As JSON says it; it has no word for bytes, nor for numbers such as infinity.
fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Real(number) if number.is_finite() => json!(number),
        Value::Real(number) => json!(number.to_string()),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({ "blob": hex(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_for_people_and_whole_for_programs() {
        let long = Value::Text("é".repeat(500));
        assert_eq!(text(&long).chars().count(), SHOWN_MAX + 1);
        assert_eq!(plain(&long), json!("é".repeat(500)));
        assert_eq!(text(&Value::Blob(vec![1, 255])), "x'01ff'");
        assert_eq!(plain(&Value::Blob(vec![1, 255])), json!({"blob": "01ff"}));
        assert_eq!(plain(&Value::Real(f64::INFINITY)), json!("inf"));
    }
}
