//! Types that stand for any values in wasmtime's typed calls. Everything `unsafe` about the raw lane is here.
//!
//! wasmtime asks of an implementor of `ComponentType` that `Lower` is a sequence of `ValRaw` of the right length, that
//! every flat value which the callee reads was written, and that sizes are right where wasmtime trusts them without a
//! look. The lengths are checked against wasmtime's own types: when a module is linked ([`Words`], [`Out`]), and when an
//! instance is first asked for a function ([`Checked`]). What a plan says decides about no length: it is made of what is
//! known of a component, which comes from the database and need not be true. It does say how many bits of a flat value
//! mean something; where a database lies about that, a module may get four bytes as a number that nobody wrote.

use super::check::Source;
use super::handles::{Found, Search};
use super::job::{Arrived, Held, Job, Outcome};
use super::plan::{FLAT_PARAMS_MAX, FLAT_RESULTS_MAX, Plan, Width};
use super::sides::{self, Late};
use super::text::Encoding;
use crate::ctx::Ctx;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use wasmtime::component::__internal::wasmtime_environ::component::{OptionsIndex, StringEncoding};
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Instance, Lift, Lower, ResourceAny, TypedFunc};
use wasmtime::{Error, Result, Store, ValRaw};

/// The side of a call that wasmtime has handed over: an instance, and how it lifts and lowers.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) options: OptionsIndex,
    pub(super) instance: Instance,
}

/// What a module passed to an import, as it is: `N` flat values, or a pointer to values in its memory.
///
/// `H` says that there may be handles among them. They are lifted at once, since only wasmtime's context of lifting
/// can do that.
pub(super) struct Words<const N: usize, const H: bool> {
    words: [ValRaw; N],
    spilled: Option<usize>,
    side: Side,
    handles: Vec<(usize, ResourceAny)>,
}

/// What an import gives back: up to one flat value, or bytes for the place that the module has for them.
pub(super) struct Out<const N: usize> {
    word: u64,
    held: Held,
    late: Vec<Late>,
}

impl<const N: usize> From<Outcome> for Out<N> {
    fn from(Outcome { word, held, late, .. }: Outcome) -> Self {
        Self { word, held, late }
    }
}

/// The arguments of the job, as the callee gets them in `N` flat values.
struct Args<const N: usize>(*mut Job<'static>);

/// The result of the callee. It is taken while it is lifted, so nothing is left of it here.
struct Answer<const N: usize>;

thread_local! {
    /// The job of the innermost call of this thread that is on its way. The context in which wasmtime has a result
    /// lifted leads nowhere else.
    static INNERMOST: Cell<*mut Job<'static>> = const { Cell::new(ptr::null_mut()) };
}

impl<const N: usize, const H: bool> Words<N, H> {
    /// Makes of it what the broker works with.
    pub(super) fn arrived(&self, plan: &Plan) -> Arrived {
        let mut words = [0; FLAT_PARAMS_MAX];
        let widths = plan.flat_params.as_deref().unwrap_or_default();
        for ((to, from), width) in words.iter_mut().zip(&self.words).zip(widths) {
            *to = match width {
                Width::Half => from.get_u32().into(),
                Width::Full => from.get_u64(),
            };
        }
        Arrived { words, spilled: self.spilled, side: self.side, handles: self.handles.clone() }
    }

    fn take(cx: &mut LiftContext<'_>, ty: InterfaceType, words: [ValRaw; N], spilled: Option<usize>) -> Result<Self> {
        let side = Side { options: cx.options_index(), instance: cx.instance_handle() };
        let handles = if H { lift_handles(cx, ty, &words, spilled)? } else { Vec::new() };
        Ok(Self { words, spilled, side, handles })
    }
}

fn lift_handles(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    words: &[ValRaw],
    at: Option<usize>,
) -> Result<Vec<(usize, ResourceAny)>> {
    // The search wants handles and pointers only, and those are the low half of whatever is there.
    let words: Vec<u64> = words.iter().map(|word| word.get_u32().into()).collect();
    let found = find(cx, ty, &words, at)?;
    found.iter().map(|found| Ok((found.leaf, lift_handle(cx, found)?))).collect()
}

/// The handles of a flat value, or of one in memory at `at`.
pub(super) fn find(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    words: &[u64],
    at: Option<usize>,
) -> Result<Vec<Found>> {
    let source = Source { memory: cx.memory(), encoding: encoding(cx.options().string_encoding) };
    Search::find(cx.types, ty, source, words, at)
}

pub(super) fn lift_handle(cx: &mut LiftContext<'_>, found: &Found) -> Result<ResourceAny> {
    ResourceAny::linear_lift_from_flat(cx, found.ty, &ValRaw::u32(found.index))
}

/// Puts a handle into the table of the module that gets it.
#[expect(unsafe_code, reason = "a value that was initialised")]
pub(super) fn lower_handle<T>(cx: &mut LowerContext<'_, T>, handle: ResourceAny, ty: InterfaceType) -> Result<u32> {
    let mut word = MaybeUninit::new(ValRaw::u32(0));
    handle.linear_lower_to_flat(cx, ty, &mut word)?;
    // SAFETY: `word` was initialised above, and every bit pattern of a `ValRaw` is one.
    Ok(unsafe { word.assume_init() }.get_u32())
}

pub(super) fn encoding(of: StringEncoding) -> Encoding {
    match of {
        StringEncoding::Utf8 => Encoding::Utf8,
        StringEncoding::Utf16 => Encoding::Utf16,
        StringEncoding::CompactUtf16 => Encoding::Compact,
    }
}

/// Checks that a tuple of wasmtime has as many flat values as we take it to have; `spilled` is for one that has more than
/// `max`.
fn has_flats(ty: &InterfaceType, types: &InstanceType<'_>, max: usize, spilled: usize, wanted: usize) -> Result<()> {
    let found = types.types.canonical_abi(ty).flat_count(max).unwrap_or(spilled);
    match found == wanted {
        true => Ok(()),
        false => Err(Error::msg(format!("a plan has {wanted} flat values where the component has {found}"))),
    }
}

// SAFETY: `Lower` is `N` values of `ValRaw`. `typecheck` refuses a function whose parameters have another number of flat
// values; those that are spilled to memory have none, and no size that wasmtime would have to know: it slices no bytes
// for a size of zero.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize, const H: bool> ComponentType for Words<N, H> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        has_flats(ty, types, FLAT_PARAMS_MAX, 0, N)
    }
}

// SAFETY: only asks for what `ComponentType` says.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize, const H: bool> ComponentNamedList for Words<N, H> {}

// SAFETY: takes flat values as they are. wasmtime has them initialised as far as the component's own types go, and nothing
// is concluded from them here.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize, const H: bool> Lift for Words<N, H> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[ValRaw; N]) -> Result<Self> {
        Self::take(cx, ty, *src, None)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        // `bytes` is an empty part of the memory, at the place of the values.
        let at = bytes.as_ptr().addr().checked_sub(cx.memory().as_ptr().addr());
        let at = at.ok_or_else(|| super::abi("a pointer leads out of the module's memory"))?;
        Self::take(cx, ty, [ValRaw::u32(0); N], Some(at))
    }
}

// SAFETY: `Lower` is `N` values of `ValRaw`, and `typecheck` refuses a function whose result has another number of flat
// values. wasmtime looks at the size of no result: it checks the place for it by its own type.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> ComponentType for Out<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        has_flats(ty, types, FLAT_RESULTS_MAX, 0, N)
    }
}

// SAFETY: only asks for what `ComponentType` says.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> ComponentNamedList for Out<N> {}

// SAFETY: writes all `N` flat values, of which there is at most one; memory is written through a checked slice.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> Lower for Out<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        let mut word = self.word;
        sides::lower_late(&self.late, cx, ty, &mut |_, _, handle| {
            word = handle.into();
            Ok(())
        })?;
        dst.write([ValRaw::u64(word); N]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        sides::put_held(cx, offset, self.held.bytes())?;
        sides::lower_late(&self.late, cx, ty, &mut |cx, place, handle| sides::put_handle(cx, offset, place, handle))
    }
}

// SAFETY: a job is worked on by one thread, the one that entered the callee with it; wasmtime asks for `Send` and `Sync`
// for the sake of its own fibers, which no store of ours has.
#[expect(unsafe_code, reason = "a pointer that stays on its thread")]
unsafe impl<const N: usize> Send for Args<N> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer that stays on its thread")]
unsafe impl<const N: usize> Sync for Args<N> {}

// SAFETY: `Lower` is `N` values of `ValRaw`, and `typecheck` refuses a function whose parameters have another number of flat
// values, spilled ones counting as the pointer to them. wasmtime looks at no size: it has us make room for spilled ones.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> ComponentType for Args<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        has_flats(ty, types, FLAT_PARAMS_MAX, 1, N)
    }
}

// SAFETY: only asks for what `ComponentType` says.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> ComponentNamedList for Args<N> {}

// SAFETY: writes all `N` flat values.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> Lower for Args<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        // SAFETY: the pointer is made in `typed` from a `&mut Job` that lives until wasmtime's call has returned, and is
        // used by nobody else meanwhile: not by `typed`, which waits for that call; not by `Answer`, which wasmtime
        // makes only after this; not by calls that the callee makes, which have jobs of their own.
        let job = unsafe { &mut *self.0 };
        let mut words = [0; N];
        job.lower(cx, ty, &mut words)?;
        dst.write(words.map(ValRaw::u64));
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, _: &mut LowerContext<'_, T>, _: InterfaceType, _: usize) -> Result<()> {
        Err(super::abi("arguments of a raw call are flat"))
    }
}

// SAFETY: `Lower` is `N` values of `ValRaw`, and `typecheck` refuses a function whose result has another number of flat
// values, one in memory counting as the pointer to it. wasmtime looks at no size.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> ComponentType for Answer<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        has_flats(ty, types, FLAT_RESULTS_MAX, 1, N)
    }
}

// SAFETY: only asks for what `ComponentType` says.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> ComponentNamedList for Answer<N> {}

// SAFETY: takes the flat value as it is; `Job::lift` concludes nothing from it that it has not checked.
#[expect(unsafe_code, reason = "stands for any values")]
unsafe impl<const N: usize> Lift for Answer<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[ValRaw; N]) -> Result<Self> {
        let job = INNERMOST.get();
        if job.is_null() {
            return Err(super::abi("a result without a call"));
        }
        // SAFETY: `typed` has put it there from a `&mut Job` that lives until wasmtime's call has returned, which it has
        // not, since it makes this value. Calls that the callee made have put back what they found. It is used by
        // nobody else meanwhile: `typed` waits, and `Args` was done before the callee began.
        let job = unsafe { &mut *job };
        job.lift(cx, ty, src.first())?;
        Ok(Self)
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> Result<Self> {
        Err(super::abi("the result of a raw call is flat"))
    }
}

/// Puts back the job of the call below, however the call ends.
struct Below(*mut Job<'static>);

impl Drop for Below {
    fn drop(&mut self) {
        INNERMOST.set(self.0);
    }
}

/// Does something in the form for a number of flat parameters, and with or without a result.
macro_rules! by_shape {
    ($shape:expr, $what:ident $with:tt) => {
        by_shape!($shape, $what $with, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    ($shape:expr, $what:ident $with:tt, $($n:literal)*) => {
        match $shape {
            $(($n, false) => $what::<$n, 0> $with,
            ($n, true) => $what::<$n, 1> $with,)*
            _ => Err(super::abi("a plan has too many flat values")),
        }
    };
}

/// A function of an instance that has this many flat values.
#[derive(Clone, Copy)]
pub(crate) struct Checked {
    func: Func,
    /// How many flat parameters it has, and whether there is a result; what is in memory counts as the pointer to it.
    shape: (usize, bool),
}

impl Checked {
    /// Holds a function against wasmtime's own type of it.
    ///
    /// # Errors
    /// When it is not what its plan says.
    pub(crate) fn of(func: Func, store: &Store<Ctx>, plan: &Plan) -> Result<Self> {
        let shape = plan.callee_shape();
        by_shape!(shape, has_shape(func, store))?;
        Ok(Self { func, shape })
    }
}

fn has_shape<const N: usize, const R: usize>(func: Func, store: &Store<Ctx>) -> Result<()> {
    func.typed::<Args<N>, Answer<R>>(store).map(drop)
}

/// Calls a function with the job's arguments, and has the job take the result.
pub(super) fn enter(Checked { func, shape }: Checked, store: &mut Store<Ctx>, job: &mut Job<'_>) -> Result<()> {
    by_shape!(shape, typed(func, store, job))
}

#[expect(unsafe_code, reason = "a function whose type was checked before")]
fn typed<const N: usize, const R: usize>(func: Func, store: &mut Store<Ctx>, job: &mut Job<'_>) -> Result<()> {
    let job: *mut Job<'static> = ptr::from_mut(job).cast();
    // SAFETY: the function has `N` flat parameters, spilled ones counting as one pointer, and `R` flat results, one in
    // memory counting as one pointer: `Checked::of` had wasmtime hold it against these very types. A function stays what
    // it is, and wasmtime panics where it is not of `store`.
    let typed = unsafe { TypedFunc::<Args<N>, Answer<R>>::new_unchecked(func) };
    let _below = Below(INNERMOST.replace(job));
    typed.call(store, Args(job)).map(|_taken| ())
}
