//! What a fresh machine lacks and rustup can bring: the target that guests are built for, the tools of a training.
//!
//! What the system's package manager must bring (a C compiler, node, Python's venv) is the business of the script
//! `x`, which runs before any Rust does.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

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
    if rustlib()?.join(name).is_dir() {
        say(&format!("the target {name} is there"));
        return Ok(());
    }
    say(&format!("rustup adds the target {name}, some 20 MB"));
    run(command("rustup").args(["target", "add", name]))
        .with_context(|| format!("it is missing; get it with `rustup target add {name}`"))
}

/// A tool of the compiler's own LLVM, such as `llvm-profdata`.
///
/// # Errors
/// When there is no rustup to bring it, or it fails.
pub(crate) fn llvm_tool(name: &str, host: &str) -> Result<PathBuf> {
    let program = rustlib()?.join(host).join("bin").join(name);
    if !program.is_file() {
        say("rustup adds the component llvm-tools, some 40 MB");
        run(command("rustup").args(["component", "add", "llvm-tools"]))
            .with_context(|| format!("{name} is missing; get it with `rustup component add llvm-tools`"))?;
    }
    ensure!(program.is_file(), "llvm-tools is installed and has no {}", program.display());
    Ok(program)
}

fn rustlib() -> Result<PathBuf> {
    let sysroot = asked(command("rustc").args(["--print", "sysroot"])).context("rustc is not installed")?;
    Ok(Path::new(&sysroot).join("lib/rustlib"))
}
