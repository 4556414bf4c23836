//! JavaScript guests, by tools from npm.
//!
//! Two tools: componentize-qjs (QuickJS: a megabyte, seconds) is what our own modules use; componentize-js
//! (SpiderMonkey: twelve megabytes, half a minute) is what others will upload, so one fixture is made with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::guest::Guest;
use super::{Places, publish_timed, say, toolchain, tools};

/// Builds the guests one after the other: each takes both processors anyway.
pub(super) fn build(places: &Places, guests: &[&Guest]) -> Result<()> {
    for guest in guests {
        let modules = install(places, &guest.recipe.tool)?.join("node_modules");
        publish_timed(places, guest, || componentize(places, &modules, guest))?;
    }
    Ok(())
}

/// Installs what the tool's lock file names, unless that has been done.
///
/// `npm install` also keeps to the lock file and its hashes; `npm ci` would besides demand the packages of all other
/// platforms, which some mirrors lack.
/// `--ignore-scripts`: none of the packages needs one, and a script is how a bad package would reach this machine.
fn install(places: &Places, tool: &str) -> Result<PathBuf> {
    let lock = places.sources().join("toolchains").join(tool);
    let folder = places.toolchains.join(tool);
    toolchain::install_once(places, &lock, &folder, || {
        say(&format!("npm installs {tool} below target/guest-toolchains"));
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            std::fs::copy(lock.join(file), folder.join(file)).with_context(|| format!("copying {file}"))?;
        }
        let flags = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
        tools::run(Command::new("npm").args(flags).current_dir(&folder))
    })?;
    Ok(folder)
}

fn componentize(places: &Places, modules: &Path, guest: &Guest) -> Result<PathBuf> {
    let wit = toolchain::gather_wit(places, guest)?;
    let built = places.build.join(format!("{}.wasm", guest.name));
    let source = guest.folder.join(&guest.recipe.source);
    let mut node = Command::new("node");
    if guest.recipe.tool == "componentize-qjs" {
        node.arg(modules.join("componentize-qjs/bin/componentize-qjs")).arg("--js").arg(source);
        node.args(["--world", &guest.recipe.world]).arg("--output").arg(&built);
    } else {
        node.arg(modules.join("@bytecodealliance/componentize-js/src/cli.js")).arg(source);
        node.args(["--world-name", &guest.recipe.world]).arg("--out").arg(&built);
    }
    node.arg("--wit").arg(&wit).args(&guest.recipe.arguments);
    tools::run(&mut node)?;
    Ok(built)
}
