//! `station call`: calls a function of a module and prints its result.

use crate::{
    problem,
    session::{Ask, Connection, Session},
    units,
};
use anyhow::Context;
use serde_json::Value;
use station_api::{CallAnswer, CallBody, Deadline, Error};
use station_model::{Code, FunctionPath, Invalid};
use std::io::Read;

const AFTER: &str = "\
FUNC is `ns:pkg/iface@1.2.3#func`, where the version may be left out if it is not ambiguous, or \
`func` for a function at the root of the world. ARGS are a WAVE tuple, or a JSON array with \
--args-json; `@FILE` reads them from a file, `@-` from stdin. A function without parameters needs none.

Examples:
  station call hello greet '(\"you\")'
  station call calc demo:calc/ops#add '(1, 2)'
  station call dossiers lex:dossiers/cases@1.0.0#open '({title: \"Smith\", tags: []})'
  station call calc demo:calc/ops#add '[1, 2]' --args-json --json
  station call slow run --fuel 1_000_000_000 --deadline 30s

With --json: {\"result\": ..., \"call\": {\"id\", \"fuel\", \"duration_us\", \"frames\"}}. \
A failed call is exit code 1 and its problem document.";

/// Call a function of a module
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "MODULE")]
    module: String,
    /// The function, `ns:pkg/iface#func` or `func`
    #[arg(value_name = "FUNC")]
    function: String,
    /// The arguments: a WAVE tuple such as `(1, "x", {a: 2})`, or JSON with --args-json
    #[arg(value_name = "ARGS")]
    arguments: Option<String>,
    /// At most this much fuel for the whole call
    #[arg(long, value_name = "N", value_parser = fuel)]
    fuel: Option<u64>,
    /// At most this long, such as `500ms`, `2s` or `1m`
    #[arg(long, value_name = "D", value_parser = deadline)]
    deadline: Option<Deadline>,
    /// ARGS are a JSON array, one value per parameter
    #[arg(long)]
    args_json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let (args, wave) = arguments(self.arguments, self.args_json)?;
        let function = function(&self.function)?;
        let body = CallBody { function, args, wave, fuel: self.fuel, deadline: self.deadline };
        match session.client.call(&self.module, &body).await {
            Ok(answer) => told(session, &answer),
            Err(error) => Err(located(session, error).await.into()),
        }
    }
}

fn told(session: &Session, answer: &CallAnswer) -> anyhow::Result<()> {
    session.answer(answer, |answer| problem::value(&answer.result))?;
    let call = &answer.call;
    let cost = format!("{} fuel, {}", units::Count(call.fuel), units::about_us(call.duration_us));
    if !session.json {
        session.say(&format!("{}: {cost}, {} in the call tree", call.id, calls(call.frames.len())));
    }
    Ok(())
}

fn calls(count: usize) -> String {
    match count {
        1 => "1 call".to_owned(),
        count => format!("{count} calls"),
    }
}

/// For people, asks for file and line of a trap, which the station finds out only on demand.
async fn located(session: &Session, error: Error) -> Error {
    let Error::Problem(mut problem) = error else { return error };
    if let Some(call) = problem.call.as_mut().filter(|call| !session.json && problem::unresolved(call))
        && let Ok(record) = session.client.trace(&call.id.to_string()).await
    {
        *call = record.call;
    }
    Error::Problem(problem)
}

fn function(text: &str) -> anyhow::Result<FunctionPath> {
    text.parse().map_err(|invalid: Invalid| problem::refused(Code::CallNoSuchFunction, invalid.to_string()))
}

/// The arguments as JSON values or as WAVE text.
type Arguments = (Option<Vec<Value>>, Option<String>);

fn arguments(written: Option<String>, json: bool) -> anyhow::Result<Arguments> {
    let Some(text) = written.map(read).transpose()? else { return Ok((None, None)) };
    if !json {
        return Ok((None, Some(text)));
    }
    let bad = |why: String| problem::refused(Code::CallBadArgument, format!("ARGS are no JSON array: {why}"));
    serde_json::from_str(&text).map(|values| (Some(values), None)).map_err(|error| bad(error.to_string()))
}

/// The text, or what stands in the file that it names with `@`.
fn read(text: String) -> anyhow::Result<String> {
    match text.strip_prefix('@') {
        None => Ok(text),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading the arguments from stdin")?;
            Ok(text)
        }
        Some(file) => std::fs::read_to_string(file).map_err(|source| Error::File { path: file.into(), source }.into()),
    }
}

fn fuel(text: &str) -> Result<u64, String> {
    units::count(text).map(|count| count.0)
}

/// As the admin API reads it, and compound spans such as `1m30s`.
fn deadline(text: &str) -> Result<Deadline, String> {
    text.parse().or_else(|_| units::millis(text).map(|span| Deadline { ms: span.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_wave_or_json() {
        assert_eq!(arguments(None, true).unwrap(), (None, None));
        assert_eq!(arguments(Some("(1)".into()), false).unwrap(), (None, Some("(1)".into())));
        assert_eq!(arguments(Some("[1]".into()), true).unwrap(), (Some(vec![json!(1)]), None));
    }

    #[test]
    fn json_that_is_no_array_is_a_bad_argument() {
        for text in ["", "{}", "1", "[1"] {
            let error = arguments(Some(text.into()), true).unwrap_err();
            assert_eq!(problem::of(&error).code, "call.bad_argument", "{text}");
        }
    }

    #[test]
    fn long_arguments_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "(2)").unwrap();
        let (_, wave) = arguments(Some(format!("@{}", file.path().display())), false).unwrap();
        assert_eq!(wave.as_deref(), Some("(2)"));
        let error = arguments(Some("@/nonexistent".into()), false).unwrap_err();
        assert_eq!(problem::of(&error).code, "client.file");
    }

    #[test]
    fn what_is_no_function_is_a_problem() {
        assert_eq!(problem::of(&function("a b#c").unwrap_err()).code, "call.no_such_function");
    }

    #[test]
    fn spans_are_those_of_the_api_and_of_station_yaml() {
        assert_eq!(deadline("1.5s").unwrap().ms, 1_500);
        assert_eq!(deadline("1m30s").unwrap().ms, 90_000);
        assert!(deadline("soon").is_err());
    }
}
