//! Grants: what the operator allows a module to reach.
//!
//! A module *requests* by importing; nothing is reachable until a [`Grant`] covers it. Written as text:
//! `ns:pkg`, `ns:pkg/iface`, `ns:pkg/iface@1.2.0`, `name` (a function at the root), each with an optional
//! `@provider`; or an origin for outgoing HTTP, `https://api.example.com`, `http://127.0.0.1:9000`.

use crate::{InterfaceName, Invalid, ModuleName, PackageName, name::serde_as_text};
use std::{fmt, str::FromStr};

/// One permission of one module.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// May import what the selector covers, from anyone or from one provider.
    Import {
        /// What may be imported.
        selector: Selector,
        /// The only provider that it may come from.
        provider: Option<ModuleName>,
    },
    /// May send HTTP requests to these hosts.
    Host(HostPattern),
}

/// A package as a whole or one interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// Every interface of a package, in every version.
    Package(PackageName),
    /// One interface; without a version, in every version.
    Interface(InterfaceName),
}

/// An origin that outgoing HTTP may reach, such as `https://*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern {
    /// True for `https`.
    pub tls: bool,
    /// A host name or address in lower case; `*.example.com` stands for every name below it.
    pub host: String,
    /// The port; the scheme's own when none is written.
    pub port: u16,
}

impl Grant {
    /// True when this grant lets a module import `wanted` from `provider` (none: the host).
    pub fn covers(&self, wanted: &InterfaceName, from: Option<&ModuleName>) -> bool {
        match self {
            Self::Import { selector, provider } => {
                selector.covers(wanted) && provider.as_ref().is_none_or(|only| Some(only) == from)
            }
            Self::Host(_) => false,
        }
    }
}

impl Selector {
    fn covers(&self, wanted: &InterfaceName) -> bool {
        match self {
            Self::Package(package) => wanted.package() == Some(package),
            Self::Interface(granted) if granted.version().is_none() => granted.same_interface(wanted),
            Self::Interface(granted) => granted.met_by(wanted) || wanted.met_by(granted),
        }
    }
}

impl HostPattern {
    /// True when a request to this origin is covered. `host` is in lower case without a trailing dot.
    pub fn covers(&self, tls: bool, host: &str, port: u16) -> bool {
        self.tls == tls && self.port == port && self.covers_host(host)
    }

    fn covers_host(&self, host: &str) -> bool {
        match self.host.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => self.host == host,
        }
    }

    /// True when the pattern names this very host, so that the operator has chosen it knowingly.
    pub fn names(&self, host: &str) -> bool {
        self.host == host
    }
}

impl FromStr for HostPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why: &str| Invalid::new("host grant", text, why);
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(bad("must begin with `http://` or `https://`")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| bad("the port must be a number up to 65535"))?)
            }
            _ => (rest, if tls { 443 } else { 80 }),
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'*' | b'[' | b']' | b':');
        if host.is_empty() || !host.bytes().all(allowed) || host.trim_start_matches("*.").contains('*') {
            return Err(bad("must be an origin such as `https://api.example.com`, without a path"));
        }
        Ok(Self { tls, host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.tls { ("https", 443) } else { ("http", 80) };
        match self.port == default {
            true => write!(f, "{scheme}://{}", self.host),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Selector {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.contains(':') && !text.contains('/') {
            true => text.parse().map(Self::Package),
            false => text.parse().map(Self::Interface),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(package) => package.fmt(f),
            Self::Interface(interface) => interface.fmt(f),
        }
    }
}

impl FromStr for Grant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains("://") {
            return text.parse().map(Self::Host);
        }
        // A version begins with a digit and a module name with a letter, so the last `@` tells them apart.
        match text.rsplit_once('@') {
            Some((what, provider)) if provider.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Ok(Self::Import { selector: what.parse()?, provider: Some(provider.parse()?) })
            }
            _ => Ok(Self::Import { selector: text.parse()?, provider: None }),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import { selector, provider: Some(provider) } => write!(f, "{selector}@{provider}"),
            Self::Import { selector, provider: None } => selector.fmt(f),
            Self::Host(pattern) => pattern.fmt(f),
        }
    }
}

serde_as_text!(Grant);

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(grant: &str, wanted: &str, from: Option<&str>) -> bool {
        let from = from.map(|m| m.parse().unwrap());
        grant.parse::<Grant>().unwrap().covers(&wanted.parse().unwrap(), from.as_ref())
    }

    #[test]
    fn a_grant_covers_what_it_names() {
        assert!(covers("a:b", "a:b/c@1.0.0", Some("m")));
        assert!(covers("a:b/c", "a:b/c@1.0.0", None));
        assert!(covers("a:b/c@1.0.0", "a:b/c@1.2.0", None));
        assert!(covers("a:b/c@m", "a:b/c@1.2.0", Some("m")));
        assert!(covers("a:b/c@1.0.0@m", "a:b/c@1.0.0", Some("m")));
        assert!(covers("greet", "greet", Some("m")));
    }

    #[test]
    fn a_grant_covers_nothing_else() {
        assert!(!covers("a:b", "a:bb/c", None));
        assert!(!covers("a:b/c", "a:b/d", None));
        assert!(!covers("a:b/c@1.0.0", "a:b/c@2.0.0", None));
        assert!(!covers("a:b/c@m", "a:b/c", Some("n")));
        assert!(!covers("a:b/c@m", "a:b/c", None));
        assert!(!covers("https://a", "a:b/c", None));
    }

    #[test]
    fn a_host_pattern_covers_its_origin_only() {
        let pattern: HostPattern = "https://*.example.com".parse().unwrap();
        assert!(pattern.covers(true, "api.example.com", 443));
        for (tls, host, port) in [
            (true, "example.com", 443),
            (true, ".example.com", 443),
            (true, "badexample.com", 443),
            (false, "api.example.com", 443),
            (true, "api.example.com", 8443),
        ] {
            assert!(!pattern.covers(tls, host, port), "{host}");
        }
    }

    #[test]
    fn grants_read_back_as_themselves() {
        for text in ["a:b", "a:b/c@1.0.0@m", "https://*.example.com", "http://127.0.0.1:9000", "http://[::1]:80/"] {
            let grant: Grant = text.parse().unwrap();
            assert_eq!(grant.to_string().parse::<Grant>().unwrap(), grant);
        }
    }

    #[test]
    fn what_is_not_a_grant_is_refused() {
        for text in ["", "a:", "https://", "https://a/b", "https://a b", "https://a:99999", "https://*", "ftp://a"] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }
}
