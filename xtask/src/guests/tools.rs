//! Which tools a language needs, whether they are here, and how to get them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::guest::Language;

/// componentize-js uses interfaces of this node release.
const NODE_MAJOR_MIN: u32 = 20;

const NO_TARGET: &str = "the target wasm32-wasip2 is not installed: run `rustup target add wasm32-wasip2`.\n\
    Without rustup's server: Debian's rustc-web and rust-web-src can build its standard library with \
    `-Zbuild-std`, using rustup's cargo, rust-lld and wasm-component-ld, and wasi-libc for crt1 and libc.a.";
const NO_NODE: &str = "node 20 or newer and npm are needed: install the packages `nodejs` and `npm`, or use nvm";
const NO_PYTHON: &str = "python3 3.10 or newer with its venv module is needed: install `python3` and `python3-venv`";

/// Fails with what is missing and how to get it.
pub(super) fn check(language: Language) -> Result<()> {
    match language {
        Language::Rust => check_rust(),
        Language::Js => check_js().context(NO_NODE),
        Language::Python | Language::Composed => check_python().context(NO_PYTHON),
    }
}

fn check_rust() -> Result<()> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).context("rustc is not installed")?;
    ensure!(Path::new(&sysroot).join("lib/rustlib/wasm32-wasip2").is_dir(), NO_TARGET);
    Ok(())
}

fn check_js() -> Result<()> {
    let version = output(Command::new("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major.is_some_and(|major| major >= NODE_MAJOR_MIN), "this is node {version}");
    output(Command::new("npm").arg("--version"))?;
    Ok(())
}

fn check_python() -> Result<()> {
    output(Command::new("python3").args(["-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 10)"]))?;
    Ok(())
}

/// What a command prints, trimmed; an error when it cannot be run or fails.
fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command quietly and shows what it wrote only when it fails.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed:\n{stdout}{stderr}");
    }
    Ok(())
}
