//! What modules write: stdout, stderr and `wasi:logging`, kept in memory, bounded per module.
//!
//! A module can write as much as it likes; the station keeps the last 1,000 lines or 256 KiB of it, each line cut at
//! 8 KiB and cleaned of control characters; the numbers of the lines show what was dropped. Nothing a guest writes reaches the station's own
//! log unescaped.

use serde::{Deserialize, Serialize};
use station_model::{CallId, ModuleName};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Lines kept per module: enough to see what led to a failure, small enough to hold for a thousand modules.
const LINES_MAX: usize = 1_000;
/// Bytes kept per module, so that a thousand modules that write all they can hold 256 MiB.
const BYTES_MAX: usize = 256 * 1024;
/// Bytes of one line; the rest of it is dropped.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// One line that a module wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts up by one per line of the module, so that gaps show what was dropped.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The root call in which it was written.
    pub call: Option<CallId>,
    /// `stdout`, `stderr`, or a level of `wasi:logging`.
    pub level: String,
    /// The text, without control characters.
    pub text: String,
}

/// The last lines of every module.
#[derive(Debug, Default)]
pub struct Logs {
    modules: Mutex<HashMap<ModuleName, Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    next: u64,
    bytes: usize,
    lines: VecDeque<Line>,
}

impl Ring {
    fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.text.len());
        }
    }
}

impl Logs {
    /// Keeps one line.
    pub fn write(&self, module: &ModuleName, at_ms: u64, call: Option<CallId>, level: &str, text: &str) {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = modules.entry(module.clone()).or_default();
        ring.next += 1;
        let line = Line { seq: ring.next, at_ms, call, level: level.to_owned(), text: clean(text) };
        ring.push(line);
    }

    /// The last `limit` lines of a module with a number above `after`, oldest first.
    pub fn read(&self, module: &ModuleName, after: u64, limit: usize) -> Vec<Line> {
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ring) = modules.get(module) else { return Vec::new() };
        let newer = ring.lines.iter().filter(|line| line.seq > after).count();
        ring.lines.iter().skip(ring.lines.len() - newer.min(limit)).cloned().collect()
    }

    /// Forgets the lines of a module that is gone.
    pub fn forget(&self, module: &ModuleName) {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner).remove(module);
    }
}

/// The text cut to [`LINE_BYTES_MAX`] and with control characters shown, so that no terminal obeys a guest.
fn clean(text: &str) -> String {
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, _) = text.split_at(end);
    kept.chars().flat_map(shown).collect()
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let escape = c.is_control() && c != '\t';
    let plain = (!escape).then_some(c);
    let escaped = escape.then(|| c.escape_default());
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> ModuleName {
        "m".parse().unwrap()
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        let logs = Logs::default();
        logs.write(&module(), 0, None, "stdout", "a\u{1b}[31m\r\nb");
        assert_eq!(logs.read(&module(), 0, 10)[0].text, "a\\u{1b}[31m\\r\\nb");
    }

    #[test]
    fn only_the_last_lines_are_kept_and_the_gap_shows() {
        let logs = Logs::default();
        for n in 0..LINES_MAX + 5 {
            logs.write(&module(), 0, None, "stdout", &n.to_string());
        }
        let lines = logs.read(&module(), 0, usize::MAX);
        assert_eq!((lines.len(), lines[0].seq), (LINES_MAX, 6));
        assert_eq!(logs.read(&module(), 1_000, 2).len(), 2);
    }

    #[test]
    fn long_lines_are_kept_up_to_a_number_of_bytes() {
        let logs = Logs::default();
        for _ in 0..100 {
            logs.write(&module(), 0, None, "stdout", &"x".repeat(LINE_BYTES_MAX));
        }
        assert_eq!(logs.read(&module(), 0, usize::MAX).len(), BYTES_MAX / LINE_BYTES_MAX);
    }

    #[test]
    fn a_line_is_cut_at_a_character() {
        let logs = Logs::default();
        logs.write(&module(), 0, None, "stdout", &"é".repeat(LINE_BYTES_MAX));
        assert_eq!(logs.read(&module(), 0, 1)[0].text.len(), LINE_BYTES_MAX);
    }
}
