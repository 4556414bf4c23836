//! The raw lane: from one memory to the other.

use super::{Crossing, Position, Way, settle, while_it_starts};
use crate::ctx::Ctx;
use crate::failure::Followed;
use crate::raw::{Arrive, Arrived, Exchange, Job, Outcome, Toll};
use crate::run::{Lease, Ran, Run};
use station_model::{Code, Failure};
use std::sync::Arc;
use wasmtime::{AsContextMut, Error, Result, StoreContextMut};

/// Serves an import by calling the module that provides it. `arrive` makes the arguments what the plan says they are.
pub(crate) fn call(caller: StoreContextMut<'_, Ctx>, position: Position, arrive: Arrive<'_>) -> Result<Outcome> {
    Ctx::with_run(caller, |caller, run| serve(caller, run, position, arrive)).ok_or_else(while_it_starts)?
}

fn serve(
    mut caller: StoreContextMut<'_, Ctx>,
    run: &Arc<Run>,
    position: Position,
    arrive: Arrive<'_>,
) -> Result<Outcome> {
    let crossing = Crossing::find(run, caller.data().node(), position).map_err(Error::new)?;
    let plan = crossing.lane.plan().ok_or_else(two_lanes)?;
    let arrived = arrive(plan);
    let exchange = match crossing.lane.handles {
        true => Some(Box::new(crossing.begin_exchange(&mut caller, &arrived)?)),
        false => None,
    };
    let mut out = Outcome::default();
    let mut job = Job::new(plan, &**run, caller, &arrived, exchange, &mut out)?;
    if let Err(failure) = crossing.go(&mut job) {
        crossing.express(&mut job, failure)?;
    }
    match out.not_taken.take() {
        Some(error) => Err(error),
        None => Ok(out),
    }
}

impl Crossing<'_> {
    fn begin_exchange<'x>(&'x self, caller: &mut StoreContextMut<'_, Ctx>, arrived: &Arrived) -> Result<Exchange<'x>> {
        let forms = self.forms().map_err(Error::new)?;
        let party = self.importer().map_err(Error::new)?;
        Exchange::begin(self.run, party, forms, caller, arrived).map_err(Error::new)
    }

    /// Hands a failure to the caller: as a value where it can be one, otherwise by ending the caller.
    fn express(&self, job: &mut Job<'_>, failure: Failure) -> Result<()> {
        match self.lane.failure_bytes(&failure, self.run.tree.id) {
            Some(bytes) if !self.ends_tree(&failure) => job.answer_with(&bytes),
            _ => Err(Error::new(Followed(failure))),
        }
    }
}

impl Toll for Run {
    fn bytes_max(&self) -> u64 {
        self.shared.settings.hostcall_bytes_max as u64
    }

    fn pay(&self, bytes: u64) -> Result<(), Failure> {
        self.tree.move_bytes(bytes)
    }
}

impl Way for Job<'_> {
    fn caller(&mut self) -> StoreContextMut<'_, Ctx> {
        self.store()
    }

    fn load(&self) -> (u64, u64) {
        self.weight()
    }

    fn cross(&mut self, crossing: &Crossing<'_>, lent: u64) -> Ran<bool> {
        let mut lease = match self.exchange() {
            Some(exchange) => crossing.lease_for(exchange.keys(), lent)?,
            None => crossing.run.lease(crossing.link.provider, lent)?,
        };
        let outcome = invoke(self, crossing, &mut lease);
        if outcome.is_err() && self.outcome().not_taken.is_some() {
            // The callee did what it was asked for, but was left before it could clean up.
            let used = lease.live.used(lent);
            crossing.run.bury(lease);
            return Ok((false, used));
        }
        let used = settle(crossing.run, lease, lent, outcome)?;
        Ok((self.outcome().refused, used))
    }
}

fn invoke(job: &mut Job<'_>, crossing: &Crossing<'_>, lease: &mut Lease) -> Result<()> {
    let function = lease.live.checked(crossing.found, job.plan()).map_err(Error::new)?;
    if let Some(exchange) = job.exchange() {
        exchange.meets(lease.node, lease.slot, &lease.live.module);
    }
    job.enter(function, &mut lease.live.store)?;
    if let Some(exchange) = job.exchange() {
        exchange.take_back(lease.live.store.as_context_mut());
    }
    Ok(())
}

/// An import that was linked for one lane and a graph that says the other.
fn two_lanes() -> Error {
    Error::new(Failure::new(Code::StationInternal, "an import and its graph disagree about the lane"))
}
