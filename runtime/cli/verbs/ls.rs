//! `station ls`: the modules and whether they can be called.

use crate::{
    out,
    session::{Ask, Connection, Session},
    units,
};
use station_api::ModuleSummary;
use station_model::Digest;

const AFTER: &str = "\
Examples:
  station ls
  station ls --json | jq -r '.modules[] | select(.state == \"waiting\") | .name'";

/// List the modules
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let list = session.client.modules().await?;
        if list.modules.is_empty() && !session.json {
            session.say("no modules yet; `station deploy FILE --name NAME` uploads one");
            return Ok(());
        }
        let header = ["NAME", "STATE", "VERSION", "DIGEST", "CALLS", "FAILED", "FUEL"];
        session.answer(&list, |list| out::table(header, list.modules.iter().map(row)))?;
        Ok(())
    }
}

fn row(module: &ModuleSummary) -> [String; 7] {
    [
        module.name.to_string(),
        module.state.as_str().to_owned(),
        module.version.clone().unwrap_or_else(|| "-".to_owned()),
        module.digest.as_ref().map_or_else(|| "-".to_owned(), short),
        units::Count(module.calls).to_string(),
        units::Count(module.failures).to_string(),
        units::Count(module.fuel).to_string(),
    ]
}

/// Enough of a digest to recognise it.
pub(crate) fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}
