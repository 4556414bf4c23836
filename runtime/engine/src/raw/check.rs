//! Checking what a module hands over, in whole, before a byte of it moves.
//!
//! Nothing between the check and the copy runs code of the module that hands over, so what was checked is what is
//! copied. Bounds, alignment, characters, discriminants and text are refused as the canonical ABI says; `bool` and
//! flags are normalised by the copy. What moving it costs is known before it begins.

use super::plan::{Node, Shape, Variant};
use super::text::{self, Encoding};
use super::{Number, abi};
use station_model::{Code, Failure};
use wasmtime::{Error, Result};

/// Bytes that one unit of fuel moves. A unit is worth about a nanosecond, and memory is copied at some 30 bytes in one.
const BYTES_PER_FUEL: u64 = 32;
/// Bytes of text that one unit of fuel moves: it is read once more, to be checked.
const TEXT_PER_FUEL: u64 = 16;
/// Fuel for each element of a list that must be looked at, and for each list or text.
const FUEL_PER_PART: u64 = 8;

/// The memory that values are read from.
#[derive(Clone, Copy)]
pub(super) struct Source<'m> {
    pub(super) memory: &'m [u8],
    pub(super) encoding: Encoding,
}

/// What moving the values takes, as far as they were checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) bytes: u64,
    pub(super) fuel: u64,
    /// The most bytes.
    pub(super) bytes_max: u64,
}

impl<'m> Source<'m> {
    /// For values that lead to no memory.
    pub(super) const NOWHERE: Source<'static> = Source { memory: &[], encoding: Encoding::Utf8 };

    /// `len` bytes at `at`.
    pub(super) fn bytes(&self, at: usize, len: usize) -> Result<&'m [u8]> {
        let end = at.checked_add(len);
        end.and_then(|end| self.memory.get(at..end)).ok_or_else(|| abi("a pointer leads out of the module's memory"))
    }

    /// A little-endian number of up to eight bytes.
    pub(super) fn number(&self, at: usize, bytes: u8) -> Result<u64> {
        let mut word = [0; 8];
        let from = self.bytes(at, bytes.into())?;
        word.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(u64::from_le_bytes(word))
    }

    /// A pointer and a length.
    pub(super) fn pair(&self, at: usize) -> Result<(u64, u64)> {
        Ok((self.number(at, 4)?, self.number(at + 4, 4)?))
    }
}

impl Load {
    fn take(&mut self, bytes: u64, fuel: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.fuel = self.fuel.saturating_add(fuel);
        match self.bytes <= self.bytes_max {
            true => Ok(()),
            false => Err(too_much(self.bytes_max, self.bytes)),
        }
    }

    /// What a value takes of which this many bytes are always there. By value, since the fields of one that was just
    /// written in memory are slow to move on.
    #[inline]
    pub(super) fn begin(bytes: usize, bytes_max: u64) -> Result<Self> {
        let bytes = bytes as u64;
        match bytes <= bytes_max {
            true => Ok(Self { bytes, fuel: FUEL_PER_PART + bytes / BYTES_PER_FUEL, bytes_max }),
            false => Err(too_much(bytes_max, bytes)),
        }
    }

    /// Counts a part of this many bytes that is moved as such.
    pub(super) fn part(&mut self, bytes: u64) -> Result<()> {
        self.take(bytes, FUEL_PER_PART + bytes / BYTES_PER_FUEL)
    }
}

#[cold]
fn too_much(max: u64, asked: u64) -> Error {
    let failure = Failure::new(Code::CallResourceLimit, "one call moves too much data between two modules");
    Error::new(failure.with_limit("call_bytes_max", max, asked))
}

/// Checks a value in memory. `at` is aligned and has room for it.
pub(super) fn in_memory(node: &Node, source: Source<'_>, at: usize, load: &mut Load) -> Result<()> {
    match &node.shape {
        _ if node.plain => source.bytes(at, node.size).map(drop),
        Shape::Number { .. } | Shape::Bool | Shape::Flags(_) | Shape::Handle(_) => {
            source.bytes(at, node.size).map(drop)
        }
        Shape::Char => source.number(at, 4).and_then(character),
        Shape::String => source.pair(at).and_then(|(pointer, units)| string(source, pointer, units, load)),
        Shape::List(element) => source.pair(at).and_then(|(pointer, len)| list(element, source, pointer, len, load)),
        Shape::Record(fields) => {
            fields.iter().try_for_each(|field| in_memory(&field.node, source, at + field.at, load))
        }
        Shape::Variant(variant) => match case(variant, source.number(at, variant.tag_bytes)?)? {
            Some(payload) => in_memory(payload, source, at + variant.payload_at, load),
            None => Ok(()),
        },
    }
}

/// Checks a flat value, which begins with the first of `words`.
pub(super) fn flat(node: &Node, source: Source<'_>, words: &[u64], load: &mut Load) -> Result<()> {
    match &node.shape {
        Shape::Number { .. } | Shape::Bool | Shape::Flags(_) | Shape::Handle(_) => Ok(()),
        Shape::Char => character(low(words, 0)?),
        Shape::String => string(source, low(words, 0)?, low(words, 1)?, load),
        Shape::List(element) => list(element, source, low(words, 0)?, low(words, 1)?, load),
        Shape::Record(fields) => {
            fields.iter().try_for_each(|field| flat(&field.node, source, after(words, field.flat_at), load))
        }
        Shape::Variant(variant) => match case(variant, low(words, 0)?)? {
            Some(payload) => flat(payload, source, after(words, 1), load),
            None => Ok(()),
        },
    }
}

fn string(source: Source<'_>, pointer: u64, units: u64, load: &mut Load) -> Result<()> {
    let (len, align) = source.encoding.extent(units);
    let bytes = region(source, pointer, Some(len), align)?;
    load.take(len, FUEL_PER_PART + len / TEXT_PER_FUEL)?;
    text::check(source.encoding, units, bytes)
}

fn list(element: &Node, source: Source<'_>, pointer: u64, len: u64, load: &mut Load) -> Result<()> {
    let bytes = len.checked_mul(element.size as u64);
    region(source, pointer, bytes, element.align)?;
    let bytes = bytes.unwrap_or(u64::MAX);
    if element.plain {
        return load.part(bytes);
    }
    load.take(bytes, FUEL_PER_PART.saturating_mul(len.saturating_add(1)))?;
    let (first, len) = (usize::number(pointer)?, usize::number(len)?);
    (0..len).try_for_each(|index| in_memory(element, source, first + index * element.size, load))
}

/// The bytes that a pointer leads to.
fn region(source: Source<'_>, pointer: u64, len: Option<u64>, align: u32) -> Result<&[u8]> {
    if !pointer.is_multiple_of(align.into()) {
        return Err(abi("a pointer is not aligned"));
    }
    let len = len.ok_or_else(|| abi("a pointer leads out of the module's memory"))?;
    source.bytes(usize::number(pointer)?, usize::number(len)?)
}

fn character(word: u64) -> Result<()> {
    let found = u32::try_from(word).ok().and_then(char::from_u32);
    found.map(drop).ok_or_else(|| abi("a number is not a character"))
}

/// The payload of the case with this number, if it has one.
pub(super) fn case(variant: &Variant, tag: u64) -> Result<Option<&Node>> {
    let found = usize::try_from(tag).ok().and_then(|tag| variant.cases.get(tag));
    found.map(Option::as_ref).ok_or_else(|| abi("a variant has a case that does not exist"))
}

/// The low half of a flat value.
pub(super) fn low(words: &[u64], at: usize) -> Result<u64> {
    words.get(at).map(|word| word & u64::from(u32::MAX)).ok_or_else(|| abi("a flat value is missing"))
}

/// The flat values from `at` on.
pub(super) fn after(words: &[u64], at: usize) -> &[u64] {
    words.get(at..).unwrap_or_default()
}
