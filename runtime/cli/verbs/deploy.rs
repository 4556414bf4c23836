//! `station deploy`: uploads a component and waits until it is active or refused, or, with `--plan`, asks which of both
//! it would be.
//!
//! Waiting for a grant or for a provider is no failure: the module is accepted, says what it waits for, and
//! becomes ready by itself.

use crate::{
    out, problem,
    session::{Ask, Connection, Session},
    units,
};
use indicatif::{ProgressBar, ProgressStyle};
use station_api::{Deployed, Progress, UploadOptions, Waiting};
use station_model::{Code, Grant, InterfaceName, ModuleName};
use std::{path::PathBuf, sync::Mutex, time::Duration};

const AFTER: &str = "\
Examples:
  station deploy target/hello.wasm --name hello
  station deploy dossiers.wasm --name dossiers --grant lex:audit/journal
  station deploy weather.wasm --name weather --grant https://api.example.com
  station deploy portal.wasm --name portal --grant-all
  station deploy portal.wasm --name portal --link lex:dossiers/cases@1.0.0=dossiers
  station deploy portal.wasm --name portal --plan

The same bytes twice are one revision. --grant, --grant-all and --link need a token with the scope \
`admin`. A module that waits for something is deployed, exit code 0 and with --json \
{\"state\":\"waiting\",\"waiting_for\":[...]}. \
A plan is refused for what the deployment would be refused for. It does not run migrations.";

/// Upload a component as a module, or as a new revision of it
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The component, a .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The module's name: a-z, 0-9 and -
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Allow a package, an interface (`ns:pkg/iface`, `...@provider`) or a host (`https://api.example.com`)
    #[arg(long = "grant", value_name = "IFACE_OR_PACKAGE")]
    grants: Vec<String>,
    /// Allow everything that this revision imports
    #[arg(long)]
    grant_all: bool,
    /// Settle which module provides an import
    #[arg(long = "link", value_name = "IFACE=MODULE")]
    links: Vec<String>,
    /// Say what it would do, and do nothing
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let options = UploadOptions {
            grants: self.grants.iter().map(|text| grant(text)).collect::<Result<_, _>>()?,
            grant_all: self.grant_all,
            links: self.links.iter().map(|text| link(text)).collect::<Result<_, _>>()?,
            digest: None,
            plan: self.plan,
        };
        let shown = Shown::new(session.quiet);
        let bar = shown.bar.clone();
        let uploaded = session.client.upload(&self.name, &self.file, &options, move |step| shown.step(step)).await;
        bar.finish_and_clear();
        let deployed = uploaded?;
        session.say(&told(&deployed));
        session.answer(&deployed, |deployed| deployed.digest.to_string())?;
        Ok(())
    }
}

/// Reads a grant; what is none is a problem like one of the station's.
pub(crate) fn grant(text: &str) -> anyhow::Result<Grant> {
    text.parse().map_err(|invalid: station_model::Invalid| problem::refused(Code::AdminBadRequest, invalid.to_string()))
}

/// Reads `IFACE=MODULE`.
pub(crate) fn link(text: &str) -> anyhow::Result<(InterfaceName, ModuleName)> {
    let bad = |why: String| problem::refused(Code::AdminBadRequest, format!("link {text:?}: {why}"));
    let Some((interface, module)) = text.rsplit_once('=') else {
        return Err(bad("write it as ns:pkg/iface@1.0.0=module".to_owned()));
    };
    let interface = interface.parse().map_err(|e: station_model::Invalid| bad(e.to_string()))?;
    let module = module.parse().map_err(|e: station_model::Invalid| bad(e.to_string()))?;
    Ok((interface, module))
}

/// What became of it, in a sentence, and what it waits for.
fn told(deployed: &Deployed) -> String {
    let what = match (deployed.changed, deployed.planned) {
        (true, false) => "deployed",
        (true, true) => "would be deployed",
        (false, false) => "this revision was active already",
        (false, true) => "nothing would change, this revision is active already",
    };
    let warnings: String = deployed.warnings.iter().map(|w| format!("  warning: {}\n", w.detail)).collect();
    let waiting = waiting(&deployed.waiting_for);
    format!("{}: {what}; {}\n{waiting}{warnings}", deployed.module, deployed.state.as_str())
}

/// What a module waits for, a line each.
pub(crate) fn waiting(waiting_for: &[Waiting]) -> String {
    let line = |waiting: &Waiting| format!("  {}: {} ({})\n", waiting.interface, waiting.detail, waiting.reason);
    waiting_for.iter().map(line).collect()
}

/// Progress for who watches: a bar on a terminal, a line per step elsewhere.
struct Shown {
    bar: ProgressBar,
    lines: bool,
    last: Mutex<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    None,
    Uploading,
    Received,
    /// For so many tens of seconds.
    Compiling(u64),
}

impl Shown {
    fn new(quiet: bool) -> Self {
        let watched = out::watched();
        let bar = if quiet || !watched { ProgressBar::hidden() } else { ProgressBar::new(0) };
        Self { bar, lines: !quiet && !watched, last: Mutex::new(Step::None) }
    }

    fn step(&self, progress: Progress) {
        let (step, text) = match progress {
            Progress::Sent { total, .. } => (Step::Uploading, format!("uploading {}", units::about(total))),
            Progress::Received => (Step::Received, "uploaded".to_owned()),
            Progress::Compiling { elapsed_ms } => {
                (Step::Compiling(elapsed_ms / 10_000), format!("compiling, {} s", elapsed_ms / 1_000))
            }
        };
        let is_new = self.is_new(step);
        if self.lines && is_new {
            out::say(&text);
        }
        match progress {
            Progress::Sent { bytes, total } => self.send(bytes, total, is_new),
            Progress::Received => {}
            Progress::Compiling { .. } => self.spin(text, is_new),
        }
    }

    fn send(&self, bytes: u64, total: u64, is_new: bool) {
        let style = ProgressStyle::with_template("uploading {bar:30} {bytes}/{total_bytes} {eta}");
        if let (true, Ok(style)) = (is_new, style) {
            self.bar.set_style(style);
            self.bar.set_length(total);
        }
        self.bar.set_position(bytes);
    }

    fn spin(&self, text: String, is_new: bool) {
        if is_new {
            self.bar.set_style(ProgressStyle::default_spinner());
            self.bar.enable_steady_tick(Duration::from_millis(100));
        }
        self.bar.set_message(text);
    }

    fn is_new(&self, step: Step) -> bool {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut *last, step) != step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_an_interface_and_a_module() {
        let (interface, module) = link("a:b/c@1.0.0=m").unwrap();
        assert_eq!((interface.to_string().as_str(), module.as_str()), ("a:b/c@1.0.0", "m"));
        for text in ["", "a:b/c", "a:b/c=", "=m", "a b=m"] {
            let error = link(text).unwrap_err();
            assert_eq!(problem::of(&error).code, "admin.bad_request", "{text}");
        }
    }

    #[test]
    fn a_line_is_said_once_per_step_and_every_ten_seconds() {
        let shown = Shown { bar: ProgressBar::hidden(), lines: false, last: Mutex::new(Step::None) };
        let steps = [Step::Uploading, Step::Uploading, Step::Received, Step::Compiling(0), Step::Compiling(0)];
        let said = steps.into_iter().filter(|step| shown.is_new(*step)).count();
        assert_eq!((said, shown.is_new(Step::Compiling(1))), (3, true));
    }
}
