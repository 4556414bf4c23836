//! Calls between the host and one guest, by wasmtime's typed interface: what crossing the border once costs.

use crate::payload::{Payload, Timed, time};
use station_testkit::guest;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower, TypedFunc};
use wasmtime::{Config, Engine, OptLevel, Store, StoreContextMut};

const SINK: &str = "fixture:payload/sink@1.0.0";
const SOURCE: &str = "fixture:payload/source@1.0.0";
/// As the station sets it.
const WASM_STACK_BYTES: usize = 256 * 1024;

/// An engine with those settings of the station that reach a call.
pub(crate) fn engine() -> Engine {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES);
    Engine::new(&config).expect("an engine")
}

/// The two guests without a station.
pub(crate) struct Plain {
    engine: Engine,
    sink: Component,
    source: Component,
}

type Add = TypedFunc<(u32, u32), (u32,)>;

/// One of them, instantiated.
struct Guest<T: 'static = ()> {
    store: Store<T>,
    instance: Instance,
    interface: &'static str,
}

impl Plain {
    /// Compiles them.
    pub(crate) fn new() -> Self {
        let engine = engine();
        let load = |name| Component::from_file(&engine, guest(name)).expect("the guest compiles");
        Self { sink: load("payload-sink"), source: load("payload-source"), engine }
    }

    /// The host calls the function that the payload is for; none for what only modules do.
    pub(crate) fn host_to_guest(&self, payload: Payload) -> Option<Timed> {
        let mut sink = self.sink();
        let bytes = vec![b'x'; payload.bytes().unwrap_or(0) as usize];
        let text = "x".repeat(bytes.len());
        let timed: Timed = match payload {
            Payload::Deep | Payload::Record => return None,
            Payload::Add => Box::new(move |times| {
                let add: Add = sink.function("add");
                time(times, || add.call(&mut sink.store, (1, 2)).expect("it adds"))
            }),
            Payload::Text(_) => Box::new(move |times| {
                let echo = sink.function::<(&str,), (String,)>("echo-text");
                time(times, || echo.call(&mut sink.store, (&text,)).expect("it gives the text back"))
            }),
            Payload::OneWay(_) => Box::new(move |times| {
                let take = sink.function::<(&[u8],), (u64,)>("sink");
                time(times, || take.call(&mut sink.store, (&bytes,)).expect("it takes the bytes"))
            }),
            Payload::BothWays(_) => Box::new(move |times| {
                let echo = sink.function::<(&[u8],), (Vec<u8>,)>("echo-bytes");
                time(times, || echo.call(&mut sink.store, (&bytes,)).expect("it gives the bytes back"))
            }),
        };
        Some(timed)
    }

    /// The host calls `add`, and a guest calls an `add` of the host.
    pub(crate) fn both_crossings(&self) -> Timed {
        let mut inward = self.host_to_guest(Payload::Add).expect("a scalar call");
        let mut outward = self.guest_to_host();
        Box::new(move |times| inward(times) + outward(times))
    }

    /// A guest calls `add` of the host in a loop.
    fn guest_to_host(&self) -> Timed {
        let mut linker = Linker::new(&self.engine);
        let add = |_: StoreContextMut<'_, ()>, (a, b): (u32, u32)| Ok((a.wrapping_add(b),));
        linker.instance(SINK).and_then(|mut sink| sink.func_wrap("add", add)).expect("a host function");
        Guest::new(linker, &self.source, SOURCE, ()).looping()
    }

    /// A guest calls the host, which calls the `add` of a guest in a store of its own: the way of a brokered call,
    /// without a broker. Nothing is looked up, lent, charged or limited.
    pub(crate) fn one_inside_the_other(&self) -> Timed {
        let mut sink = self.sink();
        let add: Add = sink.function("add");
        let mut linker = Linker::new(&self.engine);
        let pass_on = |mut caller: StoreContextMut<'_, (Guest, Add)>, numbers: (u32, u32)| {
            let (sink, add) = caller.data_mut();
            add.call(&mut sink.store, numbers)
        };
        linker.instance(SINK).and_then(|mut sink| sink.func_wrap("add", pass_on)).expect("a host function");
        Guest::new(linker, &self.source, SOURCE, (sink, add)).looping()
    }

    fn sink(&self) -> Guest {
        Guest::new(Linker::new(&self.engine), &self.sink, SINK, ())
    }
}

impl<T: Send> Guest<T> {
    /// With imports that trap where `linker` has nothing: the guests name WASI but never call it.
    fn new(mut linker: Linker<T>, component: &Component, interface: &'static str, data: T) -> Self {
        linker.define_unknown_imports_as_traps(component).expect("the rest of the imports");
        let mut store = Store::new(component.engine(), data);
        store.set_epoch_deadline(u64::MAX / 2);
        store.set_fuel(u64::MAX).expect("fuel is on");
        let instance = linker.instantiate(&mut store, component).expect("an instance");
        Self { store, instance, interface }
    }

    /// It calls `add` of whoever provides it, in a loop.
    fn looping(mut self) -> Timed {
        Box::new(move |times| {
            let looped = self.function::<(u32,), (u64,)>("loop-add");
            let times = u32::try_from(times).expect("so many calls in one loop");
            time(1, || looped.call(&mut self.store, (times,)).expect("it loops"))
        })
    }

    /// A function of its interface, ready to be called with all the fuel there is.
    fn function<P, R>(&mut self, name: &str) -> TypedFunc<P, R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.store.set_fuel(u64::MAX).expect("fuel is on");
        let interface = self.instance.get_export_index(&mut self.store, None, self.interface).expect("the interface");
        let index = self.instance.get_export_index(&mut self.store, Some(&interface), name).expect("the function");
        self.instance.get_typed_func(&mut self.store, index).expect("the function's type")
    }
}
