//! Names of WIT packages, interfaces and functions, and the rule of which version meets which.

use crate::{Invalid, name::serde_as_text};
use semver::Version;
use std::{fmt, str::FromStr};

/// `namespace:package` without a version, such as `wasi:http`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageName {
    /// The text before the colon.
    pub namespace: String,
    /// The text after the colon.
    pub name: String,
}

/// What a component imports or exports under one name.
///
/// Either an interface of a package (`wasi:http/types@0.2.3`) or a plain name at the world's root (`greet`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InterfaceName {
    /// An interface that belongs to a package.
    Packaged {
        /// The package it belongs to.
        package: PackageName,
        /// The interface's own name.
        interface: String,
        /// The package's version, if it has one.
        version: Option<Version>,
    },
    /// A function or an inline interface at the root of the world.
    Plain(String),
}

/// A function as `station call` names it: `ns:pkg/iface@1.2.3#func`, or `func` at the root.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionPath {
    /// The interface; none for a function at the world's root.
    pub interface: Option<InterfaceName>,
    /// The function's name as in the component, such as `get` or `[method]counter.add`.
    pub function: String,
}

/// True for a kebab-case name, which is what WIT allows: words of letters and digits joined by single dashes.
fn is_kebab(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl FromStr for PackageName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once(':') {
            Some((namespace, name)) if is_kebab(namespace) && is_kebab(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(Invalid::new("package name", text, "must look like `namespace:package`")),
        }
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

impl InterfaceName {
    /// The package, for an interface that belongs to one.
    pub fn package(&self) -> Option<&PackageName> {
        match self {
            Self::Packaged { package, .. } => Some(package),
            Self::Plain(_) => None,
        }
    }

    /// The package's version, if there is one.
    pub fn version(&self) -> Option<&Version> {
        match self {
            Self::Packaged { version, .. } => version.as_ref(),
            Self::Plain(_) => None,
        }
    }

    /// True for names under `wasi:` and `station:`, which only the host provides.
    pub fn is_reserved(&self) -> bool {
        self.package().is_some_and(|p| matches!(p.namespace.as_str(), "wasi" | "station"))
    }

    /// True when both are the same interface, whatever their versions.
    pub fn same_interface(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Packaged { package: a, interface: i, .. }, Self::Packaged { package: b, interface: j, .. }) => {
                a == b && i == j
            }
            (Self::Plain(a), Self::Plain(b)) => a == b,
            _ => false,
        }
    }

    /// True when an import of this name is met by an export of `offered`.
    ///
    /// The rule of WIT packages: the offered version is not older and lies on the same compatible track
    /// (1.x; 0.2.x; 0.0.3 alone). A version with a pre-release tag meets only itself.
    pub fn met_by(&self, offered: &Self) -> bool {
        self.same_interface(offered)
            && match (self.version(), offered.version()) {
                (None, None) => true,
                (Some(wanted), Some(offered)) => version_met_by(wanted, offered),
                _ => false,
            }
    }
}

fn version_met_by(wanted: &Version, offered: &Version) -> bool {
    if wanted == offered {
        return true;
    }
    if !wanted.pre.is_empty() || !offered.pre.is_empty() {
        return false;
    }
    let track = |v: &Version| match (v.major, v.minor) {
        (0, 0) => (0, 0, v.patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    };
    track(wanted) == track(offered) && offered >= wanted
}

impl FromStr for InterfaceName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why: &str| Invalid::new("interface name", text, why);
        if text.len() > 256 {
            return Err(bad("is longer than 256 characters"));
        }
        let Some((package, rest)) = text.split_once('/') else {
            return match is_kebab(text) {
                true => Ok(Self::Plain(text.to_owned())),
                false => Err(bad("must look like `namespace:package/interface@1.2.3` or `name`")),
            };
        };
        let (interface, version) = match rest.split_once('@') {
            Some((interface, version)) => {
                let version = Version::parse(version).map_err(|e| bad(&format!("version: {e}")))?;
                (interface, Some(version))
            }
            None => (rest, None),
        };
        if !is_kebab(interface) {
            return Err(bad("the interface must be in kebab case"));
        }
        Ok(Self::Packaged { package: package.parse()?, interface: interface.to_owned(), version })
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packaged { package, interface, version: Some(version) } => {
                write!(f, "{package}/{interface}@{version}")
            }
            Self::Packaged { package, interface, version: None } => write!(f, "{package}/{interface}"),
            Self::Plain(name) => f.write_str(name),
        }
    }
}

impl FromStr for FunctionPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (interface, function) = match text.split_once('#') {
            Some((interface, function)) => (Some(interface.parse()?), function),
            None => (None, text),
        };
        if function.is_empty() || function.len() > 256 {
            return Err(Invalid::new("function", text, "must look like `ns:pkg/iface#function` or `function`"));
        }
        Ok(Self { interface, function: function.to_owned() })
    }
}

impl fmt::Display for FunctionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

macro_rules! debug_as_display {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_display!(PackageName, InterfaceName, FunctionPath);

serde_as_text!(PackageName);
serde_as_text!(InterfaceName);
serde_as_text!(FunctionPath);

#[cfg(test)]
mod tests {
    use super::*;

    fn met(wanted: &str, offered: &str) -> bool {
        let name = |v: &str| format!("a:b/c@{v}").parse::<InterfaceName>().unwrap();
        name(wanted).met_by(&name(offered))
    }

    #[test]
    fn a_newer_version_of_the_same_track_meets_an_import() {
        for (wanted, offered) in [("1.2.0", "1.2.0"), ("1.2.0", "1.3.1"), ("0.2.3", "0.2.12"), ("0.0.3", "0.0.3")] {
            assert!(met(wanted, offered), "{wanted} by {offered}");
        }
    }

    #[test]
    fn other_tracks_older_versions_and_drafts_do_not() {
        for (wanted, offered) in [
            ("1.2.0", "2.0.0"),
            ("1.3.0", "1.2.9"),
            ("0.2.0", "0.3.0"),
            ("0.0.3", "0.0.4"),
            ("0.2.0-draft", "0.2.0"),
            ("0.2.0", "0.2.1-rc.1"),
        ] {
            assert!(!met(wanted, offered), "{wanted} by {offered}");
        }
    }

    #[test]
    fn names_read_back_as_themselves() {
        for text in ["wasi:http/types@0.2.3", "a:b/c", "greet", "a:b/c@0.2.0-draft2"] {
            assert_eq!(text.parse::<InterfaceName>().unwrap().to_string(), text);
        }
        for text in ["a:b/c@1.0.0#f", "f", "a:b/c#[method]r.f"] {
            assert_eq!(text.parse::<FunctionPath>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for text in ["", "a b", "a:b/", "a/b", ":b/c", "a:b/c@", "a:b/c@1", "a:b/c@1.0.0+../..%", "a--b", "ä:b/c"] {
            assert!(text.parse::<InterfaceName>().is_err(), "{text}");
        }
    }
}
