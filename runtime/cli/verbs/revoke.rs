//! `station revoke`: takes a grant away.

use super::{deploy, grant::changed};
use crate::session::{Ask, Connection, Session};

const AFTER: &str = "\
A grant is taken away as it was given; `station show MODULE` lists them. A module that needs it \
waits afterwards.

Examples:
  station revoke dossiers lex:audit/journal
  station revoke portal https://api.example.com";

/// Take a grant away
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "MODULE")]
    module: String,
    /// What to allow no longer
    #[arg(value_name = "GRANT", required = true)]
    grants: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let grants = self.grants.iter().map(|text| deploy::grant(text)).collect::<Result<Vec<_>, _>>()?;
        let module = session.client.revoke(&self.module, &grants).await?;
        changed(session, &module)
    }
}
