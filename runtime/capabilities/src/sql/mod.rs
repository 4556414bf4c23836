//! SQL on a module's own tables: `station:sql`, and `sqlite` as Spin spells it.
//!
//! Everything runs in the unit of work of the call tree, together with `wasi:keyvalue`: it commits when the root call
//! succeeds, and a call that fails has changed nothing. It needs a grant. Which tables a statement may reach, and what
//! of SQL there is, is the storage's business; here are the shapes that guests see, and what they may hold:
//!
//! | file | what |
//! | --- | --- |
//! | `statement` | one statement with its price and its counters, for every spelling |
//! | `rows` | a result in pages, and how many of them an instance may keep |
//! | `host` | `station:sql/database` |
//! | `spin` | `spin:sqlite`, and `fermyon:spin/sqlite` before it |
//!
//! `station:sql/migrations` is exported by modules and called by the station, so there is nothing of it here.

mod host;
mod options;
mod rows;
mod spin;
mod statement;
#[cfg(test)]
mod tests;

pub use options::Settings;
pub(crate) use spin::Spin;

use crate::host::{HasHost, host as host_of, offers, with_habits};
use rows::Session;
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::{Habit, ModuleSettings};
use wasmtime::component::Linker;

const DATABASE: &str = "station:sql/database@0.1.0";
const TYPES: &str = "station:sql/types@0.1.0";

/// `query` can write, too, with RETURNING; but every module that reads has it, and who writes hardly does so by it alone.
const HABITS: &[(&str, Habit)] = &[("execute", Habit::Writes)];

/// The capability.
pub(crate) struct Sql(pub(crate) Settings);

impl Capability for Sql {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn offers(&self) -> Vec<Offer> {
        let mut all = with_habits(offers([DATABASE], false), HABITS);
        all.extend(offers([TYPES], true));
        all
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        host::station::sql::types::add_to_linker::<Ctx, HasHost>(linker, host_of)?;
        host::station::sql::database::add_to_linker::<Ctx, HasHost>(linker, host_of)
    }

    fn prepare(&self, ctx: &mut Ctx, _settings: &ModuleSettings) {
        ctx.insert(Session::new(self.0));
    }
}
