//! `station:events`: events that a module publishes, in the unit of work of the call.
//!
//! It needs a grant. Who publishes is known from who runs. What one event may be is bounded here; how much of a module's
//! events is kept is a quota like that of `wasi:keyvalue`, and the operator makes room by `station events prune`.

mod host;
mod options;

pub use options::Settings;

use crate::host::{HasHost, host as host_of, offers};
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::ModuleSettings;
use wasmtime::component::Linker;

const PUBLISHER: &str = "station:events/publisher@0.1.0";

/// The capability.
pub(crate) struct Events(pub(crate) Settings);

impl Capability for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn offers(&self) -> Vec<Offer> {
        offers([PUBLISHER], false)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        host::station::events::publisher::add_to_linker::<Ctx, HasHost>(linker, host_of)
    }

    fn prepare(&self, ctx: &mut Ctx, _settings: &ModuleSettings) {
        ctx.insert(self.0);
    }
}
