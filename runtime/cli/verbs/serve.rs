//! `station serve`: runs a station until it is told to stop.
//!
//! When it is ready it prints one line of JSON on stdout; everything else is log on stderr. The first SIGTERM or
//! SIGINT drains, the second ends the process at once. A configuration with mistakes, or a station that cannot
//! start, is exit code 2 with file and line on stderr.

use crate::{
    config::{self, Config, Overrides, Place},
    out,
};
use anyhow::Context;
use serde_json::json;
use station_host::{Settings, Station};
use std::{
    io::IsTerminal,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

const AFTER: &str = "\
When ready it prints one line on stdout:
  {\"event\":\"ready\",\"admin\":\"http://...\",\"gateway\":\"http://...\",\"token_file\":\"...\"}

Examples:
  station serve --config station.yaml
  station serve --config station.yaml --data /var/lib/station
  station serve --admin 127.0.0.1:0 --gateway 127.0.0.1:0        # any free ports

SIGTERM or Ctrl-C lets running calls end (`drain` in station.yaml), a second one does not wait. \
STATION_LOG (or RUST_LOG) says how much is logged, such as `debug` or `warn,station_engine=debug`.

Exit codes: 0 told to stop; 2 the configuration is wrong or the station could not start.";

/// The code of a configuration or start error.
const CANNOT_START: u8 = 2;

/// Start a station and run it until SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// What to run: see the annotated station.yaml [env: STATION_CONFIG] [default: station.yaml]
    #[arg(long, value_name = "FILE", default_value_os_t = default_file())]
    #[arg(hide_default_value = true)]
    config: PathBuf,
    /// Folder for database, uploaded modules and admin.token, instead of station.data
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the admin API listens, instead of admin.listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = config::address)]
    admin: Option<SocketAddr>,
    /// Where modules are served, instead of gateway.listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = config::address)]
    gateway: Option<SocketAddr>,
}

/// `$STATION_CONFIG`, or `station.yaml` here.
pub(crate) fn default_file() -> PathBuf {
    std::env::var_os("STATION_CONFIG").filter(|v| !v.is_empty()).map_or_else(|| "station.yaml".into(), PathBuf::from)
}

impl Args {
    /// Runs until a signal.
    pub(crate) fn run(self) -> ExitCode {
        let overrides = Overrides { data: self.data, admin: self.admin, gateway: self.gateway };
        match config::load(&self.config, overrides) {
            Ok(mut config) => {
                config.settings.cache.get_or_insert_with(default_cache);
                serve(config, &self.config)
            }
            Err(mistakes) => {
                out::say(&mistakes.to_string());
                ExitCode::from(CANNOT_START)
            }
        }
    }
}

/// The folder of compiled code when none is configured: the one that systemd gives, or the user's. Where there is
/// neither, a folder beside nothing of value: it may be deleted at any time.
fn default_cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("CACHE_DIRECTORY")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("station")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/station")))
        .unwrap_or_else(|| std::env::temp_dir().join("station-cache"))
}

fn serve(config: Config, file: &Path) -> ExitCode {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let suspects = suspects(&config);
    let served = runtime.context("starting the runtime").and_then(|runtime| {
        let served = runtime.block_on(until_told(config.settings));
        // Whatever still blocks a thread after the drain must not hold the process.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(code) => code,
        Err(error) => {
            out::say(&cannot_start(&error, &suspects, &file.display().to_string()));
            ExitCode::from(CANNOT_START)
        }
    }
}

/// Starts, says so, waits for a signal, drains.
async fn until_told(settings: Settings) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen().context("listening for signals")?;
    let starting = Station::start(settings);
    let station = tokio::select! {
        started = starting => started?,
        () = stop.told() => return Ok(ExitCode::SUCCESS),
    };
    announce(&station);
    stop.told().await;
    tracing::info!("draining; a second signal does not wait");
    tokio::select! {
        () = station.drain() => Ok(ExitCode::SUCCESS),
        () = stop.told() => Ok(ExitCode::FAILURE),
    }
}

/// The one line on stdout. Nobody reading it is no reason to stop serving.
fn announce(station: &Station) {
    let line = json!({
        "event": "ready",
        "admin": format!("http://{}", station.admin_addr()),
        "gateway": format!("http://{}", station.gateway_addr()),
        // Absolute, because who reads this may be somewhere else.
        "token_file": std::path::absolute(station.token_file()).unwrap_or_else(|_| station.token_file().to_owned()),
    });
    if let Err(error) = out::json_line(&line) {
        tracing::warn!(%error, "nobody reads stdout");
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Log lines on stderr: for people on a terminal, JSON otherwise.
fn log() {
    let filter = ["STATION_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let filter = EnvFilter::try_new(filter.as_deref().unwrap_or("info")).unwrap_or_else(|error| {
        out::say(&format!("STATION_LOG is not understood ({error}); logging at `info`"));
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Set once, before anything logs; a second call cannot happen.
    drop(match std::io::stderr().is_terminal() {
        true => builder.try_init(),
        false => builder.json().flatten_event(true).try_init(),
    });
}

/// A key of the file whose value a start error may name.
struct Suspect {
    key: String,
    value: String,
    place: Place,
}

/// The addresses, the data folder and the modules, as far as the file says them.
fn suspects(config: &Config) -> Vec<Suspect> {
    let settings = &config.settings;
    let fixed = [
        ("admin.listen", settings.admin.to_string()),
        ("gateway.listen", settings.gateway.to_string()),
        ("station.data", settings.data.display().to_string()),
    ];
    let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), value));
    let modules = settings.modules.iter().map(|m| (format!("modules.{}", m.name), m.name.to_string()));
    let placed = |(key, value): (String, String)| {
        let place = *config.places.get(&key)?;
        Some(Suspect { key, value, place })
    };
    fixed.chain(modules).filter_map(placed).collect()
}

/// The error with its causes, behind the place in the file that it is probably about.
fn cannot_start(error: &anyhow::Error, suspects: &[Suspect], file: &str) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let text = causes.join(": ");
    match suspects.iter().find(|suspect| mentions(&text, &suspect.value)) {
        Some(Suspect { key, place, .. }) => format!("{file}:{}:{}: {key}: {text}", place.line, place.column),
        None => format!("{file}:1:1: the station cannot start: {text}"),
    }
}

/// True when a value stands in the text as a word of its own.
fn mentions(text: &str, value: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(value).any(|(start, found)| {
        let (before, after) = (text.get(..start), text.get(start + found.len()..));
        !joins(before.and_then(|t| t.chars().next_back())) && !joins(after.and_then(|t| t.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(yaml: &str, error: &str) -> String {
        let config = config::parse(yaml, "s.yaml", Path::new(""), Overrides::default()).unwrap();
        cannot_start(&anyhow::anyhow!("{error}"), &suspects(&config), "s.yaml")
    }

    #[test]
    fn a_start_error_names_file_and_line() {
        let yaml = "admin:\n  listen: 127.0.0.1:9\nmodules:\n  audit: {}\n";
        assert_eq!(told(yaml, "binding 127.0.0.1:9: in use"), "s.yaml:2:11: admin.listen: binding 127.0.0.1:9: in use");
        assert!(told(yaml, "module audit: not a component").starts_with("s.yaml:4:10: modules.audit: "));
        assert!(told(yaml, "module audit-2: not a component").starts_with("s.yaml:1:1: "));
        assert!(told(yaml, "no disk").starts_with("s.yaml:1:1: "));
    }
}
