//! `station rm`: removes a module with its revisions, grants, links and data.

use crate::session::{Ask, Connection, Session};
use serde_json::json;

const AFTER: &str = "\
Examples:
  station rm dossiers

Modules that import from it wait afterwards, until somebody else provides what it did.";

/// Remove a module with everything that is remembered about it
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        session.client.remove(&self.name).await?;
        session.say(&format!("{}: removed", self.name));
        session.answer(&json!({ "module": self.name, "removed": true }), |_| String::new())?;
        Ok(())
    }
}
