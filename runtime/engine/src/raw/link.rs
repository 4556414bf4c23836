//! Linking an import of a module to the broker, in the raw lane.

use super::abi::{Out, Words};
use super::plan::Plan;
use crate::broker::{self, Position};
use crate::ctx::Ctx;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

/// Defines the function, in one of the forms that serve all signatures: by the number of flat parameters, whether there
/// is a flat result, and whether there are handles.
///
/// # Errors
/// When the name is taken.
pub(crate) fn link(to: &mut LinkerInstance<'_, Ctx>, name: &str, plan: &Plan, position: Position) -> Result<()> {
    macro_rules! by_shape {
        ($($n:literal)*) => {
            match (plan.flat_count().unwrap_or(0), plan.flat_result.is_some(), plan.handles) {
                $(($n, false, false) => define::<$n, 0, false>(to, name, position),
                ($n, true, false) => define::<$n, 1, false>(to, name, position),
                ($n, false, true) => define::<$n, 0, true>(to, name, position),
                ($n, true, true) => define::<$n, 1, true>(to, name, position),)*
                _ => Err(super::abi("a plan has too many flat values")),
            }
        };
    }
    by_shape!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

fn define<const N: usize, const R: usize, const H: bool>(
    to: &mut LinkerInstance<'_, Ctx>,
    name: &str,
    position: Position,
) -> Result<()> {
    to.func_wrap(name, move |caller: StoreContextMut<'_, Ctx>, words: Words<N, H>| {
        broker::raw::call(caller, position, &|plan| words.arrived(plan)).map(Out::<R>::from)
    })
}
