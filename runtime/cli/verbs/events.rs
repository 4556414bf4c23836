//! `station events`: what modules have published.

use super::logs::is_interruption;
use crate::{
    out,
    session::{Ask, Connection, Session},
};
use station_api::{Event, EventFilter, EventList};
use std::time::Duration;

const AFTER: &str = "\
Examples:
  station events tail
  station events tail --module dossiers -f
  station events tail --after 1200 --json | jq -r '.events[].text'
  station events prune --through 1200";

const TAIL: &str = "\
Examples:
  station events tail                      # the last 100
  station events tail -f                   # and those that come, until Ctrl-C
  station events tail --after 0 --limit 1000 --topic dossiers.opened
  station events tail -f --json | jq -r .text    # one document per line while following

An event is there when the call that published it has succeeded, and is on the disk before it is shown.";

const PRUNE: &str = "\
Examples:
  station events prune --through 1200

What a module may keep of events has a quota; this makes room. Their offsets are not used again.";

/// How long a follower waits before it looks again.
const PAUSE: Duration = Duration::from_millis(500);
/// The most that the station gives at once.
const PAGE: u32 = 1_000;

/// Show the events that modules have published, or forget old ones
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Tail(Tail),
    Prune(Prune),
}

/// Print events, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = TAIL)]
struct Tail {
    /// Only those after this offset; without it, the last ones
    #[arg(long, value_name = "OFFSET")]
    after: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE)))]
    limit: u32,
    /// Only those of this module
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// Only those with this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Go on as events are published, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Forget events up to and including an offset
#[derive(Debug, clap::Args)]
#[command(after_help = PRUNE)]
struct Prune {
    /// The last offset that is forgotten
    #[arg(long, value_name = "OFFSET")]
    through: u64,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        match &self.verb {
            Verb::Tail(tail) => &tail.connection,
            Verb::Prune(prune) => &prune.connection,
        }
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self.verb {
            Verb::Tail(tail) => tail.run(session).await,
            Verb::Prune(prune) => {
                session.client.prune_events(prune.through).await?;
                session.say(&format!("the events up to {} are forgotten", prune.through));
                session.answer(&serde_json::json!({ "through": prune.through }), |_| String::new())?;
                Ok(())
            }
        }
    }
}

impl Tail {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let Self { after, limit, module, topic, follow, .. } = self;
        let filter = EventFilter { after, limit, module, topic };
        let list = session.client.events(&filter).await?;
        if !follow {
            session.answer(&list, |list| list.events.iter().map(text).collect())?;
            return Ok(());
        }
        go_on(session, filter, list).await
    }
}

/// Prints events for ever. A connection that breaks is made again, and goes on where it was.
async fn go_on(session: &Session, mut filter: EventFilter, mut list: EventList) -> anyhow::Result<()> {
    loop {
        list.events.iter().try_for_each(|event| print(session, event))?;
        if let Some(event) = list.events.last() {
            filter.after = Some(event.offset);
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        filter.after.get_or_insert(0);
        filter.limit = PAGE;
        list = again(session, &filter).await?;
    }
}

/// Asks until there is an answer; a refusal is not asked twice.
async fn again(session: &Session, filter: &EventFilter) -> anyhow::Result<EventList> {
    loop {
        match session.client.events(filter).await.map_err(anyhow::Error::from) {
            Err(error) if is_interruption(&error) => session.say("the connection broke; trying again"),
            answer => return answer,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn print(session: &Session, event: &Event) -> std::io::Result<()> {
    match session.json {
        true => out::json_line(event),
        false => out::line(&text(event)),
    }
}

fn text(event: &Event) -> String {
    let Event { offset, module, topic, key, payload, at_ms, .. } = event;
    let said = event.text.clone().unwrap_or_else(|| format!("base64:{payload}"));
    format!("{offset:>6} {} {module} {topic} {key:?} {}\n", out::moment(*at_ms), out::clean(&said))
}
