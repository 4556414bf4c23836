//! Finding the handles inside values, by wasmtime's own types.
//!
//! A handle means nothing but together with the resource table of its instance, whose number only wasmtime's types
//! know. So they are found and exchanged by those, in the order in which they stand in the values, and the copy
//! puts the new ones into the same places.

use super::check::{Source, after, low};
use super::{Number, abi};
use wasmtime::Result;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

/// A handle among values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Which of the handle types of the signature's part it is of.
    pub(super) leaf: usize,
    pub(super) ty: InterfaceType,
    pub(super) index: u32,
}

/// The handle types inside a type, in their order.
pub(super) fn leaves(types: &ComponentTypes, ty: InterfaceType) -> Vec<InterfaceType> {
    match ty {
        InterfaceType::Own(_) | InterfaceType::Borrow(_) => vec![ty],
        _ => parts(types, ty).into_iter().flatten().flat_map(|part| leaves(types, part)).collect(),
    }
}

/// The types directly inside a type; one that is not there stands for a case without a payload.
fn parts(types: &ComponentTypes, ty: InterfaceType) -> Vec<Option<InterfaceType>> {
    match ty {
        InterfaceType::List(i) => vec![Some(types[i].element)],
        InterfaceType::Record(i) => types[i].fields.iter().map(|field| Some(field.ty)).collect(),
        InterfaceType::Tuple(i) => types[i].types.iter().copied().map(Some).collect(),
        InterfaceType::Variant(i) => types[i].cases.values().copied().collect(),
        InterfaceType::Enum(i) => types[i].names.iter().map(|_| None).collect(),
        InterfaceType::Option(i) => vec![None, Some(types[i].ty)],
        InterfaceType::Result(i) => vec![types[i].ok, types[i].err],
        _ => Vec::new(),
    }
}

/// Where a variant has its parts in memory: bytes of the tag, and where payloads begin.
fn tagged(types: &ComponentTypes, ty: InterfaceType) -> Option<(u8, usize)> {
    let info = match ty {
        InterfaceType::Variant(i) => &types[i].info,
        InterfaceType::Enum(i) => &types[i].info,
        InterfaceType::Option(i) => &types[i].info,
        InterfaceType::Result(i) => &types[i].info,
        _ => return None,
    };
    let tag_bytes = u8::try_from(u32::from(info.size)).ok()?;
    Some((tag_bytes, info.payload_offset32 as usize))
}

/// Looks for handles.
pub(super) struct Search<'s> {
    pub(super) types: &'s ComponentTypes,
    pub(super) source: Source<'s>,
    pub(super) found: Vec<Found>,
}

impl Search<'_> {
    /// Looks through a flat value; `leaf` is the number of its first handle type.
    pub(super) fn flat(&mut self, ty: InterfaceType, words: &[u64], leaf: usize) -> Result<()> {
        if tagged(self.types, ty).is_some() {
            return match self.case(ty, low(words, 0)?, leaf)? {
                Some((payload, leaf)) => self.flat(payload, after(words, 1), leaf),
                None => Ok(()),
            };
        }
        match ty {
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => self.note(ty, low(words, 0)?, leaf),
            InterfaceType::List(i) => self.list(self.types[i].element, low(words, 0)?, low(words, 1)?, leaf),
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
                let (mut at, mut leaf) = (0, leaf);
                for part in parts(self.types, ty).into_iter().flatten() {
                    self.flat(part, after(words, at), leaf)?;
                    at += self.types.canonical_abi(&part).flat_count.map_or(0, usize::from);
                    leaf += leaves(self.types, part).len();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Looks through a value in memory.
    pub(super) fn in_memory(&mut self, ty: InterfaceType, at: usize, leaf: usize) -> Result<()> {
        if let Some((tag_bytes, payload_at)) = tagged(self.types, ty) {
            return match self.case(ty, self.source.number(at, tag_bytes)?, leaf)? {
                Some((payload, leaf)) => self.in_memory(payload, at + payload_at, leaf),
                None => Ok(()),
            };
        }
        match ty {
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => self.note(ty, self.source.number(at, 4)?, leaf),
            InterfaceType::List(i) => {
                let (pointer, len) = self.source.pair(at)?;
                self.list(self.types[i].element, pointer, len, leaf)
            }
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
                let (mut end, mut leaf) = (0, leaf);
                for part in parts(self.types, ty).into_iter().flatten() {
                    let start = self.types.canonical_abi(&part).next_field32_size(&mut end);
                    self.in_memory(part, at + start, leaf)?;
                    leaf += leaves(self.types, part).len();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, element: InterfaceType, pointer: u64, len: u64, leaf: usize) -> Result<()> {
        if leaves(self.types, element).is_empty() {
            return Ok(());
        }
        let size = self.types.canonical_abi(&element).size32 as usize;
        let (first, len) = (usize::number(pointer)?, usize::number(len)?);
        let bytes = len.checked_mul(size).ok_or_else(|| abi("a list is too long"))?;
        self.source.bytes(first, bytes)?;
        (0..len).try_for_each(|index| self.in_memory(element, first + index * size, leaf))
    }

    /// The payload of a case, and the number of its first handle type.
    fn case(&self, ty: InterfaceType, tag: u64, leaf: usize) -> Result<Option<(InterfaceType, usize)>> {
        let cases = parts(self.types, ty);
        let tag = usize::number(tag)?;
        let payload = cases.get(tag).ok_or_else(|| abi("a variant has a case that does not exist"))?;
        let before = cases.iter().take(tag).flatten();
        let leaf = leaf + before.map(|part| leaves(self.types, *part).len()).sum::<usize>();
        Ok(payload.map(|payload| (payload, leaf)))
    }

    fn note(&mut self, ty: InterfaceType, index: u64, leaf: usize) -> Result<()> {
        let index = u32::try_from(index).map_err(|_| abi("a handle is too large"))?;
        self.found.push(Found { leaf, ty, index });
        Ok(())
    }
}
