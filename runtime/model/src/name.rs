//! The name of a module: what a user calls the thing they upload.

use crate::Invalid;
use std::{fmt, str::FromStr, sync::Arc};

/// A module's name: 1 to 63 characters, `a-z`, `0-9` and `-`, a letter first, no `-` last.
///
/// The rule is that of a DNS label, so that a name can stand in a host, a path, a metric and a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleName(Arc<str>);

/// Names that would read as the station's own in a log, a grant or a metric.
const RESERVED: [&str; 5] = ["station", "wasi", "kernel", "host", "gateway"];

impl ModuleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModuleName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why: &str| Err(Invalid::new("module name", text, why));
        if text.is_empty() || text.len() > 63 {
            return bad("must have 1 to 63 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return bad("may only have a-z, 0-9 and -");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
            return bad("must begin with a letter and not end with -");
        }
        if RESERVED.contains(&text) {
            return bad("is reserved");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Serialises a type as the text that its `Display` prints and its `FromStr` reads.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

serde_as_text!(ModuleName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for text in ["a", "case-files", "m2", &"a".repeat(63)] {
            assert!(text.parse::<ModuleName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn names_that_could_mislead_are_refused() {
        for text in ["", "A", "a_b", "../x", "a/b", "-a", "a-", "1a", "é", "station", "wasi", "a b", &"a".repeat(64)] {
            assert!(text.parse::<ModuleName>().is_err(), "{text}");
        }
    }
}
