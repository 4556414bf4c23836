//! What the rules look at: the text of every file of ours, and what cargo says about the packages.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::repo::{self, cargo};

/// Made by tools or fetched, so not ours. `data` is what a station started here by hand leaves.
const NOT_OURS: [&str; 7] = ["target", ".git", "node_modules", "__pycache__", ".venv", "dist", "data"];
/// Larger files are no text that somebody wrote.
const BYTES_MAX: u64 = 1 << 20;

/// The repository in memory.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Text by path, from the repository's root.
    pub(super) files: BTreeMap<String, String>,
    /// The members of the workspace.
    pub(super) members: Vec<Package>,
    /// What every package of the lock file that is built here has switched on.
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// A member of the workspace.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// One entry of a member's manifest.
#[derive(Debug, Default)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// The version requirement as cargo prints it.
    pub(super) version: String,
    /// True for `[dependencies]` and `[build-dependencies]`: what ships or makes what ships.
    pub(super) ships: bool,
    /// True without `default-features = false`.
    pub(super) defaults: bool,
}

impl Tree {
    /// Reads the repository.
    pub(super) fn read() -> Result<Self> {
        let root = repo::root();
        let mut tree = Self::default();
        read_folder(&root, &root, &mut tree.files)?;
        tree.read_packages(&metadata()?)?;
        Ok(tree)
    }

    /// A tree of these files, for the rules' own tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
        Self { files, ..Self::default() }
    }

    /// The files that are, or lie below, one of these places.
    pub(super) fn below<'a>(&'a self, places: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let inside = move |path: &str| {
            places
                .iter()
                .any(|place| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        self.files.iter().filter(move |(path, _)| inside(path)).map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file, empty when there is none.
    pub(super) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    fn read_packages(&mut self, metadata: &Value) -> Result<()> {
        let ours = list(metadata, "workspace_members");
        let mut names = BTreeMap::new();
        for package in list(metadata, "packages") {
            let (id, name) = (package.get("id").context("a package without id")?, text(package, "name"));
            names.insert(text(package, "id"), name.clone());
            if ours.contains(id) {
                let dependencies = list(package, "dependencies").iter().map(dependency).collect();
                self.members.push(Package { name, dependencies });
            }
        }
        for node in list(metadata.get("resolve").unwrap_or(&Value::Null), "nodes") {
            let name = names.get(&text(node, "id")).cloned().unwrap_or_default();
            let features = list(node, "features").iter().filter_map(Value::as_str).map(str::to_owned).collect();
            self.features.insert(name, features);
        }
        Ok(())
    }
}

fn dependency(entry: &Value) -> Dependency {
    Dependency {
        name: text(entry, "name"),
        version: text(entry, "req"),
        ships: text(entry, "kind") != "dev",
        defaults: entry.get("uses_default_features").and_then(Value::as_bool).unwrap_or(true),
    }
}

/// What cargo says about the workspace. Only for the platform that we promise, or cargo would fetch crates of others.
fn metadata() -> Result<Value> {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let output = cargo(&arguments).output().context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn read_folder(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            read_folder(root, &path, found)?;
        } else if kind.is_file() && entry.metadata()?.len() <= BYTES_MAX {
            // What is not UTF-8 is no text. A file that somebody removes meanwhile is not there.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            found.insert(path.strip_prefix(root)?.to_string_lossy().into_owned(), text);
        }
    }
    Ok(())
}
