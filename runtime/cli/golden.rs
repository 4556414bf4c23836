//! Golden files: what outsiders see, kept beside the tests and reviewed like code.
//!
//! `UPDATE_GOLDEN=1 cargo test` rewrites them; read the difference before committing it.

use std::path::{Path, PathBuf};

/// A folder below `tests/golden`.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The files in such a folder with this ending, in order.
pub(crate) fn files(name: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    found.sort();
    found
}

/// Compares `text` with the file, or rewrites the file when asked to.
pub(crate) fn check(file: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(expected, text, "{} differs; UPDATE_GOLDEN=1 rewrites it", file.display());
}
