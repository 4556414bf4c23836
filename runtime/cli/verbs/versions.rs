//! `station versions`: every revision of a module that is kept.

use super::ls::short;
use crate::{
    out,
    session::{Ask, Connection, Session},
    units,
};
use station_api::Version;

const AFTER: &str = "\
Examples:
  station versions dossiers
  station versions dossiers --json | jq -r '.versions[] | select(.active) | .digest'";

/// List the revisions of a module, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "MODULE")]
    module: String,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let list = session.client.versions(&self.module).await?;
        let header = ["", "DIGEST", "VERSION", "SIZE", "UPLOADED"];
        session.answer(&list, |list| out::table(header, list.versions.iter().map(row)))?;
        Ok(())
    }
}

fn row(version: &Version) -> [String; 5] {
    [
        if version.active { "active" } else { "" }.to_owned(),
        short(&version.digest),
        version.metadata.version.clone().unwrap_or_else(|| "-".to_owned()),
        units::about(version.size),
        out::moment(version.uploaded_ms),
    ]
}
