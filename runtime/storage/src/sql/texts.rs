//! Texts that were rewritten already. Rewriting costs more than preparing, and guests send the same few texts.

use super::{
    growth::Learned,
    names::Names,
    rewrite::{Rewritten, rewrite},
};
use station_kernel::work::{Plan, SqlError};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// What all texts of a connection may take together, as it was sent and as it was rewritten. Then all are forgotten:
/// a module that never sends a text twice makes everybody rewrite more often, and nothing grow.
const BYTES_MAX: usize = 1 << 20;

/// A text that was understood.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) names: Names,
    pub(super) rewritten: Rewritten,
    /// Known once it was prepared.
    pub(super) plan: OnceLock<Plan>,
    pub(super) does: Learned,
    /// The table that it drops, by its physical name.
    pub(super) drops: OnceLock<String>,
}

impl Text {
    pub(super) fn new(module: i64, sql: &str) -> Result<Self, SqlError> {
        let names = Names::new(module);
        let rewritten = rewrite(&names, sql)?;
        Ok(Self::of(names, rewritten))
    }

    fn of(names: Names, rewritten: Rewritten) -> Self {
        Self { names, rewritten, plan: OnceLock::new(), does: Learned::default(), drops: OnceLock::new() }
    }

    /// A text that no rewriter has seen.
    #[cfg(test)]
    pub(super) fn verbatim(module: i64, physical: &str) -> Self {
        use super::{mode::Mode, rewrite::Edits};
        let mode = Mode::of(physical).unwrap_or(Mode::Foreign);
        let names = Names::new(module);
        let rewritten = Rewritten { sql: names.mark() + physical, mode, edits: Edits::default() };
        Self::of(names, rewritten)
    }
}

/// By module, and then by what it sent.
#[derive(Debug, Default)]
pub(super) struct Texts {
    known: HashMap<i64, HashMap<Box<str>, Arc<Text>>>,
    bytes: usize,
}

impl Texts {
    pub(super) fn get(&self, module: i64, sql: &str) -> Option<Arc<Text>> {
        self.known.get(&module)?.get(sql).cloned()
    }

    /// False if everything else had to be forgotten.
    pub(super) fn put(&mut self, sql: &str, text: Arc<Text>) -> bool {
        let bytes = size(sql, &text);
        let fits = self.bytes + bytes <= BYTES_MAX;
        if !fits {
            self.forget();
        }
        self.bytes += bytes;
        self.known.entry(text.names.module).or_default().insert(sql.into(), text);
        fits
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The edits hold about what the two texts differ by; the rest is what the maps take.
fn size(sql: &str, text: &Text) -> usize {
    2 * sql.len() + 2 * text.rewritten.sql.len() + 512
}
