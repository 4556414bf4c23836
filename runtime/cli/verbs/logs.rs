//! `station logs`: what a module wrote, and what it writes.

use crate::{
    out,
    session::{Ask, Connection, Session},
};
use futures_util::TryStreamExt;
use station_api::{Error, LogLine};
use std::{pin::pin, time::Duration};

const AFTER: &str = "\
Examples:
  station logs dossiers
  station logs dossiers -f
  station logs dossiers --limit 20 --json
  station logs dossiers -f --json | jq -r .text     # one document per line while following

The station keeps the last 1,000 lines of each module.";

/// How long to wait before asking again when the station ended the connection, as it does while it restarts.
const PAUSE: Duration = Duration::from_secs(1);

/// Print what a module wrote to stdout, stderr and wasi:logging
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module
    #[arg(value_name = "MODULE")]
    module: String,
    /// Go on as lines are written, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// At most so many of the last lines
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let page = session.client.logs(&self.module, 0, self.limit).await?;
        if !self.follow {
            session.answer(&page, |page| page.lines.iter().map(text).collect())?;
            return Ok(());
        }
        page.lines.iter().try_for_each(|line| print(session, line))?;
        let last = page.lines.last().map_or(0, |line| line.seq);
        follow(session, &self.module, last).await
    }
}

/// Prints lines for ever. A connection that ends or breaks is made again; a refusal is not asked twice.
async fn follow(session: &Session, module: &str, mut last: u64) -> anyhow::Result<()> {
    loop {
        match until_end(session, module, &mut last).await {
            Ok(()) => {}
            Err(error) if is_interruption(&error) => session.say("the connection broke; trying again"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until_end(session: &Session, module: &str, last: &mut u64) -> anyhow::Result<()> {
    let mut lines = pin!(session.client.follow(module, *last).await?);
    while let Some(line) = lines.try_next().await? {
        print(session, &line)?;
        *last = line.seq;
    }
    Ok(())
}

/// True when asking again may help: the station is away, perhaps because it restarts.
pub(super) fn is_interruption(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Transport { .. } | Error::TimedOut { .. }))
}

fn print(session: &Session, line: &LogLine) -> std::io::Result<()> {
    match session.json {
        true => out::json_line(line),
        false => out::line(&text(line)),
    }
}

fn text(line: &LogLine) -> String {
    format!("{} {:<7} {}\n", out::moment(line.at_ms), line.level, line.text)
}
