//! `station restore`: a data folder from a backup.

use super::backup::{document, failed, told};
use crate::{heart::Heart, out, session};
use station_api::Error;
use station_host::backup;
use std::{fs::File, path::PathBuf, process::ExitCode};

const AFTER: &str = "\
The folder must be missing or empty. The backup is checked before anything is made, and what was made \
after it; when something fails, nothing stays. A station that is started on the folder has the same \
modules, grants, tokens, rows and keys; it makes a new admin.token, which replaces the old one, and \
compiles each component once.

Examples:
  station restore monday.tar --data /srv/again
  station serve --config station.yaml --data /srv/again";

/// Make a data folder out of a backup
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The backup, as `station backup` made it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print one JSON document on stdout, for a problem too
    #[arg(long)]
    json: bool,
    /// Say nothing on stderr unless it fails
    #[arg(long, short)]
    quiet: bool,
}

impl Args {
    /// Restores and tells.
    pub(crate) fn run(self) -> ExitCode {
        session::ended(self.restore(), self.json)
    }

    fn restore(&self) -> anyhow::Result<()> {
        let readable = File::open(&self.file);
        readable.map_err(|source| Error::File { path: self.file.clone(), source })?;
        let heart = Heart::beating("checking the backup and writing what is in it", self.quiet);
        let contents = backup::restore(&self.file, &self.data).map_err(failed)?;
        drop(heart);
        if self.json {
            out::json(&document(&self.file, &contents))?;
        } else if !self.quiet {
            out::say(&format!("{}: {}; start it with `station serve`", self.data.display(), told(&contents)));
        }
        Ok(())
    }
}
