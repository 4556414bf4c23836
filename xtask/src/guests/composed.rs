//! Guests composed of other guests: two modules in one component, without a broker between them.
//!
//! The benches hold brokered calls against them; no test and no example needs one. So they are built only when they
//! are asked for by name: composing takes no time, but installing wasm-tools from PyPI takes a download.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::guest::{Guest, Language, Recipe};
use super::{Places, publish_timed, python, tools};

/// The tool, which is also the folder below `toolchains` that holds its lock file.
const TOOL: &str = "wasm-tools";

/// What can be composed: its name, the guest that keeps its exports, and the guest that meets its imports.
const ALL: [(&str, [&str; 2]); 1] = [("payload-composed", ["payload-source", "payload-sink"])];

/// All composed guests. They have no folder: they are made of other guests.
pub(super) fn all() -> Vec<Guest> {
    let guest = |(name, parts): &(&str, [&str; 2])| Guest {
        name: (*name).to_owned(),
        folder: PathBuf::new(),
        language: Language::Composed,
        recipe: Recipe { tool: TOOL.to_owned(), parts: parts.map(str::to_owned).to_vec(), ..Recipe::default() },
    };
    ALL.iter().map(guest).collect()
}

/// Composes the guests, whose parts are there already.
pub(super) fn build(places: &Places, guests: &[&Guest]) -> Result<()> {
    let venv = python::install(places, TOOL, "6 MB")?;
    guests.iter().try_for_each(|guest| publish_timed(places, guest, || compose(places, &venv, guest)))
}

/// The command is deprecated in favour of `wac`; it works with the version that the lock names.
fn compose(places: &Places, venv: &Path, guest: &Guest) -> Result<PathBuf> {
    let built = places.build.join(format!("{}.wasm", guest.name));
    let mut parts = guest.recipe.parts.iter().map(|part| places.component(part));
    let mut tool = Command::new(venv.join("bin/wasm-tools"));
    // Nothing else need have been built there.
    built.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    tool.arg("compose").args(parts.next()).arg("--output").arg(&built);
    for part in parts {
        tool.arg("--definitions").arg(part);
    }
    tools::run(&mut tool)?;
    Ok(built)
}
