//! `cargo xtask demo`: a station that serves the example modules, and what to try with it.
//!
//! It builds the examples and the `station` program, writes `target/demo/station.yaml`, and then *becomes* the
//! station: this process is replaced, so that Ctrl-C and SIGTERM reach the station and nothing is left behind. What
//! to try is printed by a child (`cargo xtask demo-greet`) that reads the station's ready line.
//!
//! The data folder is `target/demo/data` and stays: a second start finds everything and compiles nothing.

use std::io::BufRead;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repo::{self, cargo, run, say};
use crate::{guests, setup};

/// An example module and what the demo decides about it.
struct Example {
    name: &'static str,
    grants: &'static [&'static str],
    route: Option<&'static str>,
    /// The modules without which there is nothing to show of it.
    needs: &'static [&'static str],
    /// Without it there is no demo.
    always: bool,
}

const EXAMPLES: [Example; 6] = [
    Example { name: "audit", grants: &["station:sql"], route: None, needs: &[], always: true },
    Example {
        name: "dossiers",
        grants: &["station:sql", "lexorbital:audit@audit"],
        route: None,
        needs: &[],
        always: true,
    },
    Example {
        name: "portal",
        grants: &["lexorbital:dossiers", "lexorbital:audit"],
        route: Some("/"),
        needs: &[],
        always: true,
    },
    Example {
        name: "tags-js",
        grants: &["wasi:keyvalue", "lexorbital:dossiers"],
        route: None,
        needs: &[],
        always: false,
    },
    Example { name: "deadlines-py", grants: &["lexorbital:dossiers"], route: None, needs: &[], always: false },
    Example {
        name: "intake",
        grants: &["lexorbital:labels", "lexorbital:deadlines", "lexorbital:dossiers"],
        route: None,
        needs: &["tags-js", "deadlines-py"],
        always: true,
    },
];

/// What the person chose.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where modules are served [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDR", alias = "listen")]
    gateway: Option<SocketAddr>,
    /// Where the admin API listens [default: 127.0.0.1:8081, or a free port if that is taken]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// How the station is built: `release-dev` is fast to run, `dev` is what the tests have built already
    #[arg(long, default_value = "release-dev")]
    profile: String,
}

/// Builds, writes the configuration, and becomes the station.
///
/// # Errors
/// When something is missing or does not build; what and how to get it.
pub(crate) fn start(options: &Options) -> Result<()> {
    say("==> 1/3 the example modules");
    setup::wasm_target()?;
    let examples = build_examples()?;
    say(&format!("==> 2/3 the station (profile {}; the first time takes several minutes)", options.profile));
    let station = build_station(&options.profile)?;
    say("==> 3/3 starting; modules seen for the first time are compiled now");
    let folder = repo::target().join("demo");
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("station.yaml");
    std::fs::write(&config, yaml(&examples, addresses(options)))?;
    become_station(&station, &config)
}

/// The examples that could be built here. Those that the demo can do without only where their tools are.
fn build_examples() -> Result<Vec<&'static Example>> {
    let always: Vec<_> =
        EXAMPLES.iter().filter(|example| example.always).map(|example| example.name.to_owned()).collect();
    guests::run(&always)?;
    let mut there: Vec<&str> = always.iter().map(String::as_str).collect();
    for example in EXAMPLES.iter().filter(|example| !example.always) {
        match guests::run(&[example.name.to_owned()]) {
            Ok(()) => there.push(example.name),
            Err(why) => say(&format!("the demo goes on without {}: {why:#}", example.name)),
        }
    }
    Ok(EXAMPLES.iter().filter(|example| is_shown(example, &there)).collect())
}

fn is_shown(example: &Example, there: &[&str]) -> bool {
    std::iter::once(&example.name).chain(example.needs).all(|name| there.contains(name))
}

fn build_station(profile: &str) -> Result<PathBuf> {
    run(&mut cargo(&["build", "--locked", "--package", "station", "--bin", "station", "--profile", profile]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(repo::target().join(folder).join("station"))
}

/// The gateway's address and the admin API's.
fn addresses(options: &Options) -> (SocketAddr, SocketAddr) {
    (options.gateway.unwrap_or_else(|| free_or_any(8080)), options.admin.unwrap_or_else(|| free_or_any(8081)))
}

/// This port of the loopback address if nobody has it, any otherwise.
fn free_or_any(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from(([127, 0, 0, 1], port));
    match TcpListener::bind(wanted) {
        Ok(_released_again) => wanted,
        Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

fn yaml(examples: &[&Example], (gateway, admin): (SocketAddr, SocketAddr)) -> String {
    let mut text = format!(
        "# Written anew by each `cargo xtask demo`.\n\
         station: {{ name: demo, data: data }}\n\
         gateway: {{ listen: \"{gateway}\" }}\n\
         admin: {{ listen: \"{admin}\" }}\n\
         cache: {{ dir: cache }}\n\
         modules:\n"
    );
    for example in examples {
        let grants: Vec<_> = example.grants.iter().map(|grant| format!("\"{grant}\"")).collect();
        text += &format!(
            "  {}:\n    source: ../guest-modules/{0}.wasm\n    grants: [{}]\n",
            example.name,
            grants.join(", ")
        );
        text += &example.route.map(|path| format!("    routes: [{{ path: {path} }}]\n")).unwrap_or_default();
    }
    text
}

/// Replaces this process by the station, with a child at its stdout that greets the person.
fn become_station(station: &Path, config: &Path) -> Result<()> {
    let mut greeter = Command::new(std::env::current_exe()?);
    let greeter =
        greeter.arg("demo-greet").arg(station).stdin(Stdio::piped()).spawn().context("starting the greeter")?;
    let ready_line = greeter.stdin.context("the greeter has no input")?;
    let error = Command::new(station).arg("serve").arg("--config").arg(config).stdout(ready_line).exec();
    bail!("{} could not be started: {error}", station.display())
}

/// Waits for the ready line on stdin and says what to try; ends with the station.
///
/// # Errors
/// When stdin cannot be read.
#[expect(clippy::print_stdout, reason = "this is what the person asked for")]
pub(crate) fn greet(station: &Path) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match ready(&line) {
            Some(ready) => println!("{}", what_to_try(station, &ready)),
            None => println!("{line}"),
        }
    }
    Ok(())
}

struct Ready {
    admin: String,
    gateway: String,
    token_file: String,
}

fn ready(line: &str) -> Option<Ready> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| event.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Ready { admin: text("admin")?, gateway: text("gateway")?, token_file: text("token_file")? })
}

fn what_to_try(station: &Path, ready: &Ready) -> String {
    let folder = station.parent().unwrap_or(station).display();
    let Ready { admin, gateway, token_file } = ready;
    format!(
        "
A station is running. In another terminal:

  1. Open a case through the public gateway (portal calls dossiers, dossiers calls audit; the case
     file and the line in the journal are written in one transaction, by Rust and by Python):
     curl -si {gateway}/dossiers -d '{{\"title\":\"Smith v. Jones\",\"client\":\"Ann Smith\",\"kind\":\"appeal\"}}'

  For the next two:
     export PATH={folder}:$PATH STATION_URL={admin} STATION_TOKEN_FILE={token_file}

  2. Call a function of a module, whoever wrote it:
     station call audit lexorbital:audit/journal#verify

  3. See who provides what to whom, and what the last calls did:
     station graph; station trace

It ends with Ctrl-C. Start it again and everything is still there.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_shown_with_everything_it_needs_or_not_at_all() {
        let intake = EXAMPLES.iter().find(|example| example.name == "intake").unwrap();
        assert!(is_shown(intake, &["intake", "tags-js", "deadlines-py"]));
        assert!(!is_shown(intake, &["intake", "tags-js"]));
        assert!(!is_shown(intake, &["tags-js", "deadlines-py"]));
    }

    #[test]
    fn the_ready_line_is_understood_and_others_are_left_alone() {
        let line = r#"{"event":"ready","admin":"http://a","gateway":"http://g","token_file":"/t"}"#;
        assert_eq!(ready(line).unwrap().gateway, "http://g");
        assert!(ready("something else").is_none());
    }
}
