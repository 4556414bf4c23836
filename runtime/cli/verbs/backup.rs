//! `station backup`: one file from which a whole station comes back.
//!
//! A running station is asked by its admin API and goes on working; with `--data` the folder of a stopped one is read.
//! The file has its name only after everything in it was read back and checked.

use crate::{
    heart::Heart,
    out, problem,
    session::{self, Ask, Connection, Session},
    units,
};
use serde_json::{Value, json};
use station_host::backup::{self, BackupError, Contents, Target};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

const AFTER: &str = "\
The file is a tar archive: the database as of one moment, with what modules wrote, and the components \
of all modules. Needs a token with the scope `admin`. It is checked before it has its name: the \
digests of all components, and the whole database.

Not in it: admin.token and cache.key, which a restored station makes anew, compiled code, and \
station.yaml. Other tokens are in it as hashes and go on working; values under `config:` of modules \
are in it as they are, so keep it like a secret.

Examples:
  station backup monday.tar
  station backup monday.tar --force              # replaces the one of last week
  station backup monday.tar --data /var/lib/station   # of a station that does not run
  station restore monday.tar --data /srv/again";

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// Make a backup of a whole station, which may go on running
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The file to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read this data folder, of a station that does not run, instead of asking one
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token", "token_file"])]
    data: Option<PathBuf>,
    /// Replace a file of this name, once the new one is checked
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    /// Asks a station, or reads a folder.
    pub(crate) fn run(self) -> ExitCode {
        match &self.data {
            None => session::ask(self),
            Some(data) => session::ended(self.of_folder(data), self.connection.json),
        }
    }

    fn of_folder(&self, data: &Path) -> anyhow::Result<()> {
        let mut target = self.target()?;
        let heart = Heart::beating("copying the database", self.connection.quiet);
        let mut backup = backup::of_folder(data).map_err(failed)?;
        heart.doing("writing the archive", Some(backup.bytes));
        let mut piece = vec![0; PIECE];
        loop {
            let read = backup.archive.read(&mut piece)?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            target.append(bytes).map_err(failed)?;
            heart.done(read as u64);
        }
        self.finish(target, heart)
    }

    fn target(&self) -> anyhow::Result<Target> {
        Target::create(&self.file, self.force).map_err(failed)
    }

    fn finish(&self, target: Target, heart: Heart) -> anyhow::Result<()> {
        heart.doing("checking the archive", None);
        let contents = target.finish().map_err(failed)?;
        drop(heart);
        if self.connection.json {
            out::json(&document(&self.file, &contents))?;
        } else if !self.connection.quiet {
            out::say(&format!("{}: {}; checked", self.file.display(), told(&contents)));
        }
        Ok(())
    }
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mut target = self.target()?;
        let heart = Heart::beating("the station copies its database", session.quiet);
        let mut archive = session.client.backup().await?;
        heart.doing("receiving the archive", archive.bytes());
        while let Some(piece) = archive.chunk().await? {
            target.append(&piece).map_err(failed)?;
            heart.done(piece.len() as u64);
        }
        self.finish(target, heart)
    }
}

/// The error with its code.
pub(crate) fn failed(error: BackupError) -> anyhow::Error {
    problem::failed(error.failure())
}

/// What is in a backup, in a sentence.
pub(crate) fn told(contents: &Contents) -> String {
    let database = units::about(contents.database.size);
    let made = out::moment(contents.made_ms);
    format!("a database of {database} and {} components, as of {made}", contents.artifacts.len())
}

/// What is in a backup, for programs.
pub(crate) fn document(file: &Path, contents: &Contents) -> Value {
    json!({
        "file": file,
        "made_ms": contents.made_ms,
        "schema": contents.schema,
        "database_bytes": contents.database.size,
        "components": contents.artifacts.len(),
        "bytes": contents.bytes(),
    })
}
