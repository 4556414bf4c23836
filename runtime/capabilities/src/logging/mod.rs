//! `wasi:logging`: messages with a level, into the module's log.
//!
//! They count against the same 1 MiB per call as stdout and stderr. Components of wasmCloud 1.x import the
//! interface without a version, so it is linked under both spellings.

use crate::host::offers;
use crate::output::Output;
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::ModuleSettings;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

const SPELLINGS: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];
/// Fuel of a message, apart from its bytes.
const LINE_FUEL: u64 = 500;

/// The capability.
pub(crate) struct Logging;

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make the values")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl Capability for Logging {
    fn name(&self) -> &'static str {
        "logging"
    }

    fn offers(&self) -> Vec<Offer> {
        offers(SPELLINGS, true)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        for name in SPELLINGS {
            let log = |mut store: StoreContextMut<'_, Ctx>, (level, context, message): (Level, String, String)| {
                log(store.data_mut(), level, &context, &message)
            };
            linker.instance(name)?.func_wrap("log", log)?;
        }
        Ok(())
    }

    fn prepare(&self, _ctx: &mut Ctx, _settings: &ModuleSettings) {}
}

fn log(ctx: &mut Ctx, level: Level, context: &str, message: &str) -> wasmtime::Result<()> {
    ctx.charge(LINE_FUEL + (context.len() + message.len()) as u64);
    let call = ctx.call_id();
    let output = ctx.state::<Output>()?;
    output.written_by(call);
    match context {
        "" => output.line(level.as_str(), message),
        context => output.line(level.as_str(), &format!("{context}: {message}")),
    }
    Ok(())
}
