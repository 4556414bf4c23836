//! `station build`: runs the one build command of a project, whatever its language.

use crate::{out, project, session};
use std::{path::PathBuf, process::ExitCode};

const AFTER: &str = "\
The command, by the file that is found in DIR:
  Cargo.toml         cargo build --release --target wasm32-wasip2
  package.json       npm run build                  (first npm install)
  requirements.txt   componentize-py ... componentize  (first pip install into .venv)

Files DIR/migrations/V1__init.sql, V2__... go into the component. When the module is deployed,
the station runs those that it has not run yet, before the module serves.

What the command says goes to stderr; stdout has the path of the component.

Examples:
  station build
  station build hello
  station deploy \"$(station build hello)\" --name hello";

/// Build a project that `station new` made
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

impl Args {
    /// Builds, and prints where the component is.
    pub(crate) fn run(self) -> ExitCode {
        let built = project::build(&self.dir).and_then(|component| Ok(out::line(&component.display().to_string())?));
        session::ended(built, false)
    }
}
