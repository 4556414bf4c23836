//! Which crate may import which. The tables are those of `docs/architecture.md`.
//!
//! dev-dependencies are outside: a test may look from anywhere.

use super::tree::{Dependency, Package, Tree};

/// What each member may name of ours, besides itself.
const ARROWS: [(&str, &[&str]); 12] = [
    ("station-model", &[]),
    ("station-kernel", &["station-model"]),
    ("station-engine", &["station-model", "station-kernel"]),
    ("station-capabilities", &["station-model", "station-kernel", "station-engine"]),
    ("station-storage", &["station-model", "station-kernel"]),
    ("station-gateway", &["station-model", "station-kernel"]),
    ("station-api", &["station-model"]),
    ("station-admin", &["station-model", "station-kernel", "station-api"]),
    ("station-testkit", &["station-model", "station-kernel"]),
    (
        "station-host",
        &[
            "station-model",
            "station-kernel",
            "station-engine",
            "station-capabilities",
            "station-storage",
            "station-gateway",
            "station-admin",
        ],
    ),
    ("station", &["station-host", "station-model", "station-api"]),
    ("xtask", &[]),
];

/// Crates of others that only these members may name; a `*` stands for any ending.
const NAMED_ONLY_THERE: [(&str, &[&str]); 14] = [
    ("wasmtime*", &["station-engine", "station-capabilities"]),
    ("wit-*", &["station-engine", "station-capabilities"]),
    ("wasm*", &["station-engine", "station-capabilities"]),
    ("rusqlite", &["station-storage"]),
    ("tar", &["station-storage"]),
    ("axum*", &["station-admin", "station-gateway"]),
    ("utoipa*", &["station-admin", "station-api"]),
    ("reqwest", &["station-api"]),
    ("hyper*", &["station-admin", "station-gateway", "station-capabilities"]),
    ("clap*", &["station", "xtask"]),
    ("anyhow", &["station", "xtask"]),
    ("serde-saphyr", &["station"]),
    ("prometheus-client", &["station-admin"]),
    ("tracing-subscriber", &["station"]),
];

/// A member names only members below it. One that is not in the table has no place yet.
pub(super) fn only_along_arrows(tree: &Tree) -> Vec<String> {
    let ours: Vec<_> = tree.members.iter().map(|package| package.name.as_str()).collect();
    let mut found = Vec::new();
    for package in &tree.members {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            found.push(format!("{} is not in the table of arrows; see docs/architecture.md", package.name));
            continue;
        };
        for Dependency { name, .. } in shipped(package).filter(|it| ours.contains(&it.name.as_str())) {
            if !allowed.contains(&name.as_str()) {
                found.push(format!("{} depends on {name}, which is not below it", package.name));
            }
        }
    }
    found
}

/// Heavy crates are named where they belong and nowhere else.
pub(super) fn named_only_there(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for package in &tree.members {
        for Dependency { name, .. } in shipped(package) {
            let rule = NAMED_ONLY_THERE.iter().find(|(pattern, _)| matches(pattern, name));
            if let Some((_, places)) = rule.filter(|(_, places)| !places.contains(&package.name.as_str())) {
                found.push(format!("{} depends on {name}, which only {} may name", package.name, places.join(", ")));
            }
        }
    }
    found
}

fn shipped(package: &Package) -> impl Iterator<Item = &Dependency> {
    package.dependencies.iter().filter(|dependency| dependency.ships)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(members: &[(&str, &[(&str, bool)])]) -> Tree {
        let dependency = |&(name, ships): &(&str, bool)| Dependency { name: name.into(), ships, ..Default::default() };
        let package = |&(name, dependencies): &(&str, &[(&str, bool)])| Package {
            name: name.into(),
            dependencies: dependencies.iter().map(dependency).collect(),
        };
        Tree { members: members.iter().map(package).collect(), ..Default::default() }
    }

    #[test]
    fn an_arrow_upwards_or_sideways_is_found() {
        let planted = tree(&[
            ("station-model", &[("station-kernel", true)]),
            ("station-kernel", &[("station-model", true)]),
            ("station-gateway", &[("station-storage", true)]),
            ("station-storage", &[]),
        ]);
        let found = only_along_arrows(&planted);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("station-model depends on station-kernel"));
        assert!(found[1].contains("station-gateway depends on station-storage"));
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(only_along_arrows(&tree(&[("station-misc", &[])])).len(), 1);
    }

    #[test]
    fn an_arrow_of_tests_is_free() {
        let planted =
            tree(&[("station-kernel", &[("station-testkit", false), ("rusqlite", false)]), ("station-testkit", &[])]);
        assert!(only_along_arrows(&planted).is_empty() && named_only_there(&planted).is_empty());
    }

    #[test]
    fn a_crate_out_of_its_place_is_found() {
        let planted = tree(&[
            ("station-kernel", &[("wasmtime-wasi", true), ("rusqlite", true)]),
            ("station-engine", &[("wasmtime", true), ("clap", true)]),
        ]);
        let found = named_only_there(&planted);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
