//! `station:events`: events that a module publishes, in the unit of work of the call.
//!
//! It needs a grant. Who publishes is known from who runs. What one event may be is bounded here; how much of a module's
//! events is kept is a quota like that of `wasi:keyvalue`, and the operator makes room by `station events prune`.

mod host;
mod options;

pub use options::Settings;

use crate::host::{HasHost, host as host_of, offers, with_habits};
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::{Habit, ModuleSettings};
use wasmtime::component::Linker;

const PUBLISHER: &str = "station:events/publisher@0.1.0";
/// What is published always is written when the call has ended, so it keeps nobody from writing while the call waits.
const HABITS: &[(&str, Habit)] = &[("publish", Habit::Writes)];

/// The capability.
pub(crate) struct Events(pub(crate) Settings);

impl Capability for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn offers(&self) -> Vec<Offer> {
        with_habits(offers([PUBLISHER], false), HABITS)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        host::station::events::publisher::add_to_linker::<Ctx, HasHost>(linker, host_of)
    }

    fn prepare(&self, ctx: &mut Ctx, _settings: &ModuleSettings) {
        ctx.insert(self.0);
    }
}
