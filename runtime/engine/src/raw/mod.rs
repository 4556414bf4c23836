//! The raw lane: values go from one module's memory into another's, by a plan, without a form in between.
//!
//! wasmtime moves typed values by traits that a Rust type implements. Here a few types that stand for *any* values
//! implement them: [`abi::Words`] takes what a module passes to an import as it is, [`abi::Args`] writes it into the
//! callee while wasmtime enters it, [`abi::Answer`] takes the result while it is still alive and copies it back into
//! the caller, and [`abi::Out`] puts the rest of it where the caller wants it. [`plan`] says what to do for a
//! signature, [`check`] refuses what the canonical ABI refuses, [`copy`] moves it.
//!
//! These traits are public, but for the use of wasmtime's own macros: they may change with any release, which is one
//! reason for the exact pin. Everything that is `unsafe` about it is in [`abi`]; all access to guest memory is by
//! checked slices. The other lane, which goes through wasmtime's `Val`, is the oracle of this one: random types,
//! values and corrupted memories must come to the same in both.

mod abi;
mod check;
mod copy;
mod exchange;
mod failure;
mod handles;
mod job;
mod link;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod oracle;
mod plan;
mod sides;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use abi::Checked;
pub(crate) use exchange::{Exchange, Forms};
pub(crate) use failure::Told;
pub(crate) use job::{Arrived, Job, Outcome, Toll};
pub(crate) use link::{Arrive, link};
pub(crate) use plan::Plan;

use station_model::{Code, Failure};
use wasmtime::{Error, Result};

/// A module has broken the canonical ABI.
#[cold]
fn abi(what: &str) -> Error {
    Error::new(Failure::new(Code::CallAbi, what))
}

/// A number of a guest as an index.
trait Number: Sized {
    fn number(from: u64) -> Result<Self>;
}

impl Number for usize {
    fn number(from: u64) -> Result<Self> {
        Self::try_from(from).map_err(|_| abi("a pointer leads out of the module's memory"))
    }
}
