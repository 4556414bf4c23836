//! `station trace`: one stack trace over all frames of a call; without a call, the calls there are.

use crate::{
    out, problem,
    session::{Ask, Connection, Session},
    units,
};
use station_api::CallRecord;
use station_model::Outcome;

const AFTER: &str = "\
The station remembers all failures and the last 1,000 calls, within bounds. File and line are shown \
where the component carries debug information (DWARF).

Examples:
  station trace call-0190f3d2a6c87c3fb1c2d3e4f5061728
  station trace                     # the last calls with their ids
  station trace --failed --limit 5";

/// Show a call's stack trace over all modules, or list the last calls
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The call's id, as `station call` and the `station-call` header say it
    #[arg(value_name = "CALL")]
    call: Option<String>,
    /// List only calls that failed
    #[arg(long, conflicts_with = "call")]
    failed: bool,
    /// List at most so many
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "call")]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        if let Some(call) = &self.call {
            let record = session.client.trace(call).await?;
            session.answer(&record, page)?;
            return Ok(());
        }
        let list = session.client.calls(self.limit, self.failed).await?;
        let header = ["CALL", "STARTED", "BY", "MODULE", "FUNCTION", "OUTCOME", "FUEL", "TIME"];
        session.answer(&list, |list| out::table(header, list.calls.iter().map(row)))?;
        Ok(())
    }
}

fn page(record: &CallRecord) -> String {
    let mut text = format!(
        "{} {} by {} at {}\n",
        record.module,
        record.function,
        record.principal,
        out::moment(record.started_ms)
    );
    if let Some(failure) = &record.failure {
        text.push_str(&format!("{}: {}\n", failure.code, failure.detail));
    }
    text.push_str(&problem::stack(&record.call));
    text
}

fn row(record: &CallRecord) -> [String; 8] {
    [
        record.call.id.to_string(),
        out::moment(record.started_ms),
        record.principal.clone(),
        record.module.to_string(),
        record.function.to_string(),
        outcome(record.outcome).to_owned(),
        units::Count(record.call.fuel).to_string(),
        units::about_us(record.call.duration_us),
    ]
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed(code) => code.as_str(),
    }
}
