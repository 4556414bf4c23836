//! One call in every lane.

use super::super::abi::Side;
use super::super::{Arrive, Checked, Job, Outcome, Plan, Toll, link};
use super::guests::{self, CLEANED, Door, Guest};
use super::memory::{BASE, Handed};
use crate::ctx::Ctx;
use crate::limiter::{Limiter, MemoryMax};
use station_kernel::ports::ModuleSettings;
use station_model::{Failure, Function, Limits};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::__internal::LowerContext;
use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{AsContextMut, Config, Engine, Error, OptLevel, Result, Store, StoreContextMut, Trap};

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
    Bad { arguments: Option<Vec<Val>>, by: End },
}

/// What ended a call.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// It was too much.
    Limit,
    /// A `realloc` called an import.
    Leaving,
    /// It was wrong.
    Other,
}

impl Seen {
    /// True when it ended because it was too much, not because it was wrong.
    pub(super) fn is_limit(&self) -> bool {
        matches!(self, Self::Bad { by: End::Limit, .. })
    }

    /// True when the other call came to the same, whatever ended it.
    pub(super) fn came_as_far_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bad { arguments: ours, .. }, Self::Bad { arguments: others, .. }) => ours == others,
            _ => self == other,
        }
    }
}

/// Everything that a call left behind, to the byte.
#[derive(Debug, Default)]
pub(super) struct Exact {
    /// Every word and byte of the heap that the callee got and then the caller.
    told: Vec<Vec<Val>>,
    /// The memories of the caller and of the callee when the call was over, whether it went well or not.
    pub(super) caller: Vec<u8>,
    pub(super) callee: Vec<u8>,
}

impl Exact {
    /// What is not the same.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let pairs = [("caller", &self.caller, &other.caller), ("callee", &self.callee, &other.callee)];
        let memory = pairs.into_iter().filter(|(_, ours, others)| ours != others).map(|(whose, ours, others)| {
            let at = ours.iter().zip(others).take_while(|(ours, others)| ours == others).count();
            format!("the {whose}'s memory is another one from {at:#x} on, of {} and {} bytes", ours.len(), others.len())
        });
        let told = (self.told != other.told).then(|| format!("was told {:?} and {:?}", self.told, other.told));
        memory.chain(told).next()
    }
}

/// The two components of a signature.
pub(super) struct Lanes {
    engine: Engine,
    plan: Arc<Plan>,
    doors: Doors,
    caller: Component,
    callee: Component,
    composed: Component,
    results: usize,
    composed_differs: bool,
}

/// Who serves what a `realloc` of the caller and of the callee calls, if it does.
#[derive(Clone, Copy)]
struct Doors {
    caller: Option<Door>,
    callee: Option<Door>,
}

/// One of the two lanes between components that are apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Raw,
    Dynamic,
}

type Record = Arc<Mutex<Told>>;

/// What the guests told of.
#[derive(Default)]
struct Told {
    arguments: Option<Vec<Val>>,
    exact: Exact,
    /// Where the memories of the guests are, in the order in which they said so: of the callee, then of the caller.
    sides: Vec<Side>,
}

/// The callee of one call.
struct Callee {
    store: Store<Ctx>,
    function: Func,
    checked: Checked,
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
        Ok(Self {
            plan,
            doors: Doors { caller: caller.allocator.door(), callee: callee.allocator.door() },
            caller: caller_component,
            callee: callee_component,
            composed: component(&composed)?,
            engine,
            results: usize::from(function.result.is_some()),
            composed_differs: [caller, callee].iter().any(|guest| guest.allocator.knows_order()),
        })
    }

    /// True when wasmtime's adapters may say something else: they ask for room in other ways.
    pub(super) fn composed_differs(&self) -> bool {
        self.composed_differs
    }

    /// True when the raw lane calls the callee as if it were this function.
    #[cfg(test)]
    pub(super) fn can_be_called_as(&self, function: &Function) -> bool {
        let (mut store, instance) = self.with_sink(&self.callee, Way::Raw, None, &Record::default()).unwrap();
        let callee = instance.get_func(&mut store, "f").unwrap();
        Checked::of(callee, &store, &Plan::of(function).unwrap()).is_ok()
    }

    /// The same call in the raw lane, in the dynamic one, and composed.
    pub(super) fn run(&self, call: &Call) -> [(Seen, Exact); 3] {
        [self.apart(call, Way::Raw), self.apart(call, Way::Dynamic), self.together(call)]
    }

    fn apart(&self, call: &Call, way: Way) -> (Seen, Exact) {
        let record = Record::default();
        let outcome = self.callee(call, way, &record).and_then(|callee| self.call_apart(call, way, callee, &record));
        seen(&record, outcome)
    }

    fn call_apart(&self, call: &Call, way: Way, callee: Callee, record: &Record) -> Result<Option<Val>> {
        let callee = Arc::new(Mutex::new(callee));
        let mut linker = self.linker(record, way, self.doors.caller)?;
        match way {
            Way::Raw => self.link_raw(&mut linker, Arc::clone(&callee))?,
            Way::Dynamic => link_dynamic(&mut linker, Arc::clone(&callee))?,
        }
        let mut store = store(&self.engine);
        let instance = linker.instantiate(&mut store, &self.caller)?;
        let outcome = self.go(&mut store, &instance, call);
        look(record, &mut store, &mut lock(&callee).store, outcome.is_ok());
        outcome
    }

    fn together(&self, call: &Call) -> (Seen, Exact) {
        let record = Record::default();
        let made = self.with_sink(&self.composed, Way::Dynamic, None, &record);
        let outcome = made.and_then(|(mut store, instance)| {
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

    fn callee(&self, call: &Call, way: Way, record: &Record) -> Result<Callee> {
        let (mut store, instance) = self.with_sink(&self.callee, way, self.doors.callee, record)?;
        prime(&mut store, &instance, call)?;
        let function = function(&mut store, &instance, "f")?;
        let checked = Checked::of(function, &store, &self.plan)?;
        Ok(Callee { store, function, checked })
    }

    fn with_sink(
        &self,
        component: &Component,
        way: Way,
        door: Option<Door>,
        record: &Record,
    ) -> Result<(Store<Ctx>, Instance)> {
        let mut linker = self.linker(record, way, door)?;
        let record = Arc::clone(record);
        linker.root().func_new("sink", move |_, _, args, _| {
            lock(&record).arguments = Some(args.to_vec());
            Ok(())
        })?;
        let mut store = store(&self.engine);
        let instance = linker.instantiate(&mut store, component)?;
        Ok((store, instance))
    }

    /// What every guest may import.
    fn linker(&self, record: &Record, way: Way, door: Option<Door>) -> Result<Linker<Ctx>> {
        let mut linker = Linker::new(&self.engine);
        let (teller, finder) = (Arc::clone(record), Arc::clone(record));
        linker.root().func_new("seen", move |_, _, args, _| {
            lock(&teller).exact.told.push(args.to_vec());
            Ok(())
        })?;
        let nothing = Plan::of(&Function { name: String::new(), params: Vec::new(), result: None });
        let nothing = Arc::new(nothing.map_err(Error::msg)?);
        let plan = Arc::clone(&nothing);
        link(&mut linker.root(), "here", &nothing, move |_, arrive| {
            lock(&finder).sides.push(arrive(&plan).side);
            Ok(Outcome::default())
        })?;
        match (way, door) {
            (Way::Raw, Some(Door::Module)) => link(&mut linker.root(), "out", &nothing, |_, _| out())?,
            _ => linker.root().func_new("out", |_, _, _, _| out())?,
        }
        Ok(linker)
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
    let ended = Job::new(plan, &Free, caller, &arrived, None, &mut out)?.enter(callee.checked, &mut callee.store);
    match out.not_taken.take() {
        Some(error) => Err(error),
        None => ended.map(|()| out),
    }
}

/// Where a `realloc` gets to that calls an import.
#[expect(clippy::panic, reason = "an oracle that finds something says so and stops")]
fn out<T>() -> Result<T> {
    panic!("a realloc has left its component")
}

/// Looks at both memories, as they are when the call is over.
///
/// Where the caller ended, two things may differ that nobody can see any more: the place for its result, which the raw
/// lane writes last, and whether a callee that had answered was asked to clean up.
fn look(record: &Record, caller: &mut Store<Ctx>, callee: &mut Store<Ctx>, good: bool) {
    let Told { exact, sides, .. } = &mut *lock(record);
    let [called, calling] = &**sides else { return };
    exact.callee = memory(callee, *called);
    exact.caller = memory(caller, *calling);
    if !good {
        blank(&mut exact.caller, 0..BASE);
        blank(&mut exact.callee, BASE..BASE + CLEANED);
    }
}

fn blank(memory: &mut [u8], part: Range<usize>) {
    memory.get_mut(part).unwrap_or_default().fill(0);
}

fn memory(store: &mut Store<Ctx>, side: Side) -> Vec<u8> {
    LowerContext::new(store.as_context_mut(), side.options, side.instance).as_slice_mut().to_vec()
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
    let Told { arguments, exact, .. } = std::mem::take(&mut *lock(record));
    let seen = match (outcome, arguments) {
        (Ok(result), Some(arguments)) => Seen::Good { arguments, result },
        (Ok(_), None) => Seen::Bad { arguments: None, by: End::Other },
        (Err(error), arguments) => Seen::Bad { arguments, by: end(&error) },
    };
    (seen, exact)
}

fn end(error: &Error) -> End {
    if let Some(Trap::CannotLeaveComponent) = error.downcast_ref() {
        return End::Leaving;
    }
    let text = format!("{error:?}");
    let limits = ["too much data", "all fuel consumed", "fuel allocated for hostcalls"];
    if limits.iter().any(|limit| text.contains(limit)) { End::Limit } else { End::Other }
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
