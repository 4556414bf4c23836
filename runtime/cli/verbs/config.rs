//! `station config`: what is wrong in a station.yaml, and what is in force.

use super::serve::default_file;
use crate::{
    config::{self, Mistakes, Overrides},
    out,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const AFTER: &str = "\
Examples:
  station config check station.yaml
  station config show station.yaml";

const AFTER_CHECK: &str = "\
All mistakes are told at once, each as `file:line:column: key: what to write instead`. Exit code 2 \
if there are any.

Examples:
  station config check station.yaml
  station config check station.yaml --json";

const AFTER_SHOW: &str = "\
The settings in force, defaults included, in the form of a station.yaml. Values under `config:` of a \
module are printed as they are.

Examples:
  station config show station.yaml
  station config show /dev/null          # the defaults";

/// The code for a wrong configuration.
const WRONG: u8 = 2;

/// Check a station.yaml, or show what is in force
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tell every mistake with its place
    #[command(after_help = AFTER_CHECK)]
    Check(File),
    /// Print the settings in force, defaults included
    #[command(after_help = AFTER_SHOW)]
    Show(File),
}

#[derive(Debug, clap::Args)]
struct File {
    /// The file [env: STATION_CONFIG] [default: station.yaml]
    #[arg(value_name = "FILE", default_value_os_t = default_file(), hide_default_value = true)]
    file: PathBuf,
    /// Print one JSON document on stdout, for mistakes too
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Reads the file and tells.
    pub(crate) fn run(self) -> ExitCode {
        let (File { file, json }, show) = match self.what {
            What::Check(file) => (file, false),
            What::Show(file) => (file, true),
        };
        let printed = match config::load(&file, Overrides::default()) {
            Err(mistakes) => return wrong(&mistakes, json),
            Ok(config) if show => shown(&config::document(&config.settings), json),
            Ok(_) => right(&file, json),
        };
        crate::session::ended(printed, json)
    }
}

fn shown(document: &Value, json: bool) -> anyhow::Result<()> {
    match json {
        true => out::json(document)?,
        false => out::line(&serde_saphyr::to_string(document)?)?,
    }
    Ok(())
}

fn right(file: &Path, json: bool) -> anyhow::Result<()> {
    match json {
        true => out::json(&json!({ "file": file, "mistakes": [] }))?,
        false => out::say(&format!("{}: no mistakes", file.display())),
    }
    Ok(())
}

fn wrong(mistakes: &Mistakes, json: bool) -> ExitCode {
    match json {
        true => drop(out::json(&document(mistakes))),
        false => out::say(&mistakes.to_string()),
    }
    ExitCode::from(WRONG)
}

fn document(mistakes: &Mistakes) -> Value {
    let mistake = |mistake: &&config::Mistake| {
        let place = mistake.place;
        json!({
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "key": mistake.key,
            "message": mistake.message,
        })
    };
    json!({ "file": mistakes.file(), "mistakes": mistakes.sorted().iter().map(mistake).collect::<Vec<_>>() })
}
