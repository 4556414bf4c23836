//! `station.yaml` as a tree in which every key and value knows its place.
//!
//! serde stops at the first thing it does not like. So that all mistakes can be told at once, the YAML is first
//! read into this tree, which accepts anything well formed, and then asked for what is wanted: see [`Section`].
//! Whatever was asked for is known; what is left over when a section is [closed](Section::close) is a mistake.

use super::mistakes::{Mistakes, Place, unknown_key};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Nothing,
    /// Any scalar, as it was written.
    Scalar(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    /// Its text.
    pub name: String,
    /// Where it begins.
    pub place: Place,
}

/// A value that was read, with the place and the full key to complain about later.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
    /// Its key with the parents.
    pub key: String,
}

impl<T> Found<T> {
    /// Notes a mistake about this value.
    pub(crate) fn wrong(&self, found: &mut Mistakes, message: impl Into<String>) {
        found.add(Some(self.place), self.key.clone(), message);
    }
}

/// Reads YAML. A file that is empty, or only comments, is an empty mapping.
pub(crate) fn read(text: &str, found: &mut Mistakes) -> Option<Node> {
    match serde_saphyr::from_str::<Option<Spanned<Raw>>>(text) {
        Ok(Some(raw)) => Some(node(raw, text)),
        Ok(None) => Some(Node { place: Place { line: 1, column: 1 }, value: Value::Map(Vec::new()) }),
        Err(error) => {
            let place = error.location().map(place);
            found.add(place, "", error_text(&error));
            None
        }
    }
}

/// The parser's sentence without its drawing of the source and without the place, which stands before it anyway.
fn error_text(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or("not valid YAML").to_owned();
    // What follows is the place, or advice for programmers.
    let ends = [" at line ", ", set DuplicateKeyPolicy"];
    let cut = ends.iter().filter_map(|end| line.find(end)).min();
    line.get(..cut.unwrap_or(line.len())).unwrap_or_default().to_owned()
}

fn place(location: serde_saphyr::Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

/// What the YAML reader hands over: scalars that it took for numbers or booleans are looked up in the source,
/// so that `1.10` stays `1.10`.
#[derive(Debug)]
enum Raw {
    Nothing,
    Text(String),
    Other,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, source: &str) -> Node {
    let value = match raw.value {
        Raw::Nothing => Value::Nothing,
        Raw::Text(text) => Value::Scalar(text),
        Raw::Other => Value::Scalar(slice(raw.defined, source)),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => Value::Map(entries.into_iter().map(|(key, value)| entry(key, value, source)).collect()),
    };
    Node { place: place(raw.referenced), value }
}

fn entry(key: Spanned<String>, value: Spanned<Raw>, source: &str) -> (Key, Node) {
    (Key { name: key.value, place: place(key.referenced) }, node(value, source))
}

/// The source text of a plain scalar.
fn slice(location: serde_saphyr::Location, source: &str) -> String {
    let span = location.span();
    let range = span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| {
        let start = usize::try_from(start).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    });
    range.and_then(|range| source.get(range)).unwrap_or_default().trim().to_owned()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Raw, D::Error> {
        Raw::deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// A mapping that is being read key by key.
#[derive(Debug)]
pub(crate) struct Section {
    path: String,
    left: Vec<(Key, Node)>,
    known: Vec<&'static str>,
}

impl Section {
    /// The mapping at `path`; nothing counts as an empty one.
    pub(crate) fn new(node: Option<Node>, path: &str, found: &mut Mistakes) -> Self {
        let left = match node {
            Some(Node { value: Value::Map(entries), .. }) => entries,
            Some(Node { value: Value::Nothing, .. }) | None => Vec::new(),
            Some(node) => {
                found.add(Some(node.place), path, "must be a mapping of keys to values");
                Vec::new()
            }
        };
        Self { path: path.to_owned(), left, known: Vec::new() }
    }

    /// The section's full name.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The full name of a key in this section.
    fn full(&self, key: &str) -> String {
        match self.path.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.path),
        }
    }

    /// Takes the node under `key`; from now on the key is known here. A key without a value is as good as absent.
    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let index = self.left.iter().position(|(name, _)| name.name == key)?;
        let (_, node) = self.left.remove(index);
        (node.value != Value::Nothing).then_some(node)
    }

    /// Takes a scalar and parses it.
    pub(crate) fn scalar<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        found: &mut Mistakes,
    ) -> Option<Found<T>> {
        let node = self.take(key)?;
        scalar(node, self.full(key), &parse, found)
    }

    /// Takes a section below this one.
    pub(crate) fn section(&mut self, key: &'static str, found: &mut Mistakes) -> Self {
        let node = self.take(key);
        Self::new(node, &self.full(key), found)
    }

    /// Takes a list of scalars and parses each.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        found: &mut Mistakes,
    ) -> Vec<Found<T>> {
        let nodes = self.nodes(key, found);
        let full = self.full(key);
        let item = |(index, node)| scalar(node, format!("{full}[{index}]"), &parse, found);
        nodes.into_iter().enumerate().filter_map(item).collect()
    }

    /// Takes a list of sections.
    pub(crate) fn sections(&mut self, key: &'static str, found: &mut Mistakes) -> Vec<(Place, Self)> {
        let full = self.full(key);
        let nodes = self.nodes(key, found).into_iter().enumerate();
        nodes.map(|(index, node)| (node.place, Self::new(Some(node), &format!("{full}[{index}]"), found))).collect()
    }

    fn nodes(&mut self, key: &'static str, found: &mut Mistakes) -> Vec<Node> {
        match self.take(key) {
            Some(Node { value: Value::List(items), .. }) => items,
            None => Vec::new(),
            Some(node) => {
                found.add(Some(node.place), self.full(key), "must be a list, `[ one, two ]`");
                Vec::new()
            }
        }
    }

    /// Takes a mapping whose keys the owner chooses. Each entry comes with its key and its full name.
    pub(crate) fn entries(&mut self, key: &'static str, found: &mut Mistakes) -> Vec<(Found<String>, Node)> {
        let section = self.section(key, found);
        let path = section.path.clone();
        let named = |(key, node): (Key, Node)| {
            let full = format!("{path}.{}", key.name);
            (Found { value: key.name, place: key.place, key: full }, node)
        };
        section.left.into_iter().map(named).collect()
    }

    /// Every key that nobody asked for is a mistake.
    pub(crate) fn close(self, found: &mut Mistakes) {
        for (key, _) in &self.left {
            found.add(Some(key.place), self.full(&key.name), unknown_key(&key.name, &self.known));
        }
    }
}

/// Parses a scalar node, or notes what is wrong with it.
pub(crate) fn scalar<T>(
    node: Node,
    key: String,
    parse: &impl Fn(&str) -> Result<T, String>,
    found: &mut Mistakes,
) -> Option<Found<T>> {
    let parsed = match &node.value {
        Value::Scalar(text) => parse(text).map_err(|why| format!("`{}`: {why}", cut(text))),
        _ => Err("must be a single value".to_owned()),
    };
    match parsed {
        Ok(value) => Some(Found { value, place: node.place, key }),
        Err(message) => {
            found.add(Some(node.place), key, message);
            None
        }
    }
}

/// Enough of a value to recognise it, on one line.
fn cut(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        let mut found = Mistakes::new("t");
        let node = read(text, &mut found);
        assert!(found.is_empty(), "{found}");
        node.unwrap()
    }

    fn section(text: &str) -> (Section, Mistakes) {
        let mut found = Mistakes::new("t");
        let section = Section::new(Some(tree(text)), "", &mut found);
        (section, found)
    }

    fn text(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    #[test]
    fn scalars_stay_as_they_were_written() {
        for written in ["1.10", "007", "200_000_000", "0x1F", "true", "5s", "1e3", "99999999999999999999999", "no"] {
            let (mut section, mut found) = section(&format!("a: {written} # why\n"));
            let value = section.scalar("a", text, &mut found).unwrap();
            assert_eq!((value.value.as_str(), value.place), (written, Place { line: 1, column: 4 }));
        }
        let (mut section, mut found) = section("a: \"1.10\"\n");
        assert_eq!(section.scalar("a", text, &mut found).unwrap().value, "1.10");
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        for text in ["", "# only a comment\n", "{}", "---\n", "~"] {
            let mut found = Mistakes::new("t");
            let node = read(text, &mut found);
            Section::new(node, "", &mut found).close(&mut found);
            assert!(found.is_empty(), "{text:?}: {found}");
        }
    }

    #[test]
    fn what_nobody_asked_for_is_a_mistake() {
        let (mut section, mut found) = section("fuel: 1\ndeadlin: 2\n");
        section.scalar("fuel", text, &mut found);
        section.scalar("deadline", text, &mut found);
        section.close(&mut found);
        assert_eq!(found.to_string(), "t:2:1: deadlin: unknown key; did you mean `deadline`?");
    }

    #[test]
    fn broken_yaml_is_a_mistake_with_a_place() {
        for text in ["a: [1\n", "a: 1\na: 2\n", "a:\n\t- b\n", "a: *x\n"] {
            let mut found = Mistakes::new("t");
            assert_eq!(read(text, &mut found), None, "{text:?}");
            assert!(found.to_string().starts_with("t:"), "{found}");
        }
    }
}
