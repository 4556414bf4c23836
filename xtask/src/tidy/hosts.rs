//! No file names a package registry's host, so that a clone builds from whatever registry its owner uses.
//!
//! Which one that is belongs into the settings of cargo, npm and pip on a machine. A lock file that carries addresses
//! would send everybody to the mirror of whoever wrote it.

use super::tree::Tree;

/// Hosts of registries, and what names one in a lock file or in a tool's settings. In two parts each, so that this
/// file does not name them either.
const NAMES: [(&str, &str); 12] = [
    ("registry.npmjs", ".org"),
    ("registry.yarnpkg", ".com"),
    ("pypi.", "org"),
    ("files.pythonhosted", ".org"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("proxy.golang", ".org"),
    ("deb.debian", ".org"),
    ("\"resolved\"", ": \"http"),
    ("--index", "-url"),
    ("replace", "-with ="),
    ("_auth", "Token"),
];
/// The one source of the lock file of cargo, which is a name rather than an address.
const SOURCE: &str = "source = \"registry+";
const STANDARD: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// No registry is named.
pub(super) fn no_registry_is_named(tree: &Tree) -> Vec<String> {
    let of = |(path, text): (&String, &String)| {
        let named = NAMES.iter().map(|(a, b)| format!("{a}{b}")).filter(|name| text.contains(name.as_str()));
        let mut found: Vec<_> = named.map(|name| format!("{path} has `{name}`")).collect();
        let foreign = text.lines().any(|line| line.starts_with(SOURCE) && line != STANDARD);
        found.extend(foreign.then(|| format!("{path} takes crates from another source than the standard one")));
        found.extend((path.ends_with(".npmrc") && has_registry(text)).then(|| format!("{path} sets a registry")));
        found
    };
    tree.files.iter().flat_map(of).collect()
}

fn has_registry(npmrc: &str) -> bool {
    npmrc.lines().any(|line| {
        line.split_once('=')
            .is_some_and(|(key, _)| matches!(key.trim(), "registry") || key.trim().ends_with(":registry"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_lock_file_is_found() {
        let planted = format!("{{ {}s://mirror.example/a.tgz\" }}", NAMES[8].0.to_owned() + NAMES[8].1);
        assert_eq!(no_registry_is_named(&Tree::of(&[("a/package-lock.json", &planted)])).len(), 1);
    }

    #[test]
    fn a_host_and_a_setting_are_found() {
        let host = NAMES[0].0.to_owned() + NAMES[0].1;
        let tree = Tree::of(&[
            ("docs/a.md", &host),
            (".npmrc", "registry=https://mirror.example\n"),
            ("b/.npmrc", "omit-lockfile-registry-resolved=true\n"),
        ]);
        assert_eq!(no_registry_is_named(&tree).len(), 2);
    }

    #[test]
    fn another_source_of_crates_is_found() {
        let lock = |source: &str| no_registry_is_named(&Tree::of(&[("Cargo.lock", source)])).len();
        assert_eq!(lock(STANDARD), 0);
        assert_eq!(lock("source = \"registry+https://mirror.example/index\""), 1);
    }
}
