//! Which module serves an address.
//!
//! A route has a host, a path prefix, or both. A route with the request's host beats every route without a host;
//! among those, the longest prefix wins, counted in whole segments: `/a` is a prefix of `/a/b` and not of `/ab`.
//! For the comparison a path is brought into one form (`//`, `.` and `..` resolved, percent signs decoded), so that
//! no spelling reaches a module that its plain form does not. The module sees the path as the client sent it.

use station_kernel::state::Route;
use station_model::ModuleName;

/// Routes, ordered for looking up.
#[derive(Debug, Clone, Default)]
pub struct Table {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    host: Option<String>,
    segments: Vec<Vec<u8>>,
    module: ModuleName,
}

impl Table {
    /// A table of these routes. Of two routes for the very same address the first one counts.
    pub fn new(routes: &[(Route, ModuleName)]) -> Self {
        let entry = |(route, module): &(Route, ModuleName)| Entry {
            host: route.host.as_deref().map(normal_host),
            segments: segments(route.path.as_deref().unwrap_or("/")),
            module: module.clone(),
        };
        let mut entries: Vec<_> = routes.iter().map(entry).collect();
        // Stable, so that equal routes stay in their order.
        entries.sort_by_key(|entry| (entry.host.is_none(), std::cmp::Reverse(entry.segments.len())));
        Self { entries }
    }

    /// The module that serves `path` on `host`, as they stand in a request.
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<&ModuleName> {
        if !path.starts_with('/') {
            return None;
        }
        let (host, path) = (host.map(normal_host), segments(path));
        let found = self.entries.iter().find(|entry| entry.covers(host.as_deref(), &path));
        found.map(|entry| &entry.module)
    }
}

impl Entry {
    fn covers(&self, host: Option<&str>, path: &[Vec<u8>]) -> bool {
        let same_host = self.host.is_none() || self.host.as_deref() == host;
        same_host && path.starts_with(&self.segments)
    }
}

/// The host of a `host` header or an authority: lower case, no port, no trailing dot.
fn normal_host(authority: &str) -> String {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !inside_brackets(host) => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn inside_brackets(text: &str) -> bool {
    text.starts_with('[') && !text.ends_with(']')
}

/// The path's segments in one form.
fn segments(path: &str) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    for segment in path.split('/').map(decoded) {
        match segment.as_slice() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
}

/// The bytes of a segment. A `%2f` becomes a `/` inside the segment, never a border between two.
fn decoded(segment: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, left) = escaped(after).filter(|_| first == b'%').unwrap_or((first, after));
        bytes.push(byte);
        rest = left;
    }
    bytes
}

fn escaped(after: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = after.split_at_checked(2)?;
    let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u8::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(routes: &[(&str, &str, &str)]) -> Table {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let route = |&(host, path, module): &(&str, &str, &str)| {
            (Route { host: some(host), path: some(path) }, module.parse().unwrap())
        };
        Table::new(&routes.iter().map(route).collect::<Vec<_>>())
    }

    fn find<'t>(table: &'t Table, host: &str, path: &str) -> &'t str {
        table.find(Some(host), path).map_or("", ModuleName::as_str)
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let table = table(&[("", "/a", "one"), ("", "/a/b/", "two"), ("", "/", "root")]);
        for (path, module) in [
            ("/a", "one"),
            ("/a/", "one"),
            ("/a/c", "one"),
            ("/ab", "root"),
            ("/a/b", "two"),
            ("/a/b/c", "two"),
            ("/a/bc", "one"),
            ("/", "root"),
            ("/A", "root"),
        ] {
            assert_eq!(find(&table, "h", path), module, "{path}");
        }
    }

    #[test]
    fn a_route_with_the_host_beats_every_route_without() {
        let table = table(&[("", "/a/b/c", "long"), ("h.example", "", "hosted"), ("h.example", "/a", "both")]);
        assert_eq!(find(&table, "h.example", "/a/b/c"), "both");
        assert_eq!(find(&table, "h.example", "/x"), "hosted");
        assert_eq!(find(&table, "other", "/a/b/c"), "long");
        assert_eq!(find(&table, "other", "/x"), "");
        assert_eq!(table.find(None, "/a/b/c").unwrap().as_str(), "long");
    }

    #[test]
    fn a_host_has_one_form() {
        let table = table(&[("H.Example.", "", "hosted"), ("[::1]", "", "six")]);
        for host in ["h.example", "H.EXAMPLE", "h.example:8080", "h.example.", "h.example.:80", "u@h.example"] {
            assert_eq!(find(&table, host, "/"), "hosted", "{host}");
        }
        for host in ["[::1]", "[::1]:80"] {
            assert_eq!(find(&table, host, "/"), "six", "{host}");
        }
        for host in ["xh.example", "h.example.evil", "", "[::2]"] {
            assert_eq!(find(&table, host, "/"), "", "{host}");
        }
    }

    #[test]
    fn a_path_has_one_form() {
        let table = table(&[("", "/admin", "admin"), ("", "/open", "open")]);
        for path in ["//admin", "/./admin/x", "/open/../admin", "/open/%2e%2e/admin", "/%61dmin", "/open/%2E./admin"] {
            assert_eq!(find(&table, "h", path), "admin", "{path}");
        }
        for path in ["/open/..%2fadmin", "/open/%252e%252e/admin", "/open/%zz", "/open/%", "/open;/../open/admin"] {
            assert_eq!(find(&table, "h", path), "open", "{path}");
        }
        for path in ["", "*", "admin", "/..", "/admin/..", "/open;/admin", "/%2fadmin"] {
            assert_eq!(find(&table, "h", path), "", "{path}");
        }
    }

    #[test]
    fn of_two_equal_routes_the_first_counts() {
        assert_eq!(find(&table(&[("", "/a", "one"), ("", "/a/", "two")]), "h", "/a"), "one");
    }

    proptest! {
        /// What is found is a prefix, and no longer prefix was there.
        #[test]
        fn no_longer_prefix_is_left_out(
            paths in prop::collection::vec(prop::collection::vec("[ab]", 0..4), 0..8),
            asked in prop::collection::vec("[ab]", 0..6),
        ) {
            let path = |parts: &[String]| format!("/{}", parts.join("/"));
            let routes: Vec<_> = paths.iter().enumerate().map(|(n, parts)| {
                let route = Route { host: None, path: Some(path(parts)) };
                (route, format!("m{n}").parse::<ModuleName>().unwrap())
            }).collect();
            let longest = paths.iter().filter(|parts| asked.starts_with(parts)).map(Vec::len).max();
            let table = Table::new(&routes);
            let found = table.find(None, &path(&asked)).map(|module| module.as_str()[1..].parse::<usize>().unwrap());
            prop_assert_eq!(found.map(|n| paths[n].len()), longest);
            if let Some(n) = found {
                prop_assert!(asked.starts_with(&paths[n]));
            }
        }

        /// No request makes the table panic.
        #[test]
        fn any_text_is_a_request(host in ".{0,40}", path in ".{0,80}") {
            let table = table(&[("h", "/a", "one")]);
            let _found = table.find(Some(&host), &path);
        }
    }
}
