//! `station token`: access tokens of the admin API.

use crate::{
    out,
    session::{Ask, Connection, Session},
};
use serde_json::json;
use station_api::{CreatedToken, NewToken, Scope, Token};

const AFTER: &str = "\
Scopes: `read` looks at things; `deploy` uploads and calls modules, too; `admin` does everything, too.

Examples:
  station token create --label ci --scope deploy
  station token ls
  station token revoke 3kq9";

const AFTER_CREATE: &str = "\
The secret is printed once, on stdout; the station keeps only its hash.

Examples:
  station token create --label ci --scope deploy
  export STATION_TOKEN=$(station token create --label me --scope read)";

const AFTER_LS: &str = "\
Examples:
  station token ls
  station token ls --json";

const AFTER_REVOKE: &str = "\
Examples:
  station token revoke 3kq9        # the id, as `station token ls` shows it";

/// Make, list and revoke access tokens
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token and print its secret
    #[command(after_help = AFTER_CREATE)]
    Create {
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        label: String,
        /// What it may do: read, deploy or admin
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<Scope>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the tokens, without their secrets
    #[command(after_help = AFTER_LS)]
    Ls {
        #[command(flatten)]
        connection: Connection,
    },
    /// Revoke a token
    #[command(after_help = AFTER_REVOKE)]
    Revoke {
        /// The token's id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        match &self.what {
            What::Create { connection, .. } | What::Ls { connection } | What::Revoke { connection, .. } => connection,
        }
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self.what {
            What::Create { label, scopes, .. } => create(session, label, scopes).await,
            What::Ls { .. } => list(session).await,
            What::Revoke { id, .. } => revoke(session, &id).await,
        }
    }
}

async fn create(session: &Session, label: String, scopes: Vec<Scope>) -> anyhow::Result<()> {
    let created = session.client.create_token(&NewToken { label, scopes }).await?;
    session.answer(&created, |created: &CreatedToken| created.secret.clone())?;
    session.say(&format!("token {} made; nobody can read its secret a second time", created.token.id));
    Ok(())
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let list = session.client.tokens().await?;
    let header = ["ID", "SCOPES", "MADE", "FOR"];
    session.answer(&list, |list| out::table(header, list.tokens.iter().map(row)))?;
    Ok(())
}

fn row(token: &Token) -> [String; 4] {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    [token.id.clone(), scopes.join(","), out::moment(token.created_ms), token.label.clone()]
}

async fn revoke(session: &Session, id: &str) -> anyhow::Result<()> {
    session.client.remove_token(id).await?;
    session.say(&format!("token {id} revoked"));
    session.answer(&json!({ "id": id, "revoked": true }), |_| String::new())?;
    Ok(())
}
