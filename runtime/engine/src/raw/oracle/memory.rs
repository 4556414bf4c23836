//! Memories that a module hands over: values as the canonical ABI has them, now and then corrupted.
//!
//! Layouts come from the plan, whose numbers wasmtime checks when it compiles and links the components: a wrong offset
//! would have the lanes see different values.

use super::super::plan::{Node, Plan, Shape, Variant};
use super::super::text::Encoding;
use super::Choices;
use station_model::Function;

/// Where the image begins in the memory of a module.
pub(super) const BASE: usize = 0x1_0000;
/// Its largest size.
const IMAGE_MAX: usize = 0x4000;

/// What a module hands over: flat values, and the bytes that they point to.
#[derive(Debug, Clone, Default)]
pub(super) struct Handed {
    pub(super) words: Vec<u64>,
    pub(super) image: Vec<u8>,
}

/// The arguments of a call, as the caller passes them.
pub(super) fn arguments(function: &Function, encoding: Encoding, choices: &mut Choices<'_>) -> Handed {
    let Ok(plan) = Plan::of(function) else { return Handed::default() };
    let mut image = Image { choices, encoding, bytes: Vec::new() };
    let words = match plan.flat_params {
        Some(_) => image.flat(&plan.params),
        None => vec![image.pointed(&plan.params)],
    };
    Handed { words, image: image.bytes }
}

/// The result of a call, as the callee returns it: a flat value or a pointer.
pub(super) fn answer(function: &Function, encoding: Encoding, choices: &mut Choices<'_>) -> Handed {
    let plan = Plan::of(function).ok();
    let Some(result) = plan.as_ref().and_then(|plan| plan.result.as_ref()) else { return Handed::default() };
    let mut image = Image { choices, encoding, bytes: Vec::new() };
    let words = match result.flats <= 1 {
        true => image.flat(result),
        false => vec![image.pointed(result)],
    };
    Handed { words, image: image.bytes }
}

struct Image<'i, 'b> {
    choices: &'i mut Choices<'b>,
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Image<'_, '_> {
    /// Makes a value, and returns its flat form.
    fn flat(&mut self, node: &Node) -> Vec<u64> {
        let mut words = match &node.shape {
            Shape::Number { .. } => vec![self.choices.word()],
            Shape::Bool | Shape::Flags(_) => (0..node.flats).map(|_| self.choices.word()).collect(),
            Shape::Char => vec![self.character()],
            Shape::String => self.string(),
            Shape::List(element) => self.list(element),
            Shape::Record(fields) => fields.iter().flat_map(|field| self.flat(&field.node)).collect(),
            Shape::Variant(variant) => {
                let tag = self.tag(variant);
                let mut words = vec![tag];
                if let Some(Some(payload)) = variant.cases.get(usize::try_from(tag).unwrap_or(usize::MAX)) {
                    words.extend(self.flat(payload));
                }
                words
            }
            Shape::Handle(_) => vec![0],
        };
        // Places that a case leaves unused hold whatever was there.
        words.resize_with(node.flats, || self.choices.word());
        words
    }

    /// Makes a value in the image, and returns a pointer to it.
    fn pointed(&mut self, node: &Node) -> u64 {
        let at = self.room(node.size, node.align);
        self.in_memory(node, at);
        self.pointer(at)
    }

    fn in_memory(&mut self, node: &Node, at: usize) {
        match &node.shape {
            Shape::Number { bytes, .. } => {
                let word = self.choices.word();
                self.put(at, word, (*bytes).into());
            }
            Shape::Bool | Shape::Flags(_) => {
                for byte in at..at + node.size {
                    let choice = self.choices.byte();
                    self.put(byte, choice.into(), 1);
                }
            }
            Shape::Char => {
                let character = self.character();
                self.put(at, character, 4);
            }
            Shape::String => {
                let pair = self.string();
                self.put_pair(at, &pair);
            }
            Shape::List(element) => {
                let pair = self.list(element);
                self.put_pair(at, &pair);
            }
            Shape::Record(fields) => fields.iter().for_each(|field| self.in_memory(&field.node, at + field.at)),
            Shape::Variant(variant) => {
                let tag = self.tag(variant);
                self.put(at, tag, variant.tag_bytes.into());
                if let Some(Some(payload)) = variant.cases.get(usize::try_from(tag).unwrap_or(usize::MAX)) {
                    self.in_memory(payload, at + variant.payload_at);
                }
            }
            Shape::Handle(_) => (),
        }
    }

    fn tag(&mut self, variant: &Variant) -> u64 {
        let tag = match self.choices.rarely(64) {
            true => self.choices.word(),
            false => self.choices.below(variant.cases.len()) as u64,
        };
        // A number that does not fit would be another one where it is kept in fewer bytes.
        tag & u64::from(u32::MAX >> (32 - 8 * u32::from(variant.tag_bytes)))
    }

    fn character(&mut self) -> u64 {
        match self.choices.byte() {
            250..=255 => self.choices.word() & 0xffff_ffff,
            240..=249 => 0xd7f0 + u64::from(self.choices.byte()),
            other => other.into(),
        }
    }

    fn list(&mut self, element: &Node) -> Vec<u64> {
        let len = if self.choices.rarely(16) { self.choices.below(200) } else { self.choices.below(5) };
        let size = len * element.size;
        if self.bytes.len() + size > IMAGE_MAX {
            return vec![BASE as u64, 0];
        }
        let at = self.room(size, element.align);
        for index in 0..len {
            self.in_memory(element, at + index * element.size);
        }
        vec![self.pointer(at), self.length(len as u64)]
    }

    fn string(&mut self) -> Vec<u64> {
        const TEXTS: [&str; 8] = ["", "a", "dossier", "Öl", "中文字", "🦀 crab", "ÿþ\u{100}", "\0\u{7f}\u{80}"];
        let text = TEXTS.get(self.choices.below(TEXTS.len())).copied().unwrap_or_default();
        let written = super::super::text::encode(text, self.encoding);
        let at = self.room(written.bytes.len(), written.align);
        let spoiled = self.choices.rarely(32).then(|| (self.choices.below(written.bytes.len()), self.choices.byte()));
        for (index, byte) in written.bytes.iter().enumerate() {
            let byte = spoiled.filter(|(at, _)| *at == index).map_or(*byte, |(_, byte)| byte);
            self.put(at + index, byte.into(), 1);
        }
        vec![self.pointer(at), self.length(written.units)]
    }

    /// A place in the image. What lies between is padding, and full of what was there before.
    fn room(&mut self, size: usize, align: u32) -> usize {
        let at = self.bytes.len().next_multiple_of(align as usize);
        self.bytes.resize(at + size, 0xa5);
        at
    }

    fn pointer(&mut self, at: usize) -> u64 {
        let right = (BASE + at) as u64;
        match self.choices.byte() {
            252 => right + 1,
            253 => self.choices.word() & 0xffff_ffff,
            254 => BASE as u64,
            255 => 0xffff_fff8,
            _ => right,
        }
    }

    fn length(&mut self, right: u64) -> u64 {
        match self.choices.byte() {
            253 => right ^ (1 << 31),
            254 => self.choices.word() & 0xffff_ffff,
            255 => right + 1,
            _ => right,
        }
    }

    fn put_pair(&mut self, at: usize, pair: &[u64]) {
        for (index, word) in pair.iter().enumerate() {
            self.put(at + 4 * index, *word, 4);
        }
    }

    fn put(&mut self, at: usize, word: u64, bytes: usize) {
        for (index, byte) in word.to_le_bytes().iter().take(bytes).enumerate() {
            if let Some(place) = self.bytes.get_mut(at + index) {
                *place = *byte;
            }
        }
    }
}
