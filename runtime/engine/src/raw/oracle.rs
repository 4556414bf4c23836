//! The other lane, and composition, as the oracle of this one.
//!
//! From a string of bytes, a signature is made, two components for it, and memories for them to hand over: mostly good
//! ones, some corrupted, with allocators that mostly work. The same call then goes through the raw lane, through `Val`,
//! and through wasmtime's own adapters, where the two components are one. All must come to the same: either nothing of
//! it arrives, or the callee sees the same arguments and the caller gets the same result. What a callee does after it
//! was asked to clean up (its post-return) is to fill its memory with garbage, so that nobody may read it later. When the
//! call is over, well or badly, both memories are held against those of the other lane.

mod guests;
mod lanes;
mod memory;
#[cfg(test)]
mod tests;
mod types;

use self::guests::{Allocator, Door, Guest};
use self::lanes::{Call, Lanes, Seen};
use super::text::Encoding;

/// Calls that are made with one signature: making its components takes much longer than a call.
const CALLS: usize = 12;

/// A string of bytes as a source of choices. When it is used up every choice is the first one.
pub(super) struct Choices<'b>(&'b [u8]);

impl Choices<'_> {
    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let mut number = 0_usize;
        let mut reach = 1_usize;
        while reach < end.max(1) {
            number = number << 8 | usize::from(self.byte());
            reach = reach.saturating_mul(256);
        }
        number % end.max(1)
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// True once in `times`; never when the bytes are used up.
    pub(super) fn rarely(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    pub(super) fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn encoding(&mut self) -> Encoding {
        match self.below(4) {
            0 | 1 => Encoding::Utf8,
            2 => Encoding::Utf16,
            _ => Encoding::Compact,
        }
    }

    fn allocator(&mut self) -> Allocator {
        match self.byte() {
            232..=235 => Allocator::Leaves { by: Door::Host },
            236..=239 => Allocator::Leaves { by: Door::Module },
            240..=243 => Allocator::Unaligned,
            244..=247 => Allocator::OutOfRange,
            248..=251 => Allocator::Traps,
            252..=255 => Allocator::Overlaps,
            other => Allocator::Works { grows: other % 4 == 3 },
        }
    }
}

/// What came of one string of bytes.
#[cfg_attr(not(feature = "fuzzing"), expect(unreachable_pub, reason = "for the fuzzer"))]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Calls that went well in every lane.
    pub good: usize,
    /// Calls that ended in every lane.
    pub refused: usize,
    /// Calls that cannot be held against one another.
    pub skipped: usize,
}

/// Runs everything that `bytes` say in all lanes.
///
/// # Panics
/// When the lanes disagree, with everything that is needed to see why.
#[cfg_attr(not(feature = "fuzzing"), expect(unreachable_pub, reason = "for the fuzzer"))]
#[expect(clippy::panic, reason = "an oracle that finds something says so and stops")]
pub fn agree(bytes: &[u8]) -> Tally {
    let mut choices = Choices(bytes);
    let function = types::function(&mut choices);
    let caller = Guest { encoding: choices.encoding(), allocator: choices.allocator() };
    let callee = Guest { encoding: choices.encoding(), allocator: choices.allocator() };
    let mut tally = Tally::default();
    let lanes = match Lanes::of(&function, caller, callee) {
        Ok(lanes) => lanes,
        Err(error) => panic!("no components for {function:?}: {error:?}"),
    };
    // Text in other encodings has other room made for it; then only the values can be compared.
    let same_room = [caller, callee].iter().all(|guest| guest.encoding == Encoding::Utf8);
    for _ in 0..CALLS {
        let call = Call {
            arguments: memory::arguments(&function, caller.encoding, &mut choices),
            answer: memory::answer(&function, callee.encoding, &mut choices),
        };
        let [(raw, raw_exact), (dynamic, dynamic_exact), (composed, _)] = lanes.run(&call);
        let overlaps = [caller, callee].iter().any(|guest| guest.allocator == Allocator::Overlaps);
        if overlaps || raw.is_limit() || dynamic.is_limit() || composed.is_limit() {
            tally.skipped += 1;
            continue;
        }
        if raw != dynamic || (!raw.came_as_far_as(&composed) && !lanes.composed_differs()) {
            panic!(
                "the lanes disagree\nfunction: {function:?}\ncaller: {caller:?}\ncallee: {callee:?}\ncall: {call:?}\n\
                 raw: {raw:?}\ndynamic: {dynamic:?}\ncomposed: {composed:?}"
            );
        }
        if let (true, Some(difference)) = (same_room, raw_exact.difference(&dynamic_exact)) {
            panic!(
                "the lanes leave other bytes\nfunction: {function:?}\ncaller: {caller:?}\ncallee: {callee:?}\n\
                 call: {call:?}\nof the raw and the dynamic lane: {difference}"
            );
        }
        match raw {
            Seen::Good { .. } => tally.good += 1,
            Seen::Bad { .. } => tally.refused += 1,
        }
    }
    tally
}
