//! WASI 0.2: stdio into the module's log, clocks, random numbers, streams and polling.
//!
//! Files and sockets are linked, because every component of the usual tool chains imports them, but there is
//! nothing behind them: no preopened directory, no socket, no name look-up (`denied`). The environment and the
//! arguments are empty. All of it is harmless and granted to everybody; each function costs fuel for what it does.
//!
//! `wasi:io` is our own: wasmtime-wasi's sync version waits without a bound, ours through the call's `Waiter`.

mod cli;
mod clocks;
mod denied;
mod io;
mod random;
#[cfg(test)]
mod tests;

use crate::host::{HasHost, WASI, host, offers};
use crate::output::Output;
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::ModuleSettings;
use station_kernel::{Clock, Logs};
use station_model::{Code, Failure};
use std::sync::Arc;
use wasmtime::component::{Linker, ResourceTableError};
use wasmtime_wasi::p2::bindings::{self, sync};

/// What this capability links, without versions.
const INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:sockets/network",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The WASI 0.2 set.
pub(crate) struct Wasi {
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
}

impl Wasi {
    pub(crate) fn new(logs: Arc<Logs>, clock: Arc<dyn Clock>) -> Self {
        Self { logs, clock }
    }
}

impl Capability for Wasi {
    fn name(&self) -> &'static str {
        "wasi"
    }

    /// Sleeping is waiting, too, and has no habit here: the runtimes of JavaScript and Python import `subscribe-duration`
    /// into every module, whether it sleeps or not. Nobody would read a warning that each of those has.
    fn offers(&self) -> Vec<Offer> {
        offers(INTERFACES.map(|name| format!("{name}@{WASI}")), true)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        link_cli(linker)?;
        bindings::clocks::wall_clock::add_to_linker::<Ctx, HasHost>(linker, host)?;
        bindings::clocks::monotonic_clock::add_to_linker::<Ctx, HasHost>(linker, host)?;
        bindings::random::random::add_to_linker::<Ctx, HasHost>(linker, host)?;
        bindings::random::insecure::add_to_linker::<Ctx, HasHost>(linker, host)?;
        bindings::random::insecure_seed::add_to_linker::<Ctx, HasHost>(linker, host)?;
        bindings::io::error::add_to_linker::<Ctx, HasHost>(linker, host)?;
        sync::io::poll::add_to_linker::<Ctx, HasHost>(linker, host)?;
        sync::io::streams::add_to_linker::<Ctx, HasHost>(linker, host)?;
        denied::link(linker)
    }

    fn prepare(&self, ctx: &mut Ctx, _settings: &ModuleSettings) {
        let output = Output::new(Arc::clone(&self.logs), Arc::clone(&self.clock), ctx.module().clone());
        ctx.insert(output);
    }

    fn explain(&self, error: &wasmtime::Error) -> Option<Failure> {
        let full = matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full));
        full.then(|| Failure::new(Code::CallResourceLimit, "the module holds too many streams, pollables or requests"))
    }
}

fn link_cli(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    bindings::cli::environment::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::exit::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::stdin::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::stdout::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::stderr::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::terminal_input::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::terminal_output::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::terminal_stdin::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::terminal_stdout::add_to_linker::<Ctx, HasHost>(linker, host)?;
    bindings::cli::terminal_stderr::add_to_linker::<Ctx, HasHost>(linker, host)
}
