//! `cargo xtask check`: what to run before a commit, in minutes.
//!
//! Formatting, clippy with warnings as errors, the unit tests (tidy is one of them), and as many of the black-box
//! tests in `tests/it` as the change can reach: none for a change of documents alone, the changed test files for a
//! change of tests alone, all but the slow examples otherwise. `--all` runs every one.
//!
//! A change is what differs from where this branch left `origin/main` (or from the commit before), with what is not
//! committed and what git does not know yet.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::parts::Parts;
use crate::repo::{asked, cargo, command, run, say};
use crate::suite::{has_nextest, tests};
use crate::{guests, setup};

/// Runs the checks.
///
/// # Errors
/// When one failed; the summary says which.
pub(crate) fn run_all(all: bool) -> Result<()> {
    let mut parts = Parts::new();
    parts.run("fmt", || run(&mut cargo(&["fmt", "--all", "--check"])));
    parts.run("clippy", || {
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]))
    });
    parts.run("unit tests", || tests(&["--workspace", "--lib", "--bins"]));
    match if all { Touched::Everything } else { touched(&changed()) } {
        Touched::Nothing => say("\nblack-box tests: the change cannot reach them (`--all` runs them)"),
        Touched::Tests(files) => parts.run("black box", || {
            guests()?;
            black_box(&files)
        }),
        Touched::Everything => parts.run("black box", || {
            guests()?;
            black_box_all(all)
        }),
    }
    parts.summary()
}

/// Guests in the languages whose tools are here; stale ones only.
fn guests() -> Result<()> {
    setup::wasm_target()?;
    guests::run(&[])
}

fn black_box(files: &BTreeSet<String>) -> Result<()> {
    let mut selection = vec!["-p", "station", "--test", "it"];
    if !has_nextest() {
        selection.push("--");
    }
    selection.extend(files.iter().map(String::as_str));
    tests(&selection)
}

fn black_box_all(with_slow: bool) -> Result<()> {
    let selection = ["-p", "station", "--test", "it"];
    match (with_slow, has_nextest()) {
        (true, _) => tests(&selection),
        (false, true) => tests(&[&selection[..], &["-E", "not test(/^examples::/)"]].concat()),
        (false, false) => tests(&[&selection[..], &["--", "--skip", "examples::"]].concat()),
    }
}

/// Which black-box tests a change can reach.
#[derive(Debug, PartialEq, Eq)]
enum Touched {
    Nothing,
    /// Only these modules of `tests/it`.
    Tests(BTreeSet<String>),
    Everything,
}

/// Documents reach nothing, a test file reaches itself, everything else may reach everything.
fn touched(changed: &[String]) -> Touched {
    let code = changed.iter().filter(|path| !is_text_for_people(path));
    let mut modules = BTreeSet::new();
    for path in code {
        match test_module(path) {
            Some(module) => modules.insert(module),
            None => return Touched::Everything,
        };
    }
    if modules.is_empty() { Touched::Nothing } else { Touched::Tests(modules) }
}

fn is_text_for_people(path: &str) -> bool {
    path.ends_with(".md") || path == "LICENSE" || path.starts_with("xtask/") || path.starts_with(".ci/")
}

/// The filter for a file of the black-box tests; none for what they share, which reaches them all.
fn test_module(path: &str) -> Option<String> {
    let module = path.strip_prefix("tests/it/")?.split(['/', '.']).next()?;
    (!matches!(module, "main" | "support")).then(|| format!("{module}::"))
}

/// The files that changed; when git cannot tell, the root manifest, which reaches everything.
fn changed() -> Vec<String> {
    let base =
        ["origin/main", "HEAD~1"].iter().find_map(|base| asked(command("git").args(["merge-base", "HEAD", base])));
    let base = base.unwrap_or_else(|| "HEAD".to_owned());
    let tracked = asked(command("git").args(["diff", "--name-only", &base]));
    let new = asked(command("git").args(["ls-files", "--others", "--exclude-standard"]));
    match (tracked, new) {
        (Some(tracked), Some(new)) => tracked.lines().chain(new.lines()).map(str::to_owned).collect(),
        _ => vec!["Cargo.toml".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(changed: &[&str], expected: &Touched) {
        let changed: Vec<_> = changed.iter().map(|&path| path.to_owned()).collect();
        assert_eq!(touched(&changed), *expected, "{changed:?}");
    }

    #[test]
    fn documents_reach_no_black_box_test() {
        check(&[], &Touched::Nothing);
        check(&["README.md", "docs/adding.md", "xtask/src/check.rs"], &Touched::Nothing);
    }

    #[test]
    fn a_test_file_reaches_itself() {
        let own = |names: &[&str]| Touched::Tests(names.iter().map(|&name| name.to_owned()).collect());
        check(&["tests/it/links.rs", "README.md"], &own(&["links::"]));
        check(&["tests/it/http/in.rs", "tests/it/links.rs"], &own(&["http::", "links::"]));
    }

    #[test]
    fn what_the_tests_share_and_what_they_test_reach_everything() {
        check(&["tests/it/main.rs", "tests/it/links.rs"], &Touched::Everything);
        check(&["runtime/kernel/src/tree.rs"], &Touched::Everything);
        check(&["guest-modules/fixtures/cycle-a/src/lib.rs"], &Touched::Everything);
    }
}
