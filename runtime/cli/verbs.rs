//! The verbs, one file each. A verb owns its flags, its help with examples, and what it does.

mod backup;
mod build;
mod call;
mod check;
mod completions;
mod config;
mod db;
mod deploy;
mod doctor;
mod events;
mod grant;
mod graph;
mod link;
mod logs;
mod ls;
mod new;
mod restore;
mod revoke;
mod rm;
mod serve;
mod show;
mod token;
mod trace;
mod versions;

use crate::session::ask;
use clap::Subcommand;
use std::process::ExitCode;

/// What `station` can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Serve(serve::Args),
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Deploy(deploy::Args),
    Ls(ls::Args),
    Show(show::Args),
    Versions(versions::Args),
    Rm(rm::Args),
    Call(call::Args),
    Grant(grant::Args),
    Revoke(revoke::Args),
    Link(link::Args),
    Logs(logs::Args),
    Trace(trace::Args),
    Events(events::Args),
    Token(token::Args),
    Graph(graph::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Db(db::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    Completions(completions::Args),
}

impl Verb {
    /// Does it, tells what went wrong, and gives the exit code.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Serve(args) => args.run(),
            Self::New(args) => args.run(),
            Self::Build(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Deploy(args) => ask(args),
            Self::Ls(args) => ask(args),
            Self::Show(args) => ask(args),
            Self::Versions(args) => ask(args),
            Self::Rm(args) => ask(args),
            Self::Call(args) => ask(args),
            Self::Grant(args) => ask(args),
            Self::Revoke(args) => ask(args),
            Self::Link(args) => ask(args),
            Self::Logs(args) => ask(args),
            Self::Trace(args) => ask(args),
            Self::Events(args) => ask(args),
            Self::Token(args) => ask(args),
            Self::Graph(args) => ask(args),
            Self::Backup(args) => args.run(),
            Self::Restore(args) => args.run(),
            Self::Db(args) => args.run(),
            Self::Doctor(args) => args.run(),
            Self::Config(args) => args.run(),
            Self::Completions(args) => args.run(),
        }
    }
}
