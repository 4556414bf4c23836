//! The two modules of a call, as values are written into them.

use super::abi;
use super::copy::{Place, Target};
use super::exchange::Exchange;
use super::handles::leaves;
use super::text::Encoding;
use crate::ctx::Ctx;
use wasmtime::Result;
use wasmtime::component::__internal::{InterfaceType, LowerContext};
use wasmtime::component::ResourceAny;

/// A handle of the result, which gets its number when the caller's types are at hand.
pub(crate) struct Late {
    leaf: usize,
    place: Place,
    handle: ResourceAny,
}

/// The callee, as arguments are written into it.
pub(super) struct Callee<'c, 'cx, 'x, T: 'static> {
    pub(super) cx: &'c mut LowerContext<'cx, T>,
    pub(super) encoding: Encoding,
    pub(super) exchange: Option<&'c mut Exchange<'x>>,
    pub(super) leaves: Vec<InterfaceType>,
}

impl<T> Target for Callee<'_, '_, '_, T> {
    fn memory(&mut self) -> &mut [u8] {
        self.cx.as_slice_mut()
    }

    fn realloc(&mut self, align: u32, size: usize) -> Result<usize> {
        self.cx.realloc(0, 0, align, size)
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn handle(&mut self, leaf: usize, _: Place) -> Result<u32> {
        let missing = || super::abi("a handle has no type");
        let exchange = self.exchange.as_mut().ok_or_else(missing)?;
        let handle = exchange.give_argument(&mut self.cx.store, leaf)?;
        abi::lower_handle(self.cx, handle, *self.leaves.get(leaf).ok_or_else(missing)?)
    }
}

/// The caller, as a result is written into it.
pub(super) struct Caller<'c, 'cx, 'x> {
    pub(super) cx: &'c mut LowerContext<'cx, Ctx>,
    pub(super) encoding: Encoding,
    pub(super) exchange: Option<&'c mut Exchange<'x>>,
    pub(super) late: &'c mut Vec<Late>,
}

impl Target for Caller<'_, '_, '_> {
    fn memory(&mut self) -> &mut [u8] {
        self.cx.as_slice_mut()
    }

    fn realloc(&mut self, align: u32, size: usize) -> Result<usize> {
        self.cx.realloc(0, 0, align, size)
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn handle(&mut self, leaf: usize, place: Place) -> Result<u32> {
        let exchange = self.exchange.as_mut().ok_or_else(|| super::abi("a handle has no type"))?;
        let handle = exchange.give_result(&mut self.cx.store, leaf)?;
        self.late.push(Late { leaf, place, handle });
        Ok(0)
    }
}

/// Where the number of a handle goes.
type Put<'p, T> = &'p mut dyn FnMut(&mut LowerContext<'_, T>, Place, u32) -> Result<()>;

/// Puts the handles of a result into the caller's table, and tells of the number of each.
pub(super) fn lower_late<T>(
    late: &[Late],
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    put: Put<'_, T>,
) -> Result<()> {
    if late.is_empty() {
        return Ok(());
    }
    let leaves = leaves(cx.types, ty);
    for Late { leaf, place, handle } in late {
        let ty = leaves.get(*leaf).ok_or_else(|| super::abi("a handle has no type"))?;
        let number = abi::lower_handle(cx, *handle, *ty)?;
        put(cx, *place, number)?;
    }
    Ok(())
}

/// Writes what was held back to its place in memory.
pub(super) fn put_held<T>(cx: &mut LowerContext<'_, T>, at: usize, bytes: &[u8]) -> Result<()> {
    let place = at.checked_add(bytes.len()).and_then(|end| cx.as_slice_mut().get_mut(at..end));
    place.ok_or_else(|| super::abi("a result has no room where it belongs"))?.copy_from_slice(bytes);
    Ok(())
}

/// Writes the number of a handle to where it stands in a result that begins at `start`.
pub(super) fn put_handle<T>(cx: &mut LowerContext<'_, T>, start: usize, place: Place, number: u32) -> Result<()> {
    let at = match place {
        Place::Memory(at) => at,
        Place::Held(at) => start + at,
        Place::Flat(_) => return Err(super::abi("a flat value has no place in memory")),
    };
    put_held(cx, at, &number.to_le_bytes())
}
