//! Everything that is wrong with a `station.yaml`, collected so that its owner sees all of it in one run.

use std::fmt;

/// A place in the file; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where; none when it is about the file as a whole.
    pub place: Option<Place>,
    /// The key with its parents, such as `modules.audit.limits.fuel`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// All of them, of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistakes {
    file: String,
    found: Vec<Mistake>,
}

impl Mistakes {
    /// No mistakes yet in the file that the user calls `file`.
    pub(crate) fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), found: Vec::new() }
    }

    /// Notes a mistake at a key.
    pub(crate) fn add(&mut self, place: Option<Place>, key: impl Into<String>, message: impl Into<String>) {
        self.found.push(Mistake { place, key: key.into(), message: message.into() });
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// True when there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The file as the user called it.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// All mistakes in the order of the file.
    pub(crate) fn sorted(&self) -> Vec<&Mistake> {
        let mut sorted: Vec<_> = self.found.iter().collect();
        sorted.sort_by_key(|mistake| mistake.place);
        sorted
    }
}

impl fmt::Display for Mistakes {
    /// One line per mistake, `file:line:column: key: message`, as editors and terminals expect it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.sorted().into_iter().enumerate() {
            f.write_str(if index > 0 { "\n" } else { "" })?;
            f.write_str(&self.file)?;
            if let Some(place) = mistake.place {
                write!(f, ":{}:{}", place.line, place.column)?;
            }
            if !mistake.key.is_empty() {
                write!(f, ": {}", mistake.key)?;
            }
            write!(f, ": {}", mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// What to say about a key that nothing knows: the nearest known one, or all of them.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// The one of `known` that `text` was probably meant to be: two letters swapped, or at most a third of it differs.
pub(crate) fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().map(|name| (distance(text, name), *name)).min()?;
    let length = text.chars().count().max(best.1.len());
    let slips = if length < 4 { 1 } else { (length / 3).max(2) };
    (best.0 <= slips).then_some(best.1)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, from) in a.chars().enumerate() {
        let mut next = vec![index + 1];
        let steps = b.iter().zip(row.iter().zip(row.iter().skip(1)));
        for (to, (diagonal, above)) in steps {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(from != *to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("deadlin", &["fuel", "deadline"]), Some("deadline"));
        assert_eq!(nearest("fule", &["fuel", "file-size"]), Some("fuel"));
        assert_eq!(nearest("subscriptions", &["source", "grants"]), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn mistakes_are_printed_in_the_order_of_the_file() {
        let mut found = Mistakes::new("station.yaml");
        found.add(Some(Place { line: 9, column: 3 }), "limits.fuel", "too small");
        found.add(Some(Place { line: 2, column: 1 }), "dat", unknown_key("dat", &["data"]));
        assert_eq!(
            found.to_string(),
            "station.yaml:2:1: dat: unknown key; did you mean `data`?\nstation.yaml:9:3: limits.fuel: too small"
        );
    }
}
