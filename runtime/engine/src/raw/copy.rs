//! Copying checked values into the memory of another module.
//!
//! Room is made by the receiving module's own `realloc`, whose answers the engine checks. Padding is never copied, so
//! nothing of one module's memory is seen by another but its values.

use super::check::{Source, after, case, low};
use super::plan::{Node, Shape, Variant};
use super::text::{self, Encoding};
use super::{Number, abi};
use wasmtime::Result;

/// Where values are copied to.
pub(super) trait Target {
    /// Its memory as it is now.
    fn memory(&mut self) -> &mut [u8];

    /// Room for `size` bytes.
    ///
    /// # Errors
    /// Whatever the module's own allocation does wrong.
    fn realloc(&mut self, align: u32, size: usize) -> Result<usize>;

    /// How it has its text.
    fn encoding(&self) -> Encoding;

    /// The next handle, of this type among the signature's, as the module is to know it.
    ///
    /// # Errors
    /// When it cannot be handed over.
    fn handle(&mut self, leaf: usize, place: Place) -> Result<u32>;
}

/// A place for a part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the target's memory.
    Memory(usize),
    /// Among the bytes that are written last, when it is known where they belong.
    Held(usize),
    /// The flat value with this number.
    Flat(usize),
}

impl Place {
    fn plus(self, bytes: usize) -> Self {
        match self {
            Self::Memory(at) => Self::Memory(at + bytes),
            Self::Held(at) => Self::Held(at + bytes),
            Self::Flat(at) => Self::Flat(at + bytes),
        }
    }
}

/// A copy on its way.
pub(super) struct Copy<'c, T> {
    pub(super) source: Source<'c>,
    pub(super) target: &'c mut T,
    /// The part that is written last.
    pub(super) held: &'c mut [u8],
}

impl<T: Target> Copy<'_, T> {
    /// Copies a value from memory at `at`.
    pub(super) fn in_memory(&mut self, node: &Node, at: usize, to: Place) -> Result<()> {
        if node.plain {
            let bytes = self.source.bytes(at, node.size)?;
            return self.write(to, bytes);
        }
        match &node.shape {
            Shape::Number { .. } | Shape::Char => self.write(to, self.source.bytes(at, node.size)?),
            Shape::Bool => self.write(to, &[u8::from(self.source.number(at, 1)? != 0)]),
            Shape::Flags(masks) => self.flags(node.size, masks, at, to),
            Shape::String => {
                let (pointer, units) = self.source.pair(at)?;
                let (pointer, units) = self.string(pointer, units)?;
                self.write_pair(to, pointer, units)
            }
            Shape::List(element) => {
                let (pointer, len) = self.source.pair(at)?;
                let pointer = self.list(element, pointer, len)?;
                self.write_pair(to, pointer, len)
            }
            Shape::Record(fields) => {
                fields.iter().try_for_each(|field| self.in_memory(&field.node, at + field.at, to.plus(field.at)))
            }
            Shape::Variant(variant) => self.variant(variant, at, to),
            Shape::Handle(leaf) => {
                let handle = self.target.handle(*leaf, to)?;
                self.write(to, &handle.to_le_bytes())
            }
        }
    }

    fn variant(&mut self, variant: &Variant, at: usize, to: Place) -> Result<()> {
        let tag = self.source.number(at, variant.tag_bytes)?;
        self.write(to, tag.to_le_bytes().get(..variant.tag_bytes.into()).unwrap_or_default())?;
        match case(variant, tag)? {
            Some(payload) => self.in_memory(payload, at + variant.payload_at, to.plus(variant.payload_at)),
            None => Ok(()),
        }
    }

    fn flags(&mut self, size: usize, masks: &[u32], at: usize, to: Place) -> Result<()> {
        let bytes = u8::try_from(size.min(4)).unwrap_or(4);
        for (index, mask) in masks.iter().enumerate() {
            let word = self.source.number(at + 4 * index, bytes)? & u64::from(*mask);
            self.write(to.plus(4 * index), word.to_le_bytes().get(..bytes.into()).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Copies a flat value. `to` begins as zeros: what a case leaves unused shows nothing of the sender.
    pub(super) fn flat(&mut self, node: &Node, words: &[u64], first: usize, to: &mut [u64]) -> Result<()> {
        match &node.shape {
            Shape::Number { bytes, signed } => put(to, first, number(word(words)?, *bytes, *signed)),
            Shape::Bool => put(to, first, u64::from(low(words, 0)? != 0)),
            Shape::Char => put(to, first, low(words, 0)?),
            Shape::Flags(masks) => masks
                .iter()
                .enumerate()
                .try_for_each(|(index, mask)| put(to, first + index, low(words, index)? & u64::from(*mask))),
            Shape::String => {
                let (pointer, units) = self.string(low(words, 0)?, low(words, 1)?)?;
                put_pair(to, first, pointer, units)
            }
            Shape::List(element) => {
                let len = low(words, 1)?;
                let pointer = self.list(element, low(words, 0)?, len)?;
                put_pair(to, first, pointer, len)
            }
            Shape::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.flat(&field.node, after(words, field.flat_at), first + field.flat_at, to)),
            Shape::Variant(variant) => {
                let tag = low(words, 0)?;
                put(to, first, tag)?;
                match case(variant, tag)? {
                    Some(payload) => self.flat(payload, after(words, 1), first + 1, to),
                    None => Ok(()),
                }
            }
            Shape::Handle(leaf) => {
                let handle = self.target.handle(*leaf, Place::Flat(first))?;
                put(to, first, handle.into())
            }
        }
    }

    /// Copies text. Returns its pointer and its length as the target has it.
    fn string(&mut self, pointer: u64, units: u64) -> Result<(usize, u64)> {
        let (from, to) = (self.source.encoding, self.target.encoding());
        let (len, align) = from.extent(units);
        let bytes = self.source.bytes(usize::number(pointer)?, usize::number(len)?)?;
        if text::same(from, to) {
            return Ok((self.block(bytes, align)?, units));
        }
        let written = text::rewrite(from, units, bytes, to)?;
        Ok((self.block(&written.bytes, written.align)?, written.units))
    }

    /// Copies the elements of a list. Returns the pointer to them.
    fn list(&mut self, element: &Node, pointer: u64, len: u64) -> Result<usize> {
        let (from, len) = (usize::number(pointer)?, usize::number(len)?);
        let size = len.checked_mul(element.size).ok_or_else(|| abi("a list is too long"))?;
        if element.plain {
            return self.block(self.source.bytes(from, size)?, element.align);
        }
        let to = self.target.realloc(element.align, size)?;
        for index in 0..len {
            let offset = index * element.size;
            self.in_memory(element, from + offset, Place::Memory(to + offset))?;
        }
        Ok(to)
    }

    /// Copies bytes to a place of their own.
    fn block(&mut self, bytes: &[u8], align: u32) -> Result<usize> {
        let at = self.target.realloc(align, bytes.len())?;
        self.write(Place::Memory(at), bytes)?;
        Ok(at)
    }

    fn write_pair(&mut self, to: Place, pointer: usize, len: u64) -> Result<()> {
        let pair = (len << 32) | pointer as u64;
        self.write(to, &pair.to_le_bytes())
    }

    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<()> {
        let (all, at) = match to {
            Place::Memory(at) => (self.target.memory(), at),
            Place::Held(at) => (&mut *self.held, at),
            Place::Flat(_) => return Err(abi("a flat value has no place in memory")),
        };
        let place = at.checked_add(bytes.len()).and_then(|end| all.get_mut(at..end));
        place.ok_or_else(|| abi("a value has no room where it belongs"))?.copy_from_slice(bytes);
        Ok(())
    }
}

fn word(words: &[u64]) -> Result<u64> {
    words.first().copied().ok_or_else(|| abi("a flat value is missing"))
}

/// A number as its flat value must be: nothing beyond its own bits, and the sign where it has one.
fn number(word: u64, bytes: u8, signed: bool) -> u64 {
    let [b0, b1, b2, b3, ..] = word.to_le_bytes();
    let signed_half = |number: i32| u64::from(number.cast_unsigned());
    match (bytes, signed) {
        (1, true) => signed_half(i8::from_le_bytes([b0]).into()),
        (1, false) => b0.into(),
        (2, true) => signed_half(i16::from_le_bytes([b0, b1]).into()),
        (2, false) => u16::from_le_bytes([b0, b1]).into(),
        (4, _) => u32::from_le_bytes([b0, b1, b2, b3]).into(),
        _ => word,
    }
}

fn put(to: &mut [u64], at: usize, word: u64) -> Result<()> {
    *to.get_mut(at).ok_or_else(|| abi("a flat value has no place"))? = word;
    Ok(())
}

fn put_pair(to: &mut [u64], at: usize, pointer: usize, len: u64) -> Result<()> {
    put(to, at, pointer as u64)?;
    put(to, at + 1, len)
}
