//! `station db`: what modules keep in the database.

mod shell;
mod tables;

use std::process::ExitCode;

const AFTER: &str = "\
Examples:
  station db tables
  station db tables --module dossiers
  station db shell --read-only --data data -c 'SELECT count(*) FROM m1__cases'";

/// List the tables of modules, or read in them
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Tables(tables::Args),
    Shell(shell::Args),
}

impl Args {
    /// Does it.
    pub(crate) fn run(self) -> ExitCode {
        match self.what {
            What::Tables(args) => args.run(),
            What::Shell(args) => args.run(),
        }
    }
}
