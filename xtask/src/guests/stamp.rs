//! Whether a guest must be built again.
//!
//! A stamp beside the component holds a hash of everything the guest is made from: its folder, the WIT it uses and
//! the lock file of its tools. Content rather than times, because a checkout or a branch switch touches files
//! without changing them, and a JavaScript guest costs half a minute.
//!
//! The hash is the standard library's, which may change with the compiler: the worst case is one build too many.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Places;
use super::guest::{Guest, Language};

/// Made by tools beside the sources; no input.
const IGNORED: [&str; 4] = ["node_modules", "target", "__pycache__", ".venv"];

/// Whether the component there was built from what is there now.
pub(super) fn is_fresh(places: &Places, guest: &Guest) -> Result<bool> {
    if !places.component(&guest.name).is_file() {
        return Ok(false);
    }
    let kept = std::fs::read_to_string(path(places, guest)).unwrap_or_default();
    Ok(kept == hash(&places.root, &inputs(places, guest))?)
}

/// Remembers what the component was built from.
pub(super) fn write(places: &Places, guest: &Guest) -> Result<()> {
    let hash = hash(&places.root, &inputs(places, guest))?;
    std::fs::write(path(places, guest), hash).with_context(|| format!("stamping {}", guest.name))
}

fn path(places: &Places, guest: &Guest) -> PathBuf {
    places.components.join(format!(".{}.stamp", guest.name))
}

fn inputs(places: &Places, guest: &Guest) -> Vec<PathBuf> {
    let sources = places.sources();
    let mut inputs = vec![guest.folder.clone()];
    match guest.language {
        // Any shared WIT: cargo finds out quickly which of the Rust guests really used it.
        Language::Rust => inputs.extend([
            sources.join("Cargo.toml"),
            sources.join("Cargo.lock"),
            sources.join("wit"),
            places.root.join("wit"),
        ]),
        Language::Js | Language::Python | Language::Composed => {
            inputs.push(sources.join("toolchains").join(&guest.recipe.tool))
        }
    }
    inputs.extend(guest.recipe.wit.iter().cloned());
    inputs.extend(guest.recipe.parts.iter().map(|part| places.component(part)));
    inputs
}

/// A hash over the names and contents of all files in these places, as text.
pub(super) fn hash(root: &Path, places: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for place in places {
        for file in files(place)? {
            file.strip_prefix(root).unwrap_or(&file).hash(&mut hasher);
            std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?.hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// All files below a place, sorted; the place itself when it is a file, nothing when it does not exist.
fn files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let mut found = Vec::new();
    if place.is_dir() && !place.file_name().is_some_and(is_ignored) {
        for entry in std::fs::read_dir(place)? {
            found.extend(files(&entry?.path())?);
        }
    }
    found.sort();
    Ok(found)
}

fn is_ignored(name: &OsStr) -> bool {
    IGNORED.iter().any(|ignored| name == *ignored)
}
