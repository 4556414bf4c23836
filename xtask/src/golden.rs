//! `cargo xtask golden`: rewrites what outsiders see to what they would see now. Read the difference afterwards.
//!
//! That golden files are fresh is checked by the same tests without these variables.

use anyhow::Result;

use crate::repo::{cargo, command, run, say};

/// Parts of the names of the tests that own golden files.
const OWNERS: [&str; 3] = ["golden", "config::tests", "features"];

/// Runs the owners with leave to write.
///
/// # Errors
/// When a test fails for another reason than its golden file.
pub(crate) fn rewrite() -> Result<()> {
    // The whole workspace, as the tests are built: one package alone is another set of features, and so another wasmtime.
    let mut test = cargo(&["test", "--quiet", "--workspace", "--lib", "--bins", "--"]);
    run(test.args(OWNERS).env("UPDATE_GOLDEN", "1").env("UPDATE_EXPECT", "1"))?;
    say("\nwhat changed:");
    run(command("git").args(["--no-pager", "diff", "--stat", "--", "tests/golden", "runtime"]))
}
