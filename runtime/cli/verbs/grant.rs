//! `station grant`: allows a module something.

use super::deploy;
use crate::session::{Ask, Connection, Session};
use station_api::Module;

const AFTER: &str = "\
A grant is a package (`ns:pkg`), an interface (`ns:pkg/iface`, `ns:pkg/iface@1.2.0`), the name of a \
function at the root, each with `@module` behind it if only that module may provide it, or a host \
(`https://api.example.com`).

Examples:
  station grant dossiers lex:audit/journal
  station grant dossiers lex:audit/journal@audit wasi:keyvalue
  station grant portal https://api.example.com 'https://*.example.org'";

/// Allow a module to import something or to reach a host
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "MODULE")]
    module: String,
    /// What to allow
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
        let module = session.client.grant(&self.module, &grants).await?;
        changed(session, &module)
    }
}

/// Tells how a module stands after a change.
pub(crate) fn changed(session: &Session, module: &Module) -> anyhow::Result<()> {
    let summary = &module.summary;
    let waiting = deploy::waiting(&summary.waiting_for);
    session.say(&format!("{}: {}\n{waiting}", summary.name, summary.state.as_str()));
    session.answer(module, |_| String::new())?;
    Ok(())
}
