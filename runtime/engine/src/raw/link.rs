//! Linking an import of a module to whoever serves it, in the raw lane.

use super::abi::{Out, Words};
use super::job::{Arrived, Outcome};
use super::plan::Plan;
use crate::ctx::Ctx;
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

/// Makes the arguments of a call what its plan says they are.
pub(crate) type Arrive<'a> = &'a dyn Fn(&Plan) -> Arrived;

/// Defines the function, in one of the forms that serve all signatures: by the number of flat parameters, whether there
/// is a flat result, and whether there are handles.
///
/// # Errors
/// When the name is taken.
pub(crate) fn link<F>(to: &mut LinkerInstance<'_, Ctx>, name: &str, plan: &Plan, serve: F) -> Result<()>
where
    F: Fn(StoreContextMut<'_, Ctx>, Arrive<'_>) -> Result<Outcome> + Send + Sync + 'static,
{
    macro_rules! by_shape {
        ($($n:literal)*) => {
            match (plan.flat_count().unwrap_or(0), plan.flat_result.is_some(), plan.handles) {
                $(($n, false, false) => define::<$n, 0, false, F>(to, name, serve),
                ($n, true, false) => define::<$n, 1, false, F>(to, name, serve),
                ($n, false, true) => define::<$n, 0, true, F>(to, name, serve),
                ($n, true, true) => define::<$n, 1, true, F>(to, name, serve),)*
                _ => Err(super::abi("a plan has too many flat values")),
            }
        };
    }
    by_shape!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

fn define<const N: usize, const R: usize, const H: bool, F>(
    to: &mut LinkerInstance<'_, Ctx>,
    name: &str,
    serve: F,
) -> Result<()>
where
    F: Fn(StoreContextMut<'_, Ctx>, Arrive<'_>) -> Result<Outcome> + Send + Sync + 'static,
{
    to.func_wrap(name, move |caller: StoreContextMut<'_, Ctx>, words: Words<N, H>| {
        serve(caller, &|plan| words.arrived(plan)).map(Out::<R>::from)
    })
}
