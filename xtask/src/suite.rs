//! `cargo xtask test`: sets everything up and runs all tests, as CI does.
//!
//! The parts: the wasm target, the build, the guests, the documentation's tests, the guests' own tests, the instructions of
//! calls, the training of what is published, the tests.
//! Tidy and the golden files are among the tests. cargo-nextest runs them where it is installed, because a test that
//! hangs is then ended and named; cargo's own runner does otherwise, and no test knows the difference.
//!
//! JavaScript and Python are not optional here: "nothing depends on Rust" is one of the things that are tested.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::parts::Parts;
use crate::repo::{self, asked, cargo, command, run, say};
use crate::{dist, guests, instructions, setup};

/// Everything, from nothing.
///
/// # Errors
/// When a part failed; the summary says which.
pub(crate) fn run_all() -> Result<()> {
    let mut parts = Parts::new();
    parts.must("setup", setup::wasm_target)?;
    parts.must("build", build)?;
    parts.must("guests", || guests::run(&guest_names()?))?;
    parts.run("doc tests", || run(&mut cargo(&["test", "--doc", "--workspace", "--locked", "--quiet"])));
    parts.run("guest tests", guest_tests);
    parts.run("instructions", instructions::guard);
    parts.run("training", dist::rehearse);
    // Last, so that their closing lines stand at the end, before the minutes.
    parts.run("tests", || tests(&["--workspace"]));
    parts.summary()
}

fn build() -> Result<()> {
    run(&mut cargo(&["build", "--workspace", "--all-targets", "--locked"]))
}

/// All guests by name: a guest that was asked for by name must build, whatever its language.
fn guest_names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for suite in ["fixtures", "examples"] {
        let folder = repo::root().join("guest-modules").join(suite);
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path();
            let is_guest = path.join("Cargo.toml").is_file() || path.join("guest.json").is_file();
            names.extend(path.file_name().filter(|_| is_guest).map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Runs tests that `selection` names in the words that cargo and nextest share.
///
/// # Errors
/// When one fails.
pub(crate) fn tests(selection: &[&str]) -> Result<()> {
    if has_nextest() {
        let mut nextest = cargo(&["nextest", "run", "--locked", "--no-tests", "pass"]);
        if repo::is_ci() {
            nextest.args(["--profile", "ci"]);
        }
        return run(nextest.args(selection));
    }
    say("cargo-nextest is not installed (`cargo install cargo-nextest --locked`), so cargo test runs the tests");
    let mut test = cargo(&["test", "--locked", "--no-fail-fast"]);
    // Doc tests are a part of their own.
    let everything = selection == ["--workspace"];
    let targets: &[&str] = if everything { &["--lib", "--bins", "--tests"] } else { &[] };
    run(test.args(selection).args(targets))
}

/// True when `cargo nextest` can be run.
pub(crate) fn has_nextest() -> bool {
    asked(&mut cargo(&["nextest", "--version"])).is_some()
}

/// What guests test of themselves, without a station: their logic, natively.
fn guest_tests() -> Result<()> {
    let guests = repo::root().join("guest-modules");
    // From that folder, so that its own cargo settings hold.
    run(cargo(&["test", "--quiet", "-p", "dossiers", "-p", "portal"])
        .current_dir(&guests)
        .env_remove("CARGO_TARGET_DIR"))?;
    run(command("node").args(["--test", "--test-reporter=spec"]).current_dir(example(&guests, "tags-js")?))?;
    for name in ["audit", "deadlines-py"] {
        run(command("python3").args(["-B", "-m", "unittest", "--quiet"]).current_dir(example(&guests, name)?))?;
    }
    Ok(())
}

fn example(guests: &Path, name: &str) -> Result<std::path::PathBuf> {
    let folder = guests.join("examples").join(name);
    ensure!(folder.is_dir(), "the example {name} is gone; take it out of xtask/src/suite.rs");
    Ok(folder)
}
