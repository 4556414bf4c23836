//! `station:kernel/context`: who called, and what is left to spend.
//!
//! Identity comes from the call tree, never from an argument, so a module cannot claim to be another one. The
//! interface `types` has only types and needs no code.

use crate::host::offers;
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::ModuleSettings;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower};

const CONTEXT: &str = "station:kernel/context@0.1.0";
const TYPES: &str = "station:kernel/types@0.1.0";
/// Fuel of either function.
const LOOK_FUEL: u64 = 300;

/// The capability.
pub(crate) struct Context;

#[derive(ComponentType, Lower)]
#[component(record)]
struct Caller {
    module: Option<String>,
    principal: String,
    #[component(name = "call-id")]
    call_id: String,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Budget {
    fuel: u64,
    #[component(name = "time-us")]
    time_us: u64,
    depth: u32,
}

impl Capability for Context {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn offers(&self) -> Vec<Offer> {
        offers([CONTEXT, TYPES], true)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        linker.instance(TYPES)?;
        let mut context = linker.instance(CONTEXT)?;
        context.func_wrap("get-caller", |mut store, (): ()| Ok((caller(store.data_mut()),)))?;
        context.func_wrap("get-budget", |store, (): ()| Ok((budget(store),)))
    }

    fn prepare(&self, _ctx: &mut Ctx, _settings: &ModuleSettings) {}
}

fn caller(ctx: &mut Ctx) -> Caller {
    ctx.charge(LOOK_FUEL);
    let (module, principal) = ctx.caller();
    let call_id = ctx.call_id().map(|id| id.to_string()).unwrap_or_default();
    Caller { module: module.map(|name| name.to_string()), principal, call_id }
}

/// Host work is charged when the guest comes back, so it is still to be taken from what the store counts.
fn budget(mut store: StoreContextMut<'_, Ctx>) -> Budget {
    store.data_mut().charge(LOOK_FUEL);
    let counted = store.get_fuel().unwrap_or(0);
    let ctx = store.data();
    let (time, depth) = ctx.left();
    let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Budget { fuel: counted.saturating_sub(ctx.host_fuel()), time_us, depth }
}
