//! Rust guests: one cargo call for all of them, so that they share a target folder and both processors.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::guest::Guest;
use super::{Places, publish, say};

const TARGET: &str = "wasm32-wasip2";

/// Builds the guests and publishes each as cargo finishes it; the seconds count from the start of the build.
pub(super) fn build(places: &Places, guests: &[&Guest]) -> Result<()> {
    say(&format!("cargo builds {} Rust guests for {TARGET}; the first time takes a minute or two", guests.len()));
    let start = Instant::now();
    let mut cargo = command(places, guests)?.spawn().context("starting cargo")?;
    let messages = cargo.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(messages).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if let Some((guest, built)) = finished(&message, guests) {
            publish(places, guest, &built, start.elapsed())?;
        }
    }
    ensure!(cargo.wait()?.success(), "cargo could not build the guests; its messages are above");
    Ok(())
}

/// Flags of our own replace whatever the outer cargo was given, which is for the host's linker. Paths in traces are
/// made relative to the repository, so that a component does not depend on where it was built.
fn command(places: &Places, guests: &[&Guest]) -> Result<Command> {
    // Cargo tells the compiler the real path, so a link on the way here must be resolved.
    let sources = places.sources().canonicalize()?;
    let remap = format!("--remap-path-prefix={}=guest-modules", sources.display());
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--quiet", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .args(guests.iter().flat_map(|guest| ["--package", &guest.name]))
        .current_dir(sources)
        .env("CARGO_TARGET_DIR", &places.build)
        .env("CARGO_ENCODED_RUSTFLAGS", remap)
        .env_remove("CARGO_BUILD_TARGET")
        .stdout(Stdio::piped());
    Ok(cargo)
}

/// The guest whose component a message of cargo's announces, and where it is.
fn finished<'a>(message: &Value, guests: &[&'a Guest]) -> Option<(&'a Guest, PathBuf)> {
    if message.get("reason")?.as_str()? != "compiler-artifact" {
        return None;
    }
    let crate_name = message.get("target")?.get("name")?.as_str()?;
    let guest = guests.iter().find(|guest| guest.name.replace('-', "_") == crate_name)?;
    let mut files = message.get("filenames")?.as_array()?.iter().filter_map(Value::as_str);
    let built = files.find(|file| file.ends_with(".wasm"))?;
    Some((guest, PathBuf::from(built)))
}
