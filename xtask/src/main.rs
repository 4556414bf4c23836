//! Everything a contributor runs, as `cargo xtask ...`. No other tool is needed on a fresh machine.

mod bench;
mod check;
mod demo;
mod dist;
mod golden;
mod guests;
mod instructions;
mod parts;
mod repo;
mod setup;
mod suite;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Build, check and measure Station
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a station with the example modules and say what to try
    Demo(demo::Options),
    /// Set everything up and run all tests, as CI does
    Test,
    /// Run what a commit needs: fmt, clippy, unit tests with tidy, and the black-box tests that the change touches
    Check {
        /// All black-box tests, whatever was changed
        #[arg(long)]
        all: bool,
    },
    /// Build the guest modules that are stale, into target/guest-modules
    Guests {
        /// The guests to build; all of them when none is named
        names: Vec<String>,
    },
    /// Build the program as it is published, trained by what stations do, into target/dist
    Dist(dist::Options),
    /// Measure everything that performance is promised about, beside what it is held against
    Bench(bench::Options),
    /// Count the instructions of brokered calls under callgrind, and compare them with benches/instructions.json
    Instructions {
        /// Write what was counted as the new baseline
        #[arg(long)]
        accept: bool,
    },
    /// Check what no compiler checks: arrows between crates, names, sizes, documents (also a test)
    Tidy,
    /// Rewrite the golden files; read the difference afterwards
    Golden,
    /// Print what to try with a demo station, when its ready line comes on stdin
    #[command(hide = true)]
    DemoGreet {
        /// The station's program
        station: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one line: a backtrace of this program tells nobody why a build failed.
            repo::say(&format!("\nxtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(options) => demo::start(&options),
        Command::Test => suite::run_all(),
        Command::Check { all } => check::run_all(all),
        Command::Dist(options) => dist::build(&options),
        Command::Bench(options) => bench::measure(&options),
        Command::Instructions { accept } => instructions::count(accept),
        Command::Guests { names } => guests::run(&names),
        Command::Tidy => tidy::run(),
        Command::Golden => golden::rewrite(),
        Command::DemoGreet { station } => demo::greet(&station),
    }
}
