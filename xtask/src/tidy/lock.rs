//! The lock file and what it switches on: pins, features, duplicates, crates that must not come in.

use super::tree::{Package, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// The engine is one family with one number; a patch release is a decision (`docs/decisions`).
const WASMTIME: &str = "=48.0.8";

/// What wasmtime's crates have switched on when everything of ours is built together. An added feature is new code
/// for untrusted bytes to reach: `component-model-async`, `threads`, `gc` and `cache` are left out on purpose.
const FEATURES: [(&str, &[&str]); 3] = [
    (
        "wasmtime",
        &[
            "addr2line",
            "anyhow",
            "async",
            "backtrace",
            "component-model",
            "cranelift",
            "demangle",
            "once_cell",
            "parallel-compilation",
            "pooling-allocator",
            "runtime",
            "std",
            "wasmtime-jit-icache-coherence",
            "wave",
        ],
    ),
    ("wasmtime-wasi", &["p2"]),
    ("wasmtime-wasi-http", &["p2"]),
];

/// Crates that must not come in, and why.
const BANNED: [(&str, &str); 5] = [
    ("aws-lc-rs", "ring is the one crypto provider; a second one makes rustls panic when it must choose"),
    ("openssl-sys", "TLS is rustls; a system library would be a second one to patch"),
    ("bindgen", "it needs libclang, which no newcomer has"),
    ("extism", "peers are measured in a workspace of their own, benches/peers"),
    ("prost-build", "it needs protoc, which no newcomer has"),
];

const LOCK: &str = "Cargo.lock";
const ALLOWED: &str = "xtask/src/tidy/duplicates.txt";

/// wasmtime's own crates are named with the exact version and without default features.
pub(super) fn wasmtime_is_pinned(tree: &Tree) -> Vec<String> {
    let of = |package: &Package| {
        let wasmtime =
            package.dependencies.iter().filter(|it| it.name == "wasmtime" || it.name.starts_with("wasmtime-"));
        let loose = wasmtime.filter(|it| it.version != WASMTIME || it.defaults);
        loose
            .map(|it| {
                format!(
                    "{} names {} as {:?}; it must be {WASMTIME:?} without default features",
                    package.name, it.name, it.version
                )
            })
            .collect::<Vec<_>>()
    };
    tree.members.iter().flat_map(of).collect()
}

/// wasmtime has exactly the features of the golden list.
pub(super) fn wasmtime_has_the_golden_features(tree: &Tree) -> Vec<String> {
    let differing = FEATURES.iter().filter_map(|(name, golden)| {
        let found: BTreeSet<&str> = tree.features.get(*name)?.iter().map(String::as_str).collect();
        let golden: BTreeSet<&str> = golden.iter().copied().collect();
        let added: Vec<_> = found.difference(&golden).collect();
        let gone: Vec<_> = golden.difference(&found).collect();
        (found != golden).then(|| format!("{name} differs from the golden list: new {added:?}, gone {gone:?}"))
    });
    differing.collect()
}

/// None of the banned crates is in the lock file.
pub(super) fn banned_crates_are_absent(tree: &Tree) -> Vec<String> {
    let locked = versions(tree.text(LOCK));
    let there = BANNED.iter().filter(|(name, _)| locked.contains_key(name));
    there.map(|(name, why)| format!("{name} is in {LOCK}: {why}; `cargo tree -i {name}` says who wants it")).collect()
}

/// A crate is there once, or the list says why not. A reason that is no longer needed goes.
pub(super) fn duplicates_have_reasons(tree: &Tree) -> Vec<String> {
    let locked = versions(tree.text(LOCK));
    let reasons: BTreeMap<&str, &str> = reasons(tree.text(ALLOWED)).collect();
    let is_twice = |name: &str| locked.get(name).is_some_and(|versions| versions.len() > 1);
    let twice = locked.iter().filter(|(name, versions)| versions.len() > 1 && !is_excused(&reasons, name));
    let twice = twice.map(|(name, versions)| {
        format!("{name} is in {LOCK} as {}; use one, or write the reason into {ALLOWED}", versions.join(" and "))
    });
    let empty =
        reasons.iter().filter(|(_, why)| why.is_empty()).map(|(name, _)| format!("{name} in {ALLOWED} has no reason"));
    let stale = reasons
        .keys()
        .filter(|name| !is_twice(name))
        .map(|name| format!("{name} in {ALLOWED} is there once; remove it"));
    twice.chain(empty).chain(stale).collect()
}

/// Two copies of the parser of WIT would be two opinions on what a component says.
pub(super) fn one_wit_parser(tree: &Tree) -> Vec<String> {
    let locked = versions(tree.text(LOCK));
    let of = |name: &str| {
        locked.get(name).filter(|versions| versions.len() > 1).map(|versions| (name.to_owned(), versions.join(" and ")))
    };
    ["wit-parser", "wasmparser"]
        .into_iter()
        .filter_map(of)
        .map(|(name, versions)| format!("{name} is in {LOCK} as {versions}"))
        .collect()
}

fn is_excused(reasons: &BTreeMap<&str, &str>, name: &str) -> bool {
    // Import libraries of another system that comes in families of eight; nothing of them is built here.
    reasons.contains_key(name) || name.starts_with("windows")
}

/// The lines `name: reason` of the list.
fn reasons(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(':').map_or((line, ""), |(name, why)| (name.trim(), why.trim())))
}

/// Every crate of a lock file with its versions.
fn versions(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(text) = quoted(line, "name = ") {
            name = text;
        } else if let Some(version) = quoted(line, "version = ").filter(|_| !name.is_empty()) {
            found.entry(std::mem::take(&mut name)).or_default().push(version);
        }
    }
    found
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key).map(|value| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Dependency;
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> String {
        packages
            .iter()
            .map(|(name, version)| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n"))
            .collect()
    }

    fn pinned(version: &str, defaults: bool) -> Vec<String> {
        let dependency = Dependency { name: "wasmtime-wasi".into(), version: version.into(), ships: true, defaults };
        let package = Package { name: "p".into(), dependencies: vec![dependency] };
        wasmtime_is_pinned(&Tree { members: vec![package], ..Default::default() })
    }

    #[test]
    fn a_loose_pin_and_default_features_are_found() {
        assert!(pinned("=48.0.8", false).is_empty());
        assert_eq!(pinned("^48", false).len(), 1);
        assert_eq!(pinned("=48.0.8", true).len(), 1);
    }

    #[test]
    fn a_new_feature_and_a_lost_one_are_found() {
        let with = |features: &[&str]| {
            let features = features.iter().map(|&feature| feature.to_owned()).collect();
            wasmtime_has_the_golden_features(&Tree {
                features: [("wasmtime-wasi".into(), features)].into(),
                ..Default::default()
            })
        };
        assert!(with(&["p2"]).is_empty());
        assert!(with(&["p2", "p3"])[0].contains("p3"));
        assert_eq!(with(&[]).len(), 1);
    }

    #[test]
    fn a_banned_crate_is_found() {
        let tree = Tree::of(&[(LOCK, &lock(&[("ring", "0.17.0"), ("aws-lc-rs", "1.0.0")]))]);
        assert_eq!(banned_crates_are_absent(&tree).len(), 1);
    }

    #[test]
    fn a_duplicate_without_reason_and_a_reason_without_duplicate_are_found() {
        let twice = lock(&[("base64", "0.22.0"), ("base64", "0.23.0"), ("syn", "3.0.0")]);
        let check = |allowed: &str| duplicates_have_reasons(&Tree::of(&[(LOCK, &twice), (ALLOWED, allowed)])).len();
        assert_eq!(check("# nothing\n"), 1);
        assert_eq!(check("base64: an old one for x, a new one for y\n"), 0);
        assert_eq!(check("base64:\n"), 1);
        assert_eq!(check("base64: x\nsyn: y\n"), 1);
    }

    #[test]
    fn a_second_wit_parser_is_found() {
        let twice = lock(&[("wit-parser", "0.254.0"), ("wit-parser", "0.258.0")]);
        assert_eq!(one_wit_parser(&Tree::of(&[(LOCK, &twice)])).len(), 1);
    }
}
