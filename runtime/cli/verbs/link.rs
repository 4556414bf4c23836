//! `station link`: settles which module provides an import.

use super::{deploy, grant::changed};
use crate::session::{Ask, Connection, Session};

const AFTER: &str = "\
A link stays with the provider it was made with, whoever else exports the interface, until this \
verb changes it.

Examples:
  station link dossiers lex:audit/journal@1.0.0=audit
  station link portal greet=hello            # a function at the root of the world";

/// Settle which module provides an import
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module that imports
    #[arg(value_name = "MODULE")]
    module: String,
    /// The import as the module names it, and who shall provide it
    #[arg(value_name = "IFACE=PROVIDER")]
    link: String,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let (interface, provider) = deploy::link(&self.link)?;
        let module = session.client.link(&self.module, &interface, &provider).await?;
        changed(session, &module)
    }
}
