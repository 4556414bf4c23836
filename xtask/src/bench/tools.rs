//! The peers that are programs: built or installed below `target/peers`, once.
//!
//! A peer that cannot be had is left out, and the results say why: a measurement of what is there is worth more than
//! none. Ours must build.

use crate::repo::{self, asked, cargo, command, run, say};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The same as the engine's, so that the comparison is about what is around it.
const WASMTIME: &str = "48.0.8";
/// What `serve` and `run` need, and no more.
const WASMTIME_FEATURES: &str = "run,serve,cranelift,pooling-allocator,parallel-compilation,backtrace,demangle,component-model,\
                                 component-model-async";
/// From here on sharing a flush is worth something, so here the goals hold.
const FLUSH_US: &str = "1000";
const WORKERD: &str = "1.20261117.1";
/// Extism knows no components.
const PLUGIN_TARGET: &str = "wasm32-unknown-unknown";

/// Where things of the peers go.
pub(super) fn folder() -> PathBuf {
    repo::target().join("peers")
}

/// The program that measures, with HTTP, gRPC, Extism and SQLite in it.
pub(super) fn peers() -> Result<PathBuf> {
    say("==> building the peers (another wasmtime among them: several minutes the first time)");
    let build = folder().join("build");
    let sources = repo::root().join("benches/peers");
    run(cargo(&["build", "--release", "--locked"]).current_dir(sources).env("CARGO_TARGET_DIR", &build))?;
    Ok(build.join("release/peers"))
}

/// The library with which tests put a disk of their own below a process: here one on which a flush takes a millisecond
/// and nothing is waited for besides.
pub(super) fn slow_disk() -> Result<PathBuf> {
    let library = repo::target().join("bench/disk.so");
    let source = repo::root().join("runtime/testkit/shim/disk.c");
    let flags = ["-shared", "-fPIC", "-O2", "-U_FORTIFY_SOURCE", "-pthread", "-o"];
    run(command("cc").args(flags).arg(&library).arg(source).arg("-ldl"))?;
    Ok(library)
}

/// Has a process flush in a millisecond what is in this folder.
pub(super) fn slow_down(command: &mut Command, library: &Path, folder: &Path) {
    command.env("LD_PRELOAD", library).env("STATION_SHIM_DIR", folder);
    command.env("STATION_SHIM_SYNC_NOT", "1").env("STATION_SHIM_SYNC_DELAY_US", FLUSH_US);
}

/// The plugin that Extism runs.
pub(super) fn plugin() -> Result<PathBuf> {
    crate::setup::target(PLUGIN_TARGET)?;
    let build = folder().join("plugin");
    let sources = repo::root().join("guest-modules/peers/extism-echo");
    let mut cargo = cargo(&["build", "--release", "--locked", "--target", PLUGIN_TARGET]);
    run(cargo.current_dir(sources).env("CARGO_TARGET_DIR", &build))?;
    Ok(build.join(PLUGIN_TARGET).join("release/extism_echo.wasm"))
}

/// `wasmtime`, for `wasmtime serve`.
pub(super) fn wasmtime() -> Result<PathBuf> {
    let program = folder().join("bin/wasmtime");
    if version_of(&program).is_some_and(|version| version.contains(WASMTIME)) {
        return Ok(program);
    }
    say(&format!("==> installing wasmtime-cli {WASMTIME} below target/peers (ten minutes, once)"));
    let mut install = cargo(&["install", "wasmtime-cli", "--version", WASMTIME, "--locked", "--root"]);
    install.arg(folder()).arg("--target-dir").arg(folder().join("build"));
    run(install.args(["--no-default-features", "--features", WASMTIME_FEATURES]))?;
    Ok(program)
}

/// `workerd`, from npm; its package is a binary, so no script of it need run.
pub(super) fn workerd() -> Result<PathBuf> {
    let home = folder().join("workerd");
    let program = home.join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    if !program.is_file() {
        std::fs::create_dir_all(&home)?;
        std::fs::write(home.join("package.json"), "{ \"private\": true }\n")?;
        let flags = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(command("npm").args(flags).arg(format!("workerd@{WORKERD}")).current_dir(&home))?;
    }
    version_of(&program).with_context(|| format!("workerd {WORKERD} was installed and does not start"))?;
    Ok(program)
}

/// What a program says of its version.
pub(super) fn version_of(program: &Path) -> Option<String> {
    asked(Command::new(program).arg("--version"))
}

/// The version of a crate that the peers are built with.
pub(super) fn locked(name: &str) -> Result<String> {
    let lock = std::fs::read_to_string(repo::root().join("benches/peers/Cargo.lock"))?;
    let after = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1);
    let version = after.and_then(|rest| rest.split('"').next()).with_context(|| format!("{name} is not locked"))?;
    ensure!(!version.is_empty(), "{name} has no version");
    Ok(version.to_owned())
}
