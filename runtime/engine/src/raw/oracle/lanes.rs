//! One call in every lane.

use super::super::{Arrive, Job, Outcome, Plan, Toll, link};
use super::guests::{self, Allocator, Guest};
use super::memory::Handed;
use crate::ctx::Ctx;
use crate::limiter::{Limiter, MemoryMax};
use station_kernel::ports::ModuleSettings;
use station_model::{Failure, Function, Limits};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, Error, OptLevel, Result, Store, StoreContextMut};

/// Fuel of one side: what runs longer was sent around in circles by a corrupted length.
const FUEL: u64 = 100_000_000;
/// What one call may move. Overlapping lists are larger than the memory that they are in.
const BYTES_MAX: u64 = 4 << 20;
const VALUES_BYTES_MAX: usize = 256 << 20;

/// What both sides hand over in one call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) arguments: Handed,
    pub(super) answer: Handed,
}

/// What a call came to.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// The callee saw these arguments, the caller got this result.
    Good { arguments: Vec<Val>, result: Option<Val> },
    /// The call ended before the callee saw anything, or after.
    Bad { arguments: Option<Vec<Val>>, limit: bool },
}

impl Seen {
    /// True when it ended because it was too much, not because it was wrong.
    pub(super) fn is_limit(&self) -> bool {
        matches!(self, Self::Bad { limit: true, .. })
    }
}

/// Every word and byte that the callee and then the caller got.
pub(super) type Exact = Vec<Vec<Val>>;

/// The two components of a signature.
pub(super) struct Lanes {
    engine: Engine,
    plan: Arc<Plan>,
    caller: Component,
    callee: Component,
    composed: Component,
    results: usize,
    good_allocators: bool,
}

type Record = Arc<Mutex<Told>>;

/// What the guests told of.
#[derive(Default)]
struct Told {
    arguments: Option<Vec<Val>>,
    /// The flat values and the heap of the callee when it began, then those of the caller when it was back.
    exact: Vec<Vec<Val>>,
}

/// The callee of one call.
struct Callee {
    store: Store<Ctx>,
    function: Func,
}

struct Free;

impl Toll for Free {
    fn bytes_max(&self) -> u64 {
        BYTES_MAX
    }

    fn pay(&self, _: u64) -> Result<(), Failure> {
        Ok(())
    }
}

impl Lanes {
    pub(super) fn of(function: &Function, caller: Guest, callee: Guest) -> Result<Self> {
        let engine = engine()?;
        let plan = Arc::new(Plan::of(function).map_err(Error::msg)?);
        let texts = (guests::caller(function, caller), guests::callee(function, callee));
        let composed = guests::composed(function, &texts.0, &texts.1);
        let component = |text: &str| {
            let binary = wat::parse_str(format!("(component {text})"))?;
            Component::new(&engine, binary)
        };
        let (caller_component, callee_component) = (component(&texts.0)?, component(&texts.1)?);
        let works = |guest: Guest| matches!(guest.allocator, Allocator::Works { .. });
        Ok(Self {
            plan,
            caller: caller_component,
            callee: callee_component,
            composed: component(&composed)?,
            engine,
            results: usize::from(function.result.is_some()),
            good_allocators: works(caller) && works(callee),
        })
    }

    /// True when wasmtime's adapters may say something else: they ask for room in other ways.
    pub(super) fn composed_differs(&self) -> bool {
        !self.good_allocators
    }

    /// The same call in the raw lane, in the dynamic one, and composed.
    pub(super) fn run(&self, call: &Call) -> [(Seen, Exact); 3] {
        [self.apart(call, true), self.apart(call, false), self.together(call)]
    }

    fn apart(&self, call: &Call, raw: bool) -> (Seen, Exact) {
        let record = Record::default();
        let outcome = self.callee(call, &record).and_then(|callee| {
            let callee = Arc::new(Mutex::new(callee));
            let mut linker = Linker::new(&self.engine);
            self.tell(&mut linker, &record)?;
            match raw {
                true => self.link_raw(&mut linker, callee)?,
                false => link_dynamic(&mut linker, callee)?,
            }
            let mut store = store(&self.engine);
            let instance = linker.instantiate(&mut store, &self.caller)?;
            self.go(&mut store, &instance, call)
        });
        seen(&record, outcome)
    }

    fn together(&self, call: &Call) -> (Seen, Exact) {
        let record = Record::default();
        let outcome = self.with_sink(&self.composed, &record).and_then(|(mut store, instance)| {
            prime(&mut store, &instance, call)?;
            self.go(&mut store, &instance, call)
        });
        seen(&record, outcome)
    }

    fn go(&self, store: &mut Store<Ctx>, instance: &Instance, call: &Call) -> Result<Option<Val>> {
        let go = function(store, instance, "go")?;
        let mut results = vec![Val::Bool(false); self.results];
        go.call(store, &handed(&call.arguments), &mut results)?;
        Ok(results.pop())
    }

    fn callee(&self, call: &Call, record: &Record) -> Result<Callee> {
        let (mut store, instance) = self.with_sink(&self.callee, record)?;
        prime(&mut store, &instance, call)?;
        let function = function(&mut store, &instance, "f")?;
        Ok(Callee { store, function })
    }

    fn with_sink(&self, component: &Component, record: &Record) -> Result<(Store<Ctx>, Instance)> {
        let mut linker = Linker::new(&self.engine);
        let (record, told) = (Arc::clone(record), Arc::clone(record));
        linker.root().func_new("sink", move |_, _, args, _| {
            lock(&record).arguments = Some(args.to_vec());
            Ok(())
        })?;
        self.tell(&mut linker, &told)?;
        let mut store = store(&self.engine);
        let instance = linker.instantiate(&mut store, component)?;
        Ok((store, instance))
    }

    fn tell(&self, linker: &mut Linker<Ctx>, record: &Record) -> Result<()> {
        let record = Arc::clone(record);
        linker.root().func_new("seen", move |_, _, args, _| {
            lock(&record).exact.push(args.to_vec());
            Ok(())
        })
    }

    fn link_raw(&self, linker: &mut Linker<Ctx>, callee: Arc<Mutex<Callee>>) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        link(&mut linker.root(), "f", &self.plan, move |caller, arrive| {
            serve(&plan, caller, arrive, &mut lock(&callee))
        })
    }
}

fn serve(plan: &Plan, caller: StoreContextMut<'_, Ctx>, arrive: Arrive<'_>, callee: &mut Callee) -> Result<Outcome> {
    let arrived = arrive(plan);
    let mut out = Outcome::default();
    Job::new(plan, &Free, caller, &arrived, None, &mut out)?.enter(callee.function, &mut callee.store)?;
    Ok(out)
}

fn link_dynamic(linker: &mut Linker<Ctx>, callee: Arc<Mutex<Callee>>) -> Result<()> {
    linker.root().func_new("f", move |_, _, args, results| {
        let callee = &mut *lock(&callee);
        callee.function.call(&mut callee.store, args, results)
    })
}

fn prime(store: &mut Store<Ctx>, instance: &Instance, call: &Call) -> Result<()> {
    function(store, instance, "prime")?.call(store, &handed(&call.answer), &mut [])
}

fn function(store: &mut Store<Ctx>, instance: &Instance, name: &str) -> Result<Func> {
    instance.get_func(store, name).ok_or_else(|| Error::msg(format!("there is no {name}")))
}

fn handed(handed: &Handed) -> [Val; 2] {
    let words = handed.words.iter().map(|word| Val::U64(*word)).collect();
    let image = handed.image.iter().map(|byte| Val::U8(*byte)).collect();
    [Val::List(words), Val::List(image)]
}

fn seen(record: &Record, outcome: Result<Option<Val>>) -> (Seen, Exact) {
    let Told { arguments, exact } = std::mem::take(&mut *lock(record));
    let seen = match (outcome, arguments) {
        (Ok(result), Some(arguments)) => Seen::Good { arguments, result },
        (Ok(_), None) => Seen::Bad { arguments: None, limit: false },
        (Err(error), arguments) => Seen::Bad { arguments, limit: is_limit(&error) },
    };
    (seen, exact)
}

fn is_limit(error: &Error) -> bool {
    let text = format!("{error:?}");
    ["too much data", "all fuel consumed", "fuel allocated for hostcalls"].iter().any(|limit| text.contains(limit))
}

fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::None)
        .parallel_compilation(false)
        // A memory that grows moves, so that whoever kept a pointer to it reads what is no longer there.
        .memory_reservation(0)
        .memory_guard_size(0)
        .memory_reservation_for_growth(0);
    Engine::new(&config)
}

fn store(engine: &Engine) -> Store<Ctx> {
    let limits = Limits { fuel: FUEL, deadline_ms: 1, memory_bytes: 64 << 20, instances_max: 1 };
    let Ok(module) = "oracle".parse() else { unreachable!("a good name") };
    let settings = ModuleSettings { module, limits, hosts: Vec::new(), config: Default::default() };
    let max = MemoryMax { instance: 64 << 20, module: 64 << 20, station: 64 << 20 };
    let mut store = Store::new(engine, Ctx::new(Arc::new(settings), Limiter::new(Arc::default(), Arc::default(), max)));
    store.set_hostcall_fuel(VALUES_BYTES_MAX);
    let _always_on = store.set_fuel(FUEL);
    store
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
