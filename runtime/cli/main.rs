//! `station`: the command line.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 it worked, 1 it failed, 2 the command or the
//! configuration is wrong (or the station could not start). A reader of stdout that goes away ends the command
//! quietly. The verbs that only the station itself starts are looked at before anything else is set up.

mod config;
#[cfg(test)]
mod golden;
mod heart;
mod migrations;
mod out;
mod problem;
mod project;
mod session;
mod templates;
mod units;
mod verbs;

use clap::Parser;
use station_api::Problem;
use station_model::Code;
use std::ffi::OsString;
use std::process::ExitCode;

/// What `station --help` ends with.
const AFTER: &str = "\
Start here:
  station serve --config station.yaml        start a station; that file explains every key
  station deploy hello.wasm --name hello     upload a component
  station call hello greet '(\"you\")'         call a function of it

Exit codes: 0 it worked; 1 it failed; 2 the command or the configuration is wrong, or the station \
could not start. Data is on stdout, everything else on stderr.

The verbs that ask a running station take its address from STATION_URL and their token from \
STATION_TOKEN; --json makes each of them print one JSON document. A problem is such a document too; \
a code that begins with `client.` is about this side, such as no connection or no such file.";

/// Runs untrusted WebAssembly modules that call each other under one budget, with one stack trace.
#[derive(Debug, Parser)]
#[command(name = "station", version, max_term_width = 100, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    verb: verbs::Verb,
}

fn main() -> ExitCode {
    // A child that compiles untrusted code: no parser, no runtime, nothing that could get in its way.
    match std::env::args_os().nth(1).as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("compile-worker") => station_host::compile_worker(),
        Some("symbolize-worker") => station_host::symbolize_worker(),
        _ => Cli::try_parse().map_or_else(|error| misused(&error), |cli| cli.verb.run()),
    }
}

/// Tells how the command is used, or shows the help or version that was asked for. A program that asked for JSON reads
/// one document on stdout, as for any other problem.
fn misused(error: &clap::Error) -> ExitCode {
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    if error.use_stderr() && asks_for_json(std::env::args_os()) {
        problem::tell(&misuse(error), true, "");
        return code;
    }
    // Nobody listening is no error.
    error.print().ok();
    code
}

/// What was not understood has no parsed flags, so they are looked for as they were written.
fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    args.skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

fn misuse(error: &clap::Error) -> Problem {
    let text = error.render().to_string();
    Problem::new(Code::AdminBadRequest, text.trim_start_matches("error: ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeMap;

    /// The help of a command and of everything below it, by file name.
    fn helps(command: &mut clap::Command, name: &str, all: &mut BTreeMap<String, String>) {
        let mut text = command.render_long_help().to_string();
        text = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        all.insert(format!("{name}.txt"), text);
        for below in command.get_subcommands_mut().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
            let name = format!("{name}-{}", below.get_name());
            helps(below, &name, all);
        }
    }

    fn command() -> clap::Command {
        let mut command = Cli::command().term_width(100);
        command.build();
        command
    }

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_asked_for_by_its_flag_and_not_by_a_value() {
        let asks = |args: &str| asks_for_json(args.split(' ').map(OsString::from));
        assert!(asks("station --json") && asks("station ls --nonsense --json x"));
        assert!(!asks("--json ls") && !asks("station ls --jsonx") && !asks("station call m f -- --json"));
    }

    #[test]
    fn help_is_what_the_golden_files_say() {
        let mut all = BTreeMap::new();
        helps(&mut command(), "station", &mut all);
        for (name, text) in &all {
            crate::golden::check(&crate::golden::folder("help").join(name), text);
        }
        for file in crate::golden::files("help", "txt") {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(all.contains_key(&name), "tests/golden/help/{name} belongs to no verb");
        }
    }

    #[test]
    fn every_verb_has_an_example() {
        for verb in command().get_subcommands().filter(|c| c.get_name() != "help") {
            let shown = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(shown.contains(&format!("  station {}", verb.get_name())), "{}", verb.get_name());
        }
    }
}
