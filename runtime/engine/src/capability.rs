//! What the host offers to modules, as the engine sees it.
//!
//! A capability has a fixed life: [`link`](Capability::link) once per process, [`prepare`](Capability::prepare)
//! once per instance, cheap and without waiting. What it keeps for an instance lives in the instance's
//! [`Ctx`](crate::Ctx), by type. The engine knows no capability by name.

use crate::ctx::Ctx;
use station_kernel::ports::{Habit, ModuleSettings};
use station_model::{Failure, InterfaceName};
use wasmtime::component::Linker;

/// A kind of thing that the host offers.
pub trait Capability: Send + Sync + 'static {
    /// Its name in logs, such as `keyvalue`.
    fn name(&self) -> &'static str;

    /// The interfaces that it links, each at the version that it offers.
    fn offers(&self) -> Vec<Offer>;

    /// Defines its functions in a linker that every module shares.
    ///
    /// # Errors
    /// When a name is defined twice.
    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()>;

    /// Puts what an instance needs into its context. `settings` are those of the instance's module.
    fn prepare(&self, ctx: &mut Ctx, settings: &ModuleSettings);

    /// Names an error of its own that ended a call, if it is one of its own.
    fn explain(&self, error: &wasmtime::Error) -> Option<Failure> {
        let _not_mine = error;
        None
    }
}

/// An interface that the host provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name with the newest version that is met.
    pub name: InterfaceName,
    /// True when every module may use it without a grant: it is bounded and reaches nothing outside.
    pub harmless: bool,
    /// Functions that write to the database or wait for what is outside, by their names in the component. Every other
    /// does neither.
    pub habits: &'static [(&'static str, Habit)],
}

impl Offer {
    pub(crate) fn habit(&self, function: &str) -> Option<Habit> {
        self.habits.iter().find(|(name, _)| *name == function).map(|(_, habit)| *habit)
    }
}
