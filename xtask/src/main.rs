//! Everything a contributor runs, as `cargo xtask ...`. No other tool is needed on a fresh machine.

mod guests;

use clap::{Parser, Subcommand};

/// Build, check and measure Station
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the guest modules that are stale, into target/guest-modules
    Guests {
        /// The guests to build; all of them when none is named
        names: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Guests { names } => guests::run(&names),
    }
}
