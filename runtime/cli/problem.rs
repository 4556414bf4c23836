//! Problems, as the last thing that a failed command prints.
//!
//! What the station answered is shown as it is. What went wrong on this side (no connection, no such file) has a
//! document of the same shape, with a code that begins with `client.`; those codes are not the station's.

use crate::{out, units};
use serde_json::Value;
use station_api::{Call, Error, Frame, Limit, Location, Problem, Unit};
use station_model::{Code, Failure, Family, Outcome, UnitOutcome};
use std::fmt::Write;

/// The document for an error.
pub(crate) fn of(error: &anyhow::Error) -> Problem {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::Problem(problem)) => (**problem).clone(),
        Some(Error::Transport { .. }) => own("client.unreachable", "The station cannot be reached", 503, true, error),
        Some(Error::TimedOut { .. }) => own("client.timed_out", "The station did not answer in time", 504, true, error),
        Some(Error::Unexpected { .. }) => {
            own("client.unexpected", "This is not the answer of a station", 502, false, error)
        }
        Some(Error::Url { .. } | Error::Token) => {
            own("client.bad_address", "The station cannot be asked", 400, false, error)
        }
        Some(Error::File { .. }) => own("client.file", "A file cannot be read", 400, false, error),
        Some(Error::Setup(_)) | None => own("client.failed", "The command failed", 500, false, error),
    }
}

/// The document for something that a station would refuse with this code.
pub(crate) fn refused(code: Code, detail: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Error::Problem(Box::new(Problem::new(code, detail))))
}

/// The same, for a failure that is known by its code.
pub(crate) fn failed(failure: Failure) -> anyhow::Error {
    anyhow::Error::new(Error::Problem(Box::new(Problem::from(failure))))
}

fn own(code: &str, title: &str, status: u16, retryable: bool, error: &anyhow::Error) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: title.to_owned(),
        status,
        detail: chain(error),
        instance: None,
        code: code.to_owned(),
        retryable,
        limit: None,
        call: None,
    }
}

/// The error and its causes, each said once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// Prints a problem: the document on stdout, or a page for people on stderr.
pub(crate) fn tell(problem: &Problem, json: bool, station: &str) {
    match json {
        true => drop(out::json(problem)),
        false => out::say(&page(problem, station)),
    }
}

/// What people see: code, message, limit, stack, and what to do next. `station` is the address of the one that has
/// a page about the code, or nothing.
fn page(problem: &Problem, station: &str) -> String {
    let mut text = format!("error[{}]: {}\n", problem.code, problem.title);
    for line in problem.detail.lines() {
        put(&mut text, format_args!("  {line}\n"));
    }
    if let Some(limit) = &problem.limit {
        put(&mut text, format_args!("  limit: {}\n", limit_text(limit)));
    }
    if let Some(call) = &problem.call {
        put(&mut text, format_args!("\n{}", stack(call)));
    }
    for next in next_steps(problem, station) {
        put(&mut text, format_args!("\n  {next}"));
    }
    text
}

fn limit_text(limit: &Limit) -> String {
    format!("{} is {}, used or asked for: {}", limit.name, units::Count(limit.value), units::Count(limit.used))
}

/// The frames of a call, root first, with file and line where they are known.
pub(crate) fn stack(call: &Call) -> String {
    let mut text = format!("  {}: {} fuel, {}\n", call.id, units::Count(call.fuel), units::about_us(call.duration_us));
    for frame in &call.frames {
        put(&mut text, format_args!("{}", frame_text(frame)));
    }
    if let Some(unit) = &call.unit {
        put(&mut text, format_args!("{}", unit_text(unit)));
    }
    text
}

/// What a call did to the database: how it ended, and which module wrote what.
fn unit_text(unit: &Unit) -> String {
    let outcome = match unit.outcome {
        UnitOutcome::Read => "read only",
        UnitOutcome::Committed => "committed",
        UnitOutcome::RolledBack => "rolled back",
    };
    let again = if unit.reran { ", run twice after a conflict" } else { "" };
    let mut text = format!("  unit of work: {outcome}, open {}{again}\n", units::about_us(unit.open_us));
    for wrote in &unit.wrote {
        let table = wrote.table.as_deref().unwrap_or("(schema)");
        put(&mut text, format_args!("    {} {table}: {} rows\n", wrote.module, units::Count(wrote.rows)));
    }
    if unit.always > 0 {
        put(&mut text, format_args!("    {} events published whatever became of the call\n", unit.always));
    }
    text
}

fn frame_text(frame: &Frame) -> String {
    let indent = "  ".repeat(2 + usize::try_from(frame.depth).unwrap_or_default().min(40));
    let function = match &frame.interface {
        Some(interface) => format!("{interface}#{}", frame.function),
        None => frame.function.clone(),
    };
    let outcome = match frame.outcome {
        Outcome::Ok => "ok",
        Outcome::Failed(code) => code.as_str(),
    };
    let fuel = units::Count(frame.fuel);
    let mut text = format!("{indent}{} {function}  [{outcome}, {fuel} fuel]\n", frame.module);
    for at in &frame.at {
        put(&mut text, format_args!("{indent}  at {}\n", location(at)));
    }
    text
}

fn location(at: &Location) -> String {
    let function = at.function.as_deref().unwrap_or("<unnamed>");
    match (&at.file, at.line, at.offset) {
        (Some(file), Some(line), _) => format!("{function} ({file}:{line})"),
        (Some(file), None, _) => format!("{function} ({file})"),
        (None, _, Some(offset)) => format!("{function} (offset {offset:#x})"),
        (None, _, None) => function.to_owned(),
    }
}

/// True when some frame trapped at a place whose file and line may still be found out.
pub(crate) fn unresolved(call: &Call) -> bool {
    call.frames.iter().flat_map(|frame| &frame.at).any(|at| at.file.is_none())
}

/// What to read and what to try. The page of a code is part of the station.
fn next_steps(problem: &Problem, station: &str) -> Vec<String> {
    let Some(code) = problem.known_code() else { return Vec::new() };
    let mut steps = Vec::new();
    if let Some(step) = next_step(code, problem) {
        steps.push(format!("next: {step}"));
    }
    if problem.retryable {
        steps.push("the same command may succeed later".to_owned());
    }
    steps.push(match station {
        "" => format!("more: docs/errors/{code}.md"),
        station => format!("more: {}/errors/{code}", station.trim_end_matches('/')),
    });
    steps
}

fn next_step(code: Code, problem: &Problem) -> Option<String> {
    let call = problem.call.as_ref().map(|call| call.id.to_string());
    let step = match code {
        Code::AdminUnauthenticated => {
            "set STATION_TOKEN, or STATION_TOKEN_FILE to the token_file that `station serve` printed".to_owned()
        }
        Code::AdminForbidden => "ask for a token with the scope, `station token create --scope admin`".to_owned(),
        Code::CallNoSuchModule => "`station ls` shows the modules there are".to_owned(),
        Code::CallNoSuchFunction => "`station show MODULE` lists its functions as `station call` takes them".to_owned(),
        Code::CallBadArgument => "`station show MODULE` shows the types; WAVE is `(1, \"x\", {a: 2})`".to_owned(),
        Code::CallNotReady => "`station show MODULE` says what it waits for".to_owned(),
        Code::LinkNotGranted => "`station grant MODULE INTERFACE` allows it".to_owned(),
        Code::CallOutOfFuel => "give it more with --fuel, or set limits.fuel in station.yaml".to_owned(),
        Code::CallDeadline => "give it longer with --deadline, or set limits.deadline in station.yaml".to_owned(),
        Code::CallMemoryLimit => "set limits.memory in station.yaml if the module needs it".to_owned(),
        Code::UploadNotAComponent => {
            "make it a component: build for wasm32-wasip2, or `wasm-tools component new`".to_owned()
        }
        _ => return call.filter(|_| code.family() == Family::Call).map(|id| format!("`station trace {id}`")),
    };
    Some(step)
}

/// Appends; a `String` takes everything.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).ok();
}

/// A result for people: JSON, indented where it is more than one value.
pub(crate) fn value(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trap() -> Problem {
        serde_json::from_value(json!({
            "type": "/errors/call.out_of_fuel",
            "title": "The call used up its fuel",
            "status": 500,
            "detail": "audit used up the fuel of the call\u{1b}[2J",
            "code": "call.out_of_fuel",
            "retryable": false,
            "limit": { "name": "fuel", "value": 200_000_000, "used": 200_000_001 },
            "call": {
                "id": "call-0190f3d2a6c87c3fb1c2d3e4f5061728",
                "fuel": 200_000_001,
                "duration_us": 81_234,
                "frames": [
                    {
                        "module": "portal", "revision": format!("sha256:{}", "0".repeat(64)),
                        "interface": "lex:portal/api@0.1.0", "function": "open", "depth": 0,
                        "fuel": 200_000_001, "outcome": "call.out_of_fuel", "at": []
                    },
                    {
                        "module": "audit", "revision": format!("sha256:{}", "1".repeat(64)),
                        "interface": null, "function": "spin", "depth": 1,
                        "fuel": 199_000_000, "outcome": "call.out_of_fuel",
                        "at": [
                            { "function": "audit::spin", "file": "src/lib.rs", "line": 12 },
                            { "function": null, "file": null, "line": null, "offset": 255 }
                        ]
                    }
                ]
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_problem_tells_people_everything_they_need() {
        let expected = "\
error[call.out_of_fuel]: The call used up its fuel
  audit used up the fuel of the call\\u{1b}[2J
  limit: fuel is 200_000_000, used or asked for: 200_000_001

  call-0190f3d2a6c87c3fb1c2d3e4f5061728: 200_000_001 fuel, 81.2 ms
    portal lex:portal/api@0.1.0#open  [call.out_of_fuel, 200_000_001 fuel]
      audit spin  [call.out_of_fuel, 199_000_000 fuel]
        at audit::spin (src/lib.rs:12)
        at <unnamed> (offset 0xff)

  next: give it more with --fuel, or set limits.fuel in station.yaml
  more: http://127.0.0.1:1/errors/call.out_of_fuel";
        assert_eq!(out::clean(&page(&trap(), "http://127.0.0.1:1/")), expected);
    }

    #[test]
    fn a_failure_of_this_side_has_a_document_too() {
        let error = anyhow::Error::new(std::io::Error::other("no disk")).context("reading x.wasm");
        let problem = of(&error);
        assert_eq!((problem.code.as_str(), problem.detail.as_str()), ("client.failed", "reading x.wasm: no disk"));
    }

    #[test]
    fn every_code_has_a_page_for_people() {
        for &code in Code::ALL {
            let text = page(&Problem::new(code, "why"), "");
            assert!(text.contains(&format!("docs/errors/{code}.md")), "{text}");
        }
    }
}
