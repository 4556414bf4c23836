//! One call on its way through the raw lane.
//!
//! A job is made when the caller's arguments are there and lasts until its result is back. In between wasmtime enters
//! the callee, and has the job write the arguments ([`Job::lower`]) and take the result ([`Job::lift`]) meanwhile.

use super::abi::{self, Checked, Side};
use super::check::{self, Load, Source};
use super::copy::{Copy, Place, Target};
use super::exchange::Exchange;
use super::handles::leaves;
use super::plan::{FLAT_PARAMS_MAX, Node, Plan, Width};
use super::sides::{Callee, Caller, Late};
use super::text::Encoding;
use crate::ctx::Ctx;
use crate::failure;
use station_model::Failure;
use wasmtime::component::__internal::{InterfaceType, LiftContext, LowerContext};
use wasmtime::component::ResourceAny;
use wasmtime::{AsContextMut, Error, Result, Store, StoreContextMut, ValRaw};

/// What a module passed to an import.
pub(crate) struct Arrived {
    pub(super) words: [u64; FLAT_PARAMS_MAX],
    /// Where the arguments are in its memory, when they are not flat.
    pub(super) spilled: Option<usize>,
    pub(super) side: Side,
    /// Handles among the arguments, with the number of their type.
    pub(super) handles: Vec<(usize, ResourceAny)>,
}

/// What moving values is held against.
pub(crate) trait Toll {
    /// The most bytes that one call may move in one direction.
    fn bytes_max(&self) -> u64;

    /// Counts bytes that are about to be moved.
    ///
    /// # Errors
    /// `call.resource_limit`.
    fn pay(&self, bytes: u64) -> Result<(), Failure>;
}

/// One call on its way.
pub(crate) struct Job<'j> {
    plan: &'j Plan,
    toll: &'j dyn Toll,
    from: LowerContext<'j, Ctx>,
    encoding: Encoding,
    arrived: &'j Arrived,
    exchange: Option<Box<Exchange<'j>>>,
    load: Load,
    out: &'j mut Outcome,
}

/// What came back.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(super) word: u64,
    pub(super) held: Held,
    pub(super) late: Vec<Late>,
    /// True when the callee answered with an `err`.
    pub(crate) refused: bool,
    /// Why the caller could not take the answer, which was good.
    pub(crate) not_taken: Option<Error>,
}

/// Bytes of a result that are written when it is known where: most are a pointer and a length.
#[derive(Default)]
pub(super) struct Held {
    few: [u8; Held::FEW],
    /// More than few; none until then, so that what is moved about is small.
    many: Option<Box<[u8]>>,
    len: usize,
}

impl Held {
    const FEW: usize = 32;

    fn make(&mut self, len: usize) -> &mut [u8] {
        self.len = len;
        if len > Self::FEW {
            return self.many.insert(vec![0; len].into());
        }
        self.few = [0; Self::FEW];
        self.few.get_mut(..len).unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self.len > Self::FEW {
            true => self.many.as_deref().unwrap_or_default(),
            false => self.few.get(..self.len).unwrap_or_default(),
        }
    }
}

impl<'j> Job<'j> {
    /// A call with these arguments, which are checked here. What comes back goes to `out`.
    ///
    /// # Errors
    /// `call.abi`, `call.resource_limit`: the caller's fault.
    #[inline]
    pub(crate) fn new(
        plan: &'j Plan,
        toll: &'j dyn Toll,
        caller: StoreContextMut<'j, Ctx>,
        arrived: &'j Arrived,
        exchange: Option<Box<Exchange<'j>>>,
        out: &'j mut Outcome,
    ) -> Result<Self> {
        let from = LowerContext::new(caller, arrived.side.options, arrived.side.instance);
        // Asking wasmtime for what nobody needs is a part of what a small call costs.
        let encoding = if plan.text { abi::encoding(from.options().string_encoding) } else { Encoding::Utf8 };
        let load = Load::begin(plan.params.size, toll.bytes_max())?;
        let mut job = Self { plan, toll, from, encoding, arrived, exchange, load, out };
        if !plan.params_are_words {
            job.check()?;
        }
        Ok(job)
    }

    fn check(&mut self) -> Result<()> {
        let Self { plan, from, arrived, load, .. } = self;
        let encoding = self.encoding;
        load.fuel += plan.search_fuel;
        let source = match plan.params_point {
            true => Source { memory: from.as_slice_mut(), encoding },
            false => Source::NOWHERE,
        };
        match arrived.spilled {
            None => check::flat(&plan.params, source, &arrived.words, load),
            Some(at) => check::in_memory(&plan.params, source, at, load),
        }
    }

    /// How handles are exchanged, where there are any.
    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange<'j>> {
        self.exchange.as_deref_mut()
    }

    /// What moves how.
    pub(crate) fn plan(&self) -> &'j Plan {
        self.plan
    }

    /// The caller's store.
    pub(crate) fn store(&mut self) -> StoreContextMut<'_, Ctx> {
        self.from.store.as_context_mut()
    }

    /// Bytes that the arguments take, and the fuel that moving them costs.
    pub(crate) fn weight(&self) -> (u64, u64) {
        (self.load.bytes, self.load.fuel)
    }

    /// Calls the function with the arguments, and takes its result.
    ///
    /// # Errors
    /// Whatever ends the callee; and when the caller cannot take the result, see [`Outcome::not_taken`].
    pub(crate) fn enter(&mut self, function: Checked, store: &mut Store<Ctx>) -> Result<()> {
        abi::enter(function, store, self)
    }

    /// What came back so far.
    pub(crate) fn outcome(&self) -> &Outcome {
        self.out
    }

    /// Writes the arguments for the callee.
    pub(super) fn lower<T>(&mut self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, to: &mut [u64]) -> Result<()> {
        if self.plan.params_are_words {
            to.iter_mut().zip(&self.arrived.words).for_each(|(to, word)| *to = *word);
            return Ok(());
        }
        let leaves = if self.plan.handles { leaves(cx.types, ty) } else { Vec::new() };
        let source = match self.plan.params_point {
            true => Source { memory: self.from.as_slice_mut(), encoding: self.encoding },
            false => Source::NOWHERE,
        };
        let encoding = if self.plan.text { abi::encoding(cx.options().string_encoding) } else { Encoding::Utf8 };
        let mut target = Callee { cx, encoding, exchange: self.exchange.as_deref_mut(), leaves };
        let params = &self.plan.params;
        match self.arrived.spilled {
            None => Copy { source, target: &mut target, held: &mut [] }.flat(params, &self.arrived.words, 0, to),
            Some(at) => {
                let room = target.realloc(params.align, params.size)?;
                to.fill(room as u64);
                Copy { source, target: &mut target, held: &mut [] }.in_memory(params, at, Place::Memory(room))
            }
        }
    }

    /// Takes the callee's result while it is alive.
    pub(super) fn lift(&mut self, cx: &mut LiftContext<'_>, ty: InterfaceType, word: Option<&ValRaw>) -> Result<()> {
        let Some(result) = &self.plan.result else { return Ok(()) };
        let word = word.ok_or_else(|| super::abi("a result is missing"))?;
        let mut load = Load::begin(result.size, self.load.bytes_max)?;
        if let (true, At::Flat([word])) = (self.plan.result_is_word, self.answer(word)) {
            self.charge(load)?;
            self.out.word = word;
            return Ok(());
        }
        let source = match self.plan.result_points {
            true => {
                let encoding =
                    if self.plan.text { abi::encoding(cx.options().string_encoding) } else { Encoding::Utf8 };
                Source { memory: cx.memory(), encoding }
            }
            false => Source::NOWHERE,
        };
        let found = Found { source, node: result, at: self.answer(word) };
        found.check(&mut load)?;
        if let Some(exchange) = &mut self.exchange {
            exchange.take_result(cx, ty, &found.at)?;
        }
        self.charge(load)?;
        self.out.refused = self.plan.refuses && found.tag()? != 0;
        self.receive(&found).map_err(|error| self.not_taken(error))
    }

    /// Charges the caller for moving a result, before it is moved.
    fn charge(&mut self, load: Load) -> Result<()> {
        self.toll.pay(load.bytes).map_err(Error::new)?;
        let store = &mut self.from.store;
        let left = store.get_fuel()?.saturating_sub(store.data().host_fuel());
        if left < load.fuel {
            let failure = failure::out_of_fuel(store.data());
            return Err(self.not_taken(Error::new(failure)));
        }
        store.data_mut().charge(load.fuel);
        Ok(())
    }

    fn not_taken(&mut self, why: Error) -> Error {
        self.out.not_taken = Some(why);
        Error::msg("the caller could not take the answer")
    }

    fn answer(&self, word: &ValRaw) -> At {
        match self.plan.flat_result {
            Some(Width::Full) => At::Flat([word.get_u64()]),
            Some(Width::Half) => At::Flat([word.get_u32().into()]),
            None => At::Memory(word.get_u32() as usize),
        }
    }

    /// Copies a checked result to the caller.
    fn receive(&mut self, found: &Found<'_>) -> Result<()> {
        let Outcome { word, held, late, .. } = &mut *self.out;
        let mut target =
            Caller { cx: &mut self.from, encoding: self.encoding, exchange: self.exchange.as_deref_mut(), late };
        match found.at {
            At::Flat(words) => {
                let copy = &mut Copy { source: found.source, target: &mut target, held: &mut [] };
                copy.flat(found.node, &words, 0, std::slice::from_mut(word))
            }
            At::Memory(at) => {
                let held = held.make(found.node.size);
                Copy { source: found.source, target: &mut target, held }.in_memory(found.node, at, Place::Held(0))
            }
        }
    }

    /// Gives the caller a result that no module made: it is laid out in `memory`, at its beginning.
    ///
    /// # Errors
    /// What the caller does wrong when it makes room.
    pub(crate) fn answer_with(&mut self, memory: &[u8]) -> Result<()> {
        let Some(node) = &self.plan.result else { return Ok(()) };
        *self.out = Outcome { refused: true, ..Outcome::default() };
        let source = Source { memory, encoding: Encoding::Utf8 };
        self.receive(&Found { source, node, at: At::Memory(0) })
    }
}

/// Where a result is.
pub(crate) enum At {
    Flat([u64; 1]),
    Memory(usize),
}

/// A result that is to be taken.
struct Found<'f> {
    source: Source<'f>,
    node: &'f Node,
    at: At,
}

impl Found<'_> {
    fn check(&self, load: &mut Load) -> Result<()> {
        match &self.at {
            At::Flat(words) => check::flat(self.node, self.source, words, load),
            At::Memory(at) if !at.is_multiple_of(self.node.align as usize) => {
                Err(super::abi("a pointer is not aligned"))
            }
            At::Memory(at) => {
                self.source.bytes(*at, self.node.size)?;
                check::in_memory(self.node, self.source, *at, load)
            }
        }
    }

    /// The first byte: of a `result`, which case it is.
    fn tag(&self) -> Result<u64> {
        match &self.at {
            At::Flat([word]) => Ok(*word),
            At::Memory(at) => self.source.number(*at, 1),
        }
    }
}
