//! Python guests, by componentize-py; and tools from PyPI in general, by hash, in venvs below `target/guest-toolchains`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::guest::Guest;
use super::{Places, publish_timed, say, toolchain, tools};

/// Builds the guests one after the other: each takes both processors anyway.
pub(super) fn build(places: &Places, guests: &[&Guest]) -> Result<()> {
    let venv = install(places, "componentize-py", "17 MB")?;
    for guest in guests {
        publish_timed(places, guest, || componentize(places, &venv, guest))?;
    }
    Ok(())
}

/// Installs what the tool's requirements name, with the hashes they name, unless that has been done.
pub(super) fn install(places: &Places, tool: &str, size: &str) -> Result<PathBuf> {
    let lock = places.sources().join("toolchains").join(tool);
    let folder = places.toolchains.join(tool);
    toolchain::install_once(places, &lock, &folder, || {
        say(&format!("pip installs {tool} ({size}) into a venv below target/guest-toolchains"));
        tools::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
        pip.arg("--require-hashes").arg("--requirement").arg(lock.join("requirements.txt"));
        tools::run(&mut pip)
    })?;
    Ok(folder)
}

fn componentize(places: &Places, venv: &Path, guest: &Guest) -> Result<PathBuf> {
    let wit = toolchain::gather_wit(places, guest)?;
    // The tool writes bytecode beside the sources it runs, so it gets a copy of them.
    let sources = places.build.join("python").join(&guest.name);
    toolchain::copy_files("py", &guest.folder, &sources)?;
    let built = places.build.join(format!("{}.wasm", guest.name));
    let mut tool = Command::new(venv.join("bin/componentize-py"));
    tool.arg("--wit-path").arg(&wit).args(["--world", &guest.recipe.world]);
    tool.args(["componentize", &guest.recipe.source]).args(&guest.recipe.arguments);
    tool.arg("--python-path").arg(&sources).arg("--output").arg(&built);
    tool.env_remove("VIRTUAL_ENV");
    tools::run(&mut tool)?;
    Ok(built)
}
