//! The dynamic lane: values as wasmtime's `Val`.

use super::{Crossing, Position, Way, own, settle, while_it_starts};
use crate::ctx::Ctx;
use crate::entry::is_refusal;
use crate::failure::{self, Followed, Named};
use crate::handles::{self, Party, Side};
use crate::run::{Lease, Ran, Run};
use station_kernel::graph::Found;
use station_model::Failure;
use std::sync::Arc;
use wasmtime::component::Val;
use wasmtime::{AsContextMut, Error, StoreContextMut};

/// Bytes of values, as this lane counts them, that one unit of fuel moves. A list costs 40 bytes per element and some 50
/// ns, so this charges a fifth of the time, and a string by its bytes almost nothing.
const BYTES_PER_FUEL: u64 = 4;

/// Serves an import by calling the module that provides it.
pub(crate) fn call(
    caller: StoreContextMut<'_, Ctx>,
    position: Position,
    args: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    Ctx::with_run(caller, |caller, run| serve(caller, run, position, args, results)).ok_or_else(while_it_starts)?
}

fn serve(
    caller: StoreContextMut<'_, Ctx>,
    run: &Arc<Run>,
    position: Position,
    args: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let crossing = Crossing::find(run, caller.data().node(), position).map_err(Error::new)?;
    let mut values = Values { caller, args, results, bytes: crossing.lane.size(args) };
    let Err(failure) = crossing.go(&mut values) else { return can_pay(&values.caller) };
    let value = crossing.lane.failure_value(&failure, run.tree.id).filter(|_| !crossing.ends_tree(&failure));
    match (value, results.first_mut()) {
        (Some(value), Some(result)) => {
            *result = value;
            Ok(())
        }
        _ => Err(Error::new(Followed(failure))),
    }
}

/// Looks whether the caller has the fuel for what it was charged, its answer included, before the engine has it make room
/// for that. Who lacks it ends: the callee did what it was asked for.
fn can_pay(caller: &StoreContextMut<'_, Ctx>) -> wasmtime::Result<()> {
    match caller.get_fuel()? < caller.data().host_fuel() {
        true => Err(Error::new(failure::out_of_fuel(caller.data()))),
        false => Ok(()),
    }
}

/// The values of one call.
struct Values<'v> {
    caller: StoreContextMut<'v, Ctx>,
    args: &'v [Val],
    results: &'v mut [Val],
    bytes: u64,
}

impl Way for Values<'_> {
    fn caller(&mut self) -> StoreContextMut<'_, Ctx> {
        self.caller.as_context_mut()
    }

    fn load(&self) -> (u64, u64) {
        (self.bytes, self.bytes / BYTES_PER_FUEL)
    }

    fn cross(&mut self, crossing: &Crossing<'_>, lent: u64) -> Ran<bool> {
        let used = match crossing.lane.handles {
            false => self.plain(crossing, lent)?,
            true => self.with_handles(crossing, lent)?,
        };
        Ok((is_refusal(self.results), used))
    }
}

impl Values<'_> {
    fn plain(&mut self, crossing: &Crossing<'_>, lent: u64) -> Result<u64, (Named, u64)> {
        let mut lease = crossing.run.lease(crossing.link.provider, lent)?;
        let outcome = invoke(&mut lease, crossing.found, self.args, self.results);
        let outcome = outcome.and_then(|()| self.taken(crossing));
        settle(crossing.run, lease, lent, outcome)
    }

    fn with_handles(&mut self, crossing: &Crossing<'_>, lent: u64) -> Result<u64, (Named, u64)> {
        let mut args = self.args.to_vec();
        let keys = self.take_args(crossing, &mut args).map_err(|failure| (own(failure), 0))?;
        let mut lease = crossing.lease_for(&keys, lent)?;
        let outcome = self.exchange(crossing, &mut lease, &mut args, keys);
        let outcome = outcome.and_then(|()| self.taken(crossing));
        settle(crossing.run, lease, lent, outcome)
    }

    /// Counts the results, and charges the caller for them.
    fn taken(&mut self, crossing: &Crossing<'_>) -> wasmtime::Result<()> {
        let bytes = crossing.lane.size(self.results);
        self.caller.data_mut().charge(bytes / BYTES_PER_FUEL);
        crossing.run.tree.move_bytes(bytes).map_err(Error::new)
    }

    fn take_args(&mut self, crossing: &Crossing<'_>, args: &mut [Val]) -> Result<Vec<u32>, Failure> {
        let mut from = Side { party: crossing.importer()?, store: self.caller.as_context_mut() };
        handles::take(crossing.run, &mut from, args, crossing.forms()?.wanted.params.iter().map(|(_, ty)| ty))
    }

    fn exchange(
        &mut self,
        crossing: &Crossing<'_>,
        lease: &mut Lease,
        args: &mut [Val],
        keys: Vec<u32>,
    ) -> wasmtime::Result<()> {
        let run = crossing.run;
        let module = Arc::clone(&lease.live.module);
        let party = || Party { node: lease.node, slot: lease.slot, module: &module };
        let mut to = Side { party: party(), store: lease.live.store.as_context_mut() };
        let forms = crossing.forms().map_err(Error::new)?;
        let params = forms.offered.params.iter().map(|(_, ty)| ty);
        let lent = handles::give(run, &mut to, args, params, keys).map_err(Error::new)?;
        invoke(lease, crossing.found, args, self.results)?;
        handles::take_back(lent, lease.live.store.as_context_mut());
        let party = Party { node: lease.node, slot: lease.slot, module: &module };
        let mut from = Side { party, store: lease.live.store.as_context_mut() };
        let keys = handles::take(run, &mut from, self.results, forms.offered.result.iter()).map_err(Error::new)?;
        let party = crossing.importer().map_err(Error::new)?;
        let mut to = Side { party, store: self.caller.as_context_mut() };
        handles::give(run, &mut to, self.results, forms.wanted.result.iter(), keys).map_err(Error::new)?;
        Ok(())
    }
}

fn invoke(lease: &mut Lease, found: Found, args: &[Val], results: &mut [Val]) -> wasmtime::Result<()> {
    let function = lease.live.function(found).map_err(Error::new)?;
    function.call(&mut lease.live.store, args, results)
}
