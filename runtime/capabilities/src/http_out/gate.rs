//! May this request be sent? Decided on the URI that is sent, in one spelling.
//!
//! A host has many spellings: upper case, a trailing dot, `127.1`, `0x7f000001`, `[0:0:0:0:0:0:0:1]`. It is brought
//! into one form first; what looks like an address and is not written as one is refused, since a resolver may still
//! take it for one.

use super::address::{Reach, reach};
use http::Uri;
use station_model::HostPattern;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names under which nobody on the internet can publish an address, so that a grant for one means the own network.
const LOCAL_SUFFIXES: [&str; 6] = [".localhost", ".local", ".internal", ".lan", ".test", ".home.arpa"];

/// Where a permitted request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// In lower case, an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) opens: Opens,
}

/// Which addresses the grant opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    /// Those on the internet.
    Public,
    /// Also the own machine and network: the operator granted a name that can only mean them.
    Private,
    /// The one that is written in the grant.
    Literal,
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The URI is not one that can be sent.
    Invalid,
    /// No grant covers this origin.
    Denied(String),
}

/// Decides about a request to `uri` for a module with these grants.
pub(super) fn decide(hosts: &[HostPattern], uri: &Uri) -> Result<Target, Refusal> {
    let (tls, host, port) = origin(uri).ok_or(Refusal::Invalid)?;
    let mut covering = hosts.iter().map(in_one_spelling).filter(|p| p.covers(tls, &host, port)).peekable();
    if covering.peek().is_none() {
        let scheme = if tls { "https" } else { "http" };
        return Err(Refusal::Denied(format!("{scheme}://{host}:{port}")));
    }
    let named = covering.any(|pattern| pattern.names(&host));
    let opens = if named { opens(&host) } else { Opens::Public };
    Ok(Target { tls, host, port, opens })
}

impl Target {
    /// True when the grant opens this address.
    pub(super) fn may_reach(&self, address: IpAddr) -> bool {
        match (self.opens, reach(address)) {
            (Opens::Literal, _) => self.literal() == Some(address),
            (Opens::Private, Reach::Public | Reach::Private) | (Opens::Public, Reach::Public) => true,
            _ => false,
        }
    }

    /// The address, when the host is written as one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        literal(&self.host)
    }

    /// `host:port` as in the `host` header; the scheme's own port is left out.
    pub(super) fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        match self.port == default {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn opens(host: &str) -> Opens {
    let local = !host.contains('.') || LOCAL_SUFFIXES.iter().any(|suffix| host.ends_with(suffix));
    match literal(host) {
        Some(_) => Opens::Literal,
        None if local => Opens::Private,
        None => Opens::Public,
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

fn origin(uri: &Uri) -> Option<(bool, String, u16)> {
    let tls = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    // A name before an `@` is a favourite way to show one host and mean another.
    if authority.as_str().contains('@') {
        return None;
    }
    let written = authority.as_str().strip_prefix(authority.host())?;
    let port = match written.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => {
            if tls {
                443
            } else {
                80
            }
        }
    };
    Some((tls, normal(authority.host())?, port))
}

/// The host in its one spelling; none when it is not one.
fn normal(host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    if let Some(rest) = host.strip_prefix('[') {
        return rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(&host);
    if ends_in_number(host) {
        return host.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let good = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    (host.len() <= 253 && host.split('.').all(good)).then(|| host.to_owned())
}

/// True for what a resolver may take for an IPv4 address, as the URL standard defines it.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

/// The pattern with its host in the one spelling.
fn in_one_spelling(pattern: &HostPattern) -> HostPattern {
    let mut pattern = pattern.clone();
    if let Some(host) = normal(&pattern.host) {
        pattern.host = host;
    }
    pattern
}
