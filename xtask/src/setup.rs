//! What a fresh machine lacks and rustup can bring: the target that guests are built for.
//!
//! What the system's package manager must bring (a C compiler, node, Python's venv) is the business of the script
//! `x`, which runs before any Rust does.

use std::path::Path;

use anyhow::{Context, Result};

use crate::repo::{asked, command, run, say};

const TARGET: &str = "wasm32-wasip2";

/// Adds the guests' target where it is missing.
///
/// # Errors
/// When there is no rustup to do it, or it fails.
pub(crate) fn wasm_target() -> Result<()> {
    target(TARGET)
}

/// Adds a target where it is missing.
///
/// # Errors
/// When there is no rustup to do it, or it fails.
pub(crate) fn target(name: &str) -> Result<()> {
    let sysroot = asked(command("rustc").args(["--print", "sysroot"])).context("rustc is not installed")?;
    if Path::new(&sysroot).join("lib/rustlib").join(name).is_dir() {
        say(&format!("the target {name} is there"));
        return Ok(());
    }
    say(&format!("rustup adds the target {name}, some 20 MB"));
    run(command("rustup").args(["target", "add", name]))
        .with_context(|| format!("it is missing; get it with `rustup target add {name}`"))
}
