//! A failure as the bytes of a function's result, for a caller whose type has a place for it.

use super::plan::{Node, Plan, Shape};
use crate::lane::Expressible;

/// What a caller is told of a failure.
pub(crate) struct Told<'t> {
    pub(crate) code: &'t str,
    pub(crate) retryable: bool,
    pub(crate) id: &'t str,
}

impl Plan {
    /// The result that tells of a failure, laid out at the beginning of a memory; none where the type has no place.
    pub(crate) fn failure(&self, place: &Expressible, told: &Told<'_>) -> Option<Vec<u8>> {
        let result = self.result.as_ref()?;
        let mut memory = vec![0; result.size];
        let (mut node, mut at) = enter(result, 0, 1, &mut memory)?;
        match place {
            Expressible::No => return None,
            Expressible::Whole => (),
            Expressible::Case(case, _) => (node, at) = enter(node, at, *case, &mut memory)?,
        }
        let Shape::Record(fields) = &node.shape else { return None };
        let [code, retryable, id] = &**fields else { return None };
        text(at + code.at, told.code, &mut memory)?;
        *memory.get_mut(at + retryable.at)? = told.retryable.into();
        text(at + id.at, told.id, &mut memory)?;
        Some(memory)
    }
}

/// Writes the number of a case, and answers with its payload and where that is.
fn enter<'n>(node: &'n Node, at: usize, case: usize, memory: &mut [u8]) -> Option<(&'n Node, usize)> {
    let Shape::Variant(variant) = &node.shape else { return None };
    let tag = case.to_le_bytes();
    let bytes = usize::from(variant.tag_bytes);
    memory.get_mut(at..at + bytes)?.copy_from_slice(tag.get(..bytes)?);
    Some((variant.cases.get(case)?.as_ref()?, at + variant.payload_at))
}

/// Appends text, and writes its pointer and its length.
fn text(at: usize, text: &str, memory: &mut Vec<u8>) -> Option<()> {
    let (pointer, len) = (memory.len() as u64, text.len() as u64);
    memory.extend(text.as_bytes());
    memory.get_mut(at..at + 8)?.copy_from_slice(&(len << 32 | pointer).to_le_bytes());
    Some(())
}
