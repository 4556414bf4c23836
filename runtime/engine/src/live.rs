//! A live instance: a store with one component instance in it, and its place among the module's instances.

use crate::config;
use crate::ctx::Ctx;
use crate::engine::Shared;
use crate::failure::{self, Named};
use crate::limiter::{Limiter, MemoryMax};
use crate::module::Module;
use crate::raw::{Checked, Plan};
use crate::run::Run;
use station_kernel::Meter;
use station_kernel::graph::{Found, NodeIndex};
use station_kernel::ports::ModuleSettings;
use station_model::{Code, Failure};
use std::sync::Arc;
use wasmtime::component::{Func, Instance};
use wasmtime::{Error, PoolConcurrencyLimitError, Store, StoreContextMut, UpdateDeadline};

/// Live handles of an instance, resources of the host and of other modules together.
const HANDLES_MAX: usize = 10_000;

/// Functions that an instance remembers: more are looked up faster than they are found here.
const CALLED_MAX: usize = 8;

/// An instance and everything that belongs to it.
pub(crate) struct Live {
    pub(crate) store: Store<Ctx>,
    pub(crate) instance: Instance,
    pub(crate) module: Arc<Module>,
    /// Exported functions that were called before, with where they are.
    called: Vec<(Found, Func)>,
    /// Those of them that the raw lane has called.
    checked: Vec<(Found, Checked)>,
    /// Root calls it has served.
    pub(crate) served: u64,
    /// Fuel that its start took, which whoever gets it ready-made has still to pay.
    pub(crate) owed: u64,
    place: Option<Place>,
}

/// A place among the instances of a module; given back when dropped.
struct Place(Arc<Meter>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.drop_instance();
    }
}

/// What a new instance is made of.
pub(crate) struct Making<'a> {
    pub(crate) module: &'a Arc<Module>,
    pub(crate) settings: &'a Arc<ModuleSettings>,
    pub(crate) meter: &'a Arc<Meter>,
    /// Fuel for its start, and what is left of it for the call.
    pub(crate) fuel: u64,
    pub(crate) purpose: Purpose<'a>,
}

/// What an instance is made for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// To see that it starts.
    Trial,
    /// To be there when a call wants one.
    Spare,
    /// For this tree, as this node.
    Call(&'a Arc<Run>, NodeIndex),
}

impl Live {
    /// Makes an instance.
    ///
    /// # Errors
    /// `station.busy` when there is no place for it, and whatever its start function does wrong, with the fuel that
    /// it used.
    pub(crate) fn make(shared: &Arc<Shared>, making: &Making<'_>) -> Result<Box<Self>, (Named, u64)> {
        let place = take_place(making).map_err(|failure| (own(failure), 0))?;
        let (store, instance) = instantiate(shared, making)?;
        let mut live = Self {
            store,
            instance,
            module: Arc::clone(making.module),
            called: Vec::new(),
            checked: Vec::new(),
            served: 0,
            owed: 0,
            place: Some(place),
        };
        if let Purpose::Spare = making.purpose {
            live.owed = live.used(making.fuel);
        }
        Ok(Box::new(live))
    }

    /// The exported function at this position.
    ///
    /// # Errors
    /// `station.internal`: the graph and the code disagree.
    pub(crate) fn function(&mut self, found: Found) -> Result<Func, Failure> {
        if let Some((_, known)) = self.called.iter().find(|(at, _)| *at == found) {
            return Ok(*known);
        }
        let function = self.module.export(found).and_then(|index| self.instance.get_func(&mut self.store, index));
        let missing = || Failure::new(Code::StationInternal, "the function is not in the loaded component");
        let function = function.ok_or_else(missing)?;
        if self.called.len() < CALLED_MAX {
            self.called.push((found, function));
        }
        Ok(function)
    }

    /// Gives back what others may have while this one waits to be thrown away: everything but its memory.
    pub(crate) fn retire(&mut self) {
        self.store.data_mut().retire();
        self.place = None;
    }

    /// The exported function at this position, for the raw lane: it is held against `plan` when it is first called.
    ///
    /// # Errors
    /// `station.internal`: what is known of the component is not true.
    pub(crate) fn checked(&mut self, found: Found, plan: &Plan) -> Result<Checked, Failure> {
        if let Some((_, known)) = self.checked.iter().find(|(at, _)| *at == found) {
            return Ok(*known);
        }
        let function = self.function(found)?;
        let checked = Checked::of(function, &self.store, plan).map_err(|error| untrue(&error))?;
        if self.checked.len() < CALLED_MAX {
            self.checked.push((found, checked));
        }
        Ok(checked)
    }

    /// Fuel that a call has used of what it was lent, work of the host included.
    pub(crate) fn used(&self, lent: u64) -> u64 {
        let left = self.store.get_fuel().unwrap_or(0);
        lent.saturating_sub(left).saturating_add(self.store.data().host_fuel())
    }
}

/// Instantiates. Where the engine's pool is full, used ones are thrown away, and then kept instances that nobody uses give
/// way, the longest idle first: a component may need several memories and tables, so one of them need not be enough. What
/// it used of the fuel before there was no room is gone.
fn instantiate(shared: &Arc<Shared>, making: &Making<'_>) -> Result<(Store<Ctx>, Instance), (Named, u64)> {
    let mut used = 0;
    loop {
        let mut store = store(shared, making, making.fuel.saturating_sub(used));
        let error = match making.module.pre.instantiate(&mut store) {
            Ok(instance) => return Ok((store, instance)),
            Err(error) => error,
        };
        used = making.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let full = error.is::<PoolConcurrencyLimitError>();
        let named = failure::name(&error, &mut store, &shared.host.capabilities);
        // It has places, too.
        drop(store);
        let spare = matches!(making.purpose, Purpose::Spare);
        let room = full && !spare && (shared.pool.used.make_room() || shared.pool.drop_oldest());
        if !room {
            return Err((named, used));
        }
    }
}

#[cold]
fn untrue(error: &Error) -> Failure {
    Failure::new(Code::StationInternal, format!("a function is not what its plan says: {error:#}"))
}

fn own(failure: Failure) -> Named {
    Named { failure: Box::new(failure), own: true, at: Vec::new() }
}

fn take_place(making: &Making<'_>) -> Result<Place, Failure> {
    let max = u64::from(making.settings.limits.instances_max);
    match making.meter.take_instance(max) {
        true => Ok(Place(Arc::clone(making.meter))),
        false => Err(failure::busy().with_limit("instances_max", max, max + 1)),
    }
}

fn store(shared: &Arc<Shared>, making: &Making<'_>, fuel: u64) -> Store<Ctx> {
    let limits = &making.settings.limits;
    let max = MemoryMax {
        instance: limits.memory_bytes.min(config::MEMORY_BYTES_MAX),
        module: limits.memory_bytes.saturating_mul(limits.instances_max.into()),
        station: shared.settings.memory_bytes_max,
    };
    let limiter = Limiter::new(Arc::clone(making.meter), Arc::clone(&shared.meter), max);
    let mut ctx = Ctx::new(Arc::clone(making.settings), limiter);
    if let Purpose::Call(run, node) = making.purpose {
        ctx.bind(run, node);
    }
    for capability in &shared.host.capabilities {
        capability.prepare(&mut ctx, making.settings);
    }
    let mut store = Store::new(&shared.engine, ctx);
    store.limiter(|ctx| &mut ctx.limiter);
    store.set_hostcall_fuel(shared.settings.hostcall_bytes_max);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(at_tick);
    // Fuel is always on, so this cannot fail; a store without fuel would end at its first instruction anyway.
    let _always_on = store.set_fuel(fuel);
    store
}

/// Ends what must end: past its deadline, cancelled, or out of fuel by what the host did for it. Fuel alone ends a
/// loop of instructions but not one of host calls, which cost the guest next to nothing.
fn at_tick(mut store: StoreContextMut<'_, Ctx>) -> wasmtime::Result<UpdateDeadline> {
    station_kernel::threads::do_before_wait();
    store.data_mut().check_time().map_err(Error::new)?;
    if store.get_fuel()? <= store.data().host_fuel() {
        return Err(Error::new(failure::out_of_fuel(store.data())));
    }
    Ok(UpdateDeadline::Continue(1))
}
