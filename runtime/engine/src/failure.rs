//! Naming what went wrong inside a store.
//!
//! wasmtime hands over one error type for everything: traps, exhausted fuel, broken canonical ABI, errors that our
//! own host functions returned. This file turns it into a stable code, and tells an instance's own failure from
//! one that came up from a module it had called.

use crate::capability::Capability;
use crate::ctx::Ctx;
use station_model::{Code, Failure, Location};
use std::sync::Arc;
use wasmtime::{Error, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};

/// The failure of a nested call on its way up through callers that cannot express it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Followed(pub(crate) Failure);

/// A call that ended badly.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) failure: Box<Failure>,
    /// False when the failure came up from a nested call.
    pub(crate) own: bool,
    pub(crate) at: Vec<Location>,
}

/// Names the error that ended a call in `store`.
pub(crate) fn name(error: &Error, store: &mut Store<Ctx>, capabilities: &[Arc<dyn Capability>]) -> Named {
    let at = locations(error);
    if let Some(Followed(failure)) = error.downcast_ref() {
        return Named { failure: Box::new(failure.clone()), own: false, at };
    }
    let failure = error.downcast_ref::<Failure>().cloned();
    let failure = failure.or_else(|| capabilities.iter().find_map(|capability| capability.explain(error)));
    let failure = failure.unwrap_or_else(|| of_engine(error, store));
    Named { failure: Box::new(failure), own: true, at }
}

fn of_engine(error: &Error, store: &mut Store<Ctx>) -> Failure {
    if let Some((max, asked)) = store.data_mut().limiter.take_refused() {
        let message = "the module asked for more memory than it may have, and ended";
        return Failure::new(Code::CallMemoryLimit, message).with_limit("memory_bytes", max, asked);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return busy();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => out_of_fuel(store.data()),
        Some(trap) => of_trap(*trap),
        None => of_abi(error),
    }
}

fn of_trap(trap: Trap) -> Failure {
    match trap {
        Trap::StackOverflow => Failure::new(Code::CallStackOverflow, "the module called itself too deeply").with_limit(
            "wasm_stack_bytes",
            crate::config::WASM_STACK_BYTES as u64,
            crate::config::WASM_STACK_BYTES as u64,
        ),
        Trap::Interrupt => Failure::new(Code::CallDeadline, "the call did not end before its deadline"),
        Trap::CannotEnterComponent | Trap::CannotLeaveComponent => Failure::new(Code::CallAbi, trap.to_string()),
        other => Failure::new(Code::CallTrap, other.to_string()),
    }
}

/// What is neither a trap nor ours comes from lifting and lowering. Two of its limits have no type of their own.
fn of_abi(error: &Error) -> Failure {
    let cause = error.root_cause().to_string();
    let limit = cause.contains("fuel allocated for hostcalls")
        || cause.contains("store handle limit exceeded")
        || cause.contains("resource table has no free keys");
    let code = if limit { Code::CallResourceLimit } else { Code::CallAbi };
    Failure::new(code, bounded(&cause))
}

/// The text of an error, which may quote the guest, cut and cleaned.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The failure of a call that used up its fuel, in its own instructions or by what the host did for it.
pub(crate) fn out_of_fuel(ctx: &Ctx) -> Failure {
    let max = ctx.fuel_max();
    Failure::new(Code::CallOutOfFuel, "the call used up its fuel").with_limit("fuel", max, max)
}

pub(crate) fn busy() -> Failure {
    Failure::new(Code::StationBusy, "the station has no room for another instance; try again")
}

fn locations(error: &Error) -> Vec<Location> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let location = |frame: &wasmtime::FrameInfo| Location {
        function: frame.func_name().map(|name| name.chars().filter(|c| !c.is_control()).take(100).collect()),
        file: None,
        line: None,
        offset: frame.module_offset().map(|offset| offset as u64),
    };
    backtrace.frames().iter().map(location).collect()
}

/// The same failure as the code of a component that did not start.
pub(crate) fn of_start(failure: Failure) -> Failure {
    let code = match failure.code {
        Code::CallOutOfFuel => Code::StartOutOfFuel,
        Code::CallDeadline | Code::CallCancelled => Code::StartDeadline,
        Code::CallMemoryLimit | Code::CallResourceLimit => Code::StartLimit,
        Code::StationBusy | Code::StationInternal | Code::StartDeadline => failure.code,
        _ => Code::StartTrap,
    };
    Failure { code, message: format!("while the component was instantiated: {}", failure.message), ..failure }
}
