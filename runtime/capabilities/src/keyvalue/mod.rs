//! `wasi:keyvalue`: durable data of a module, behind two drafts of the interface.
//!
//! wasmCloud's components import `0.2.0-draft` (a page's cursor is a number), Spin's `0.2.0-draft2` (it is text).
//! Both are thin shims on one [`Shelf`](shelf::Shelf), so a module may change its tool chain and finds its data. It
//! needs a grant. A module reaches only its own data; any bucket name is accepted and begins empty.
//!
//! Everything runs in the unit of work of the call tree, together with SQL: it commits when the root call succeeds, and
//! a call that fails has written nothing.
//!
//! Sizes, the batch and the quota are bounded (`options`); what is too big is an error that the guest can see.
//! What cannot be done without authority (a start function in a trial instance) is `access-denied`.

mod draft;
mod draft2;
mod host;
mod options;
mod shelf;
#[cfg(test)]
mod tests;

pub use options::Settings;

use crate::host::{HasHost, host, offers, with_habits};
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::{Habit, ModuleSettings};
use wasmtime::component::Linker;

const INTERFACES: [&str; 6] = [
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:keyvalue/atomics@0.2.0-draft",
    "wasi:keyvalue/batch@0.2.0-draft",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
];

/// No two of the interfaces have functions of one name that differ in this.
const HABITS: &[(&str, Habit)] = &[
    ("[method]bucket.set", Habit::Writes),
    ("[method]bucket.delete", Habit::Writes),
    ("increment", Habit::Writes),
    ("swap", Habit::Writes),
    ("set-many", Habit::Writes),
    ("delete-many", Habit::Writes),
];

/// The capability.
pub(crate) struct KeyValues(pub(crate) Settings);

impl Capability for KeyValues {
    fn name(&self) -> &'static str {
        "keyvalue"
    }

    fn offers(&self) -> Vec<Offer> {
        with_habits(offers(INTERFACES, false), HABITS)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        draft::wasi::keyvalue::store::add_to_linker::<Ctx, HasHost>(linker, host)?;
        draft::wasi::keyvalue::atomics::add_to_linker::<Ctx, HasHost>(linker, host)?;
        draft::wasi::keyvalue::batch::add_to_linker::<Ctx, HasHost>(linker, host)?;
        draft2::wasi::keyvalue::store::add_to_linker::<Ctx, HasHost>(linker, host)?;
        draft2::wasi::keyvalue::atomics::add_to_linker::<Ctx, HasHost>(linker, host)?;
        draft2::wasi::keyvalue::batch::add_to_linker::<Ctx, HasHost>(linker, host)
    }

    fn prepare(&self, ctx: &mut Ctx, _settings: &ModuleSettings) {
        ctx.insert(self.0);
    }
}
