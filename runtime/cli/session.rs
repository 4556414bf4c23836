//! One conversation of a verb with a running station: where it is, with which token, and how to answer.
//!
//! Flags win over the environment; a token wins over a token file. Without either, the token of a station that
//! was started in this folder is used, but only for an address of this machine: it must not travel.

use crate::{config, out, problem};
use anyhow::Context;
use serde::Serialize;
use station_api::Client;
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Flags of every verb that asks a station.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Station")]
pub(crate) struct Connection {
    /// Address of the station's admin API [env: STATION_URL] [default: http://127.0.0.1:8081]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Access token [env: STATION_TOKEN]; a flag shows in the process list, the environment does not
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// File with the access token [env: STATION_TOKEN_FILE] [default: ./data/admin.token, for a local station]
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Print one JSON document on stdout, for a problem too
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing on stderr unless it fails
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl Connection {
    fn url(&self) -> String {
        let url = self.url.clone().or_else(|| variable("STATION_URL"));
        url.unwrap_or_else(|| format!("http://127.0.0.1:{}", config::ADMIN_PORT))
    }
}

/// A verb that asks a station.
pub(crate) trait Ask {
    /// Its flags.
    fn connection(&self) -> &Connection;
    /// Does it. An error is told by the caller.
    async fn run(self, session: &Session) -> anyhow::Result<()>;
}

/// A client and the wishes of who asked.
#[derive(Debug)]
pub(crate) struct Session {
    /// The typed client of the admin API.
    pub client: Client,
    /// One JSON document on stdout.
    pub json: bool,
    /// Nothing on stderr but errors.
    pub quiet: bool,
}

impl Session {
    fn open(connection: &Connection) -> anyhow::Result<Self> {
        let url = connection.url();
        let token = token(connection, &url)?;
        let client = Client::new(&url, token.as_deref())?;
        Ok(Self { client, json: connection.json, quiet: connection.quiet })
    }

    /// The answer: the document, or what people want to see of it.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub(crate) fn answer<T: Serialize>(&self, document: &T, human: impl FnOnce(&T) -> String) -> io::Result<()> {
        if self.json {
            return out::json(document);
        }
        let text = human(document);
        if text.is_empty() { Ok(()) } else { out::line(&text) }
    }

    /// Something for people that is not the answer.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            out::say(text);
        }
    }
}

/// Runs a verb that asks a station, on a runtime of its own.
pub(crate) fn ask(verb: impl Ask) -> ExitCode {
    let connection = verb.connection().clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("starting the runtime").and_then(|runtime| {
        runtime.block_on(async {
            let session = Session::open(&connection)?;
            verb.run(&session).await
        })
    });
    ended_at(done, connection.json, &connection.url())
}

/// The exit code of a verb that asks nobody, after telling what went wrong.
pub(crate) fn ended(done: anyhow::Result<()>, json: bool) -> ExitCode {
    ended_at(done, json, "")
}

/// The same with a station, which has a page for every code.
fn ended_at(done: anyhow::Result<()>, json: bool, station: &str) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if out::reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            problem::tell(&problem::of(&error), json, station);
            ExitCode::FAILURE
        }
    }
}

fn token(connection: &Connection, url: &str) -> anyhow::Result<Option<String>> {
    if let Some(token) = &connection.token {
        return Ok(Some(token.clone()));
    }
    if let Some(file) = &connection.token_file {
        return read_token(file).map(Some);
    }
    if let Some(token) = variable("STATION_TOKEN") {
        return Ok(Some(token));
    }
    if let Some(file) = variable("STATION_TOKEN_FILE") {
        return read_token(Path::new(&file)).map(Some);
    }
    let own = Path::new(config::DATA).join("admin.token");
    match is_local(url) && own.is_file() {
        true => read_token(&own).map(Some),
        false => Ok(None),
    }
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let read = std::fs::read_to_string(file);
    let text = read.map_err(|source| station_api::Error::File { path: file.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// True for an address of this machine.
fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for url in ["http://127.0.0.1:8081", "http://localhost", "http://[::1]:1/x", "http://127.9.9.9/"] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "http://10.0.0.1:8081",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1:80@evil.example/",
            "https://localhost.evil.example",
            "",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn a_token_wins_over_a_token_file_that_does_not_exist() {
        let connection = Connection { token: Some("t".into()), ..Connection::default() };
        assert_eq!(token(&connection, "http://x").unwrap().as_deref(), Some("t"));
        let connection = Connection { token_file: Some("/nonexistent".into()), ..Connection::default() };
        let error = token(&connection, "http://x").unwrap_err();
        assert_eq!(problem::of(&error).code, "client.file");
    }
}
