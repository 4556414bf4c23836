//! Replacements in a text, and the way back from a place in the new text to the old one.

use std::collections::BTreeMap;

/// Replacements, by where they begin in the old text. They do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    by_start: BTreeMap<usize, Edit>,
    /// What stands before the first byte of the new text.
    before: usize,
}

#[derive(Debug)]
struct Edit {
    old: String,
    new: String,
}

impl Edits {
    /// Replaces `old`, which stands at `start`. The same place may be named twice; the first edit stays.
    pub(super) fn replace(&mut self, start: usize, old: &str, new: String) {
        self.by_start.entry(start).or_insert_with(|| Edit { old: old.to_owned(), new });
    }

    /// True if something at `start` is replaced.
    pub(super) fn touches(&self, start: usize) -> bool {
        self.by_start.contains_key(&start)
    }

    /// The new text, behind `before`.
    pub(super) fn apply(&self, before: &str, old: &str) -> String {
        let mut new = before.to_owned();
        let mut done = 0;
        for (start, edit) in &self.by_start {
            new.push_str(old.get(done..*start).unwrap_or_default());
            new.push_str(&edit.new);
            done = start + edit.old.len();
        }
        new.push_str(old.get(done..).unwrap_or_default());
        new
    }

    /// Remembers how long the text before the first byte is.
    pub(super) fn behind(mut self, before: &str) -> Self {
        self.before = before.len();
        self
    }

    /// Where a byte of the new text comes from. A byte of a replacement comes from where that begins.
    pub(crate) fn old_offset(&self, new: usize) -> usize {
        let new = new.saturating_sub(self.before);
        let (mut old_at, mut new_at) = (0, 0);
        for (start, edit) in &self.by_start {
            let begins = new_at + (start - old_at);
            if new < begins {
                break;
            }
            if new < begins + edit.new.len() {
                return *start;
            }
            old_at = start + edit.old.len();
            new_at = begins + edit.new.len();
        }
        old_at + (new - new_at)
    }

    /// A piece of the new text, such as the name that SQLite gives to a column, as it stood in the old one.
    pub(crate) fn old_text(&self, new: &str) -> String {
        let replaced = self.by_start.values().filter(|edit| !edit.new.is_empty());
        replaced.fold(new.to_owned(), |text, edit| text.replace(&edit.new, &edit.old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_edited_and_every_byte_finds_its_way_back() {
        let mut edits = Edits::default();
        edits.replace(14, "users", "\"m7__users\" AS \"users\"".to_owned());
        edits.replace(14, "users", "no".to_owned());
        edits.replace(21, "t", "\"m7__t\"".to_owned());
        let old = "SELECT é FROM users, t WHERE x";
        let old = &old.replace('é', "e");
        let new = edits.apply("/*m7*/ ", old);
        assert_eq!(new, "/*m7*/ SELECT e FROM \"m7__users\" AS \"users\", \"m7__t\" WHERE x");
        let edits = edits.behind("/*m7*/ ");
        for word in ["SELECT", "FROM", ",", "WHERE", "x"] {
            let at = new.rfind(word).unwrap();
            assert_eq!(edits.old_offset(at), old.rfind(word).unwrap(), "{word}");
        }
        for inside in ["m7__users", "AS", "users\","] {
            assert_eq!(edits.old_offset(new.find(inside).unwrap()), 14, "{inside}");
        }
        assert_eq!(edits.old_text("max(x) FROM \"m7__t\")"), "max(x) FROM t)");
    }
}
