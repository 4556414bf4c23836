//! `cargo xtask golden`: rewrites what outsiders see to what they would see now. Read the difference afterwards.
//!
//! That golden files are fresh is checked by the same tests without these variables.

use anyhow::Result;

use crate::repo::{cargo, command, run, say};

/// The tests that own golden files: their package, what cargo calls the target, and a part of their names.
const OWNERS: [(&str, &[&str], &str); 4] = [
    ("station", &["--bin", "station"], "golden"),
    ("station", &["--bin", "station"], "config::tests"),
    ("station-admin", &["--lib"], "golden"),
    ("station-engine", &["--lib"], "features"),
];

/// Runs the owners with leave to write.
///
/// # Errors
/// When a test fails for another reason than its golden file.
pub(crate) fn rewrite() -> Result<()> {
    for (package, target, filter) in OWNERS {
        let mut test = cargo(&["test", "--quiet", "--package", package]);
        test.args(target).arg(filter);
        run(test.env("UPDATE_GOLDEN", "1").env("UPDATE_EXPECT", "1"))?;
    }
    say("\nwhat changed:");
    run(command("git").args(["--no-pager", "diff", "--stat", "--", "tests/golden", "runtime"]))
}
