//! Finding the handles inside values, by wasmtime's own types.
//!
//! A handle means nothing but together with the resource table of its instance, whose number only wasmtime's types
//! know. So they are found and exchanged by those, in the order in which they stand in the values, and the copy
//! puts the new ones into the same places.
//!
//! Values may be anything: lists of lists that all lead to the same place can have any number of handles in a page of
//! memory. So there is a bound on handles and one on the places that are looked at, whatever is there.

use super::check::{Source, after, low};
use super::{Number, abi};
use crate::handles::HANDLES_MAX;
use station_model::{Code, Failure};
use wasmtime::component::__internal::wasmtime_environ::component::VariantInfo;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType};
use wasmtime::{Error, Result};

/// Places of one value that are looked at: some ten milliseconds in which nothing else ends the call. A hundred times as
/// many as there may be handles, since a place may have none.
const PLACES_MAX: u64 = 1 << 20;

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
    let mut leaves = Vec::new();
    Spot::of(types, ty, &mut leaves);
    leaves
}

/// Where a type has handles. Parts that have none are left out.
enum Spot {
    Handle { leaf: usize, ty: InterfaceType },
    List { element: Box<Spot>, size: usize },
    Record(Vec<Field>),
    Variant { tag_bytes: u8, payload_at: usize, cases: Vec<Option<Spot>> },
}

struct Field {
    at: usize,
    flat_at: usize,
    spot: Spot,
}

impl Spot {
    /// None where there are no handles. Appends the types of those that there are.
    fn of(types: &ComponentTypes, ty: InterfaceType, leaves: &mut Vec<InterfaceType>) -> Option<Self> {
        match ty {
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                leaves.push(ty);
                Some(Self::Handle { leaf: leaves.len() - 1, ty })
            }
            InterfaceType::List(i) => {
                let element = types[i].element;
                let size = types.canonical_abi(&element).size32 as usize;
                Self::of(types, element, leaves).map(|spot| Self::List { element: Box::new(spot), size })
            }
            InterfaceType::Record(i) => Self::record(types, types[i].fields.iter().map(|field| field.ty), leaves),
            InterfaceType::Tuple(i) => Self::record(types, types[i].types.iter().copied(), leaves),
            InterfaceType::Variant(i) => Self::variant(types, &types[i].info, types[i].cases.values().copied(), leaves),
            InterfaceType::Option(i) => {
                Self::variant(types, &types[i].info, [None, Some(types[i].ty)].into_iter(), leaves)
            }
            InterfaceType::Result(i) => {
                Self::variant(types, &types[i].info, [types[i].ok, types[i].err].into_iter(), leaves)
            }
            _ => None,
        }
    }

    fn record(
        types: &ComponentTypes,
        parts: impl Iterator<Item = InterfaceType>,
        leaves: &mut Vec<InterfaceType>,
    ) -> Option<Self> {
        let (mut end, mut flat_at) = (0, 0);
        let mut fields = Vec::new();
        for part in parts {
            let abi = types.canonical_abi(&part);
            let at = abi.next_field32_size(&mut end);
            fields.extend(Self::of(types, part, leaves).map(|spot| Field { at, flat_at, spot }));
            flat_at += abi.flat_count.map_or(0, usize::from);
        }
        (!fields.is_empty()).then_some(Self::Record(fields))
    }

    fn variant(
        types: &ComponentTypes,
        info: &VariantInfo,
        payloads: impl Iterator<Item = Option<InterfaceType>>,
        leaves: &mut Vec<InterfaceType>,
    ) -> Option<Self> {
        let cases: Vec<_> = payloads.map(|payload| Self::of(types, payload?, leaves)).collect();
        let tag_bytes = u8::try_from(u32::from(info.size)).ok()?;
        let payload_at = info.payload_offset32 as usize;
        cases.iter().any(Option::is_some).then_some(Self::Variant { tag_bytes, payload_at, cases })
    }
}

/// Looks for handles.
pub(super) struct Search<'s> {
    source: Source<'s>,
    found: Vec<Found>,
    places: u64,
}

impl<'s> Search<'s> {
    /// The handles of a flat value of this type, or of one in memory at `at`.
    ///
    /// # Errors
    /// `call.abi`, `call.resource_limit`.
    pub(super) fn find(
        types: &ComponentTypes,
        ty: InterfaceType,
        source: Source<'s>,
        words: &[u64],
        at: Option<usize>,
    ) -> Result<Vec<Found>> {
        let mut search = Self { source, found: Vec::new(), places: 0 };
        if let Some(spot) = Spot::of(types, ty, &mut Vec::new()) {
            match at {
                Some(at) => search.in_memory(&spot, at)?,
                None => search.flat(&spot, words)?,
            }
        }
        Ok(search.found)
    }

    fn flat(&mut self, spot: &Spot, words: &[u64]) -> Result<()> {
        self.look()?;
        match spot {
            Spot::Handle { leaf, ty } => self.note(*ty, low(words, 0)?, *leaf),
            Spot::List { element, size } => self.list(element, *size, low(words, 0)?, low(words, 1)?),
            Spot::Record(fields) => {
                fields.iter().try_for_each(|field| self.flat(&field.spot, after(words, field.flat_at)))
            }
            Spot::Variant { cases, .. } => match case(cases, low(words, 0)?)? {
                Some(payload) => self.flat(payload, after(words, 1)),
                None => Ok(()),
            },
        }
    }

    fn in_memory(&mut self, spot: &Spot, at: usize) -> Result<()> {
        self.look()?;
        match spot {
            Spot::Handle { leaf, ty } => self.note(*ty, self.source.number(at, 4)?, *leaf),
            Spot::List { element, size } => {
                let (pointer, len) = self.source.pair(at)?;
                self.list(element, *size, pointer, len)
            }
            Spot::Record(fields) => fields.iter().try_for_each(|field| self.in_memory(&field.spot, at + field.at)),
            Spot::Variant { tag_bytes, payload_at, cases } => match case(cases, self.source.number(at, *tag_bytes)?)? {
                Some(payload) => self.in_memory(payload, at + payload_at),
                None => Ok(()),
            },
        }
    }

    fn list(&mut self, element: &Spot, size: usize, pointer: u64, len: u64) -> Result<()> {
        let (first, len) = (usize::number(pointer)?, usize::number(len)?);
        let bytes = len.checked_mul(size).ok_or_else(|| abi("a list is too long"))?;
        self.source.bytes(first, bytes)?;
        (0..len).try_for_each(|index| self.in_memory(element, first + index * size))
    }

    /// Counts a place.
    fn look(&mut self) -> Result<()> {
        self.places += 1;
        match self.places <= PLACES_MAX {
            true => Ok(()),
            false => Err(too_many("one value has too many places for handles", "handle_places_max", PLACES_MAX)),
        }
    }

    fn note(&mut self, ty: InterfaceType, index: u64, leaf: usize) -> Result<()> {
        if self.found.len() >= HANDLES_MAX {
            return Err(too_many("one call hands over too many handles", "handles_max", HANDLES_MAX as u64));
        }
        let index = u32::try_from(index).map_err(|_| abi("a handle is too large"))?;
        self.found.push(Found { leaf, ty, index });
        Ok(())
    }
}

/// The payload of a case, if it has handles.
fn case(cases: &[Option<Spot>], tag: u64) -> Result<Option<&Spot>> {
    let case = cases.get(usize::number(tag)?).map(Option::as_ref);
    case.ok_or_else(|| abi("a variant has a case that does not exist"))
}

#[cold]
fn too_many(what: &'static str, limit: &'static str, max: u64) -> Error {
    Error::new(Failure::new(Code::CallResourceLimit, what).with_limit(limit, max, max + 1))
}
