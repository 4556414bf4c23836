//! `station completions`: a script that teaches a shell the verbs and flags.

use crate::out;
use clap::CommandFactory;
use std::process::ExitCode;

const AFTER: &str = "\
Examples:
  station completions bash > ~/.local/share/bash-completion/completions/station
  station completions zsh > ~/.zfunc/_station
  station completions fish > ~/.config/fish/completions/station.fish";

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: clap_complete::Shell,
}

impl Args {
    /// Prints the script.
    pub(crate) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "station", &mut script);
        let printed = out::raw(&String::from_utf8_lossy(&script));
        crate::session::ended(printed.map_err(anyhow::Error::new), false)
    }
}
