//! Components to upload: built ones, and ones written as text.

use std::path::{Path, PathBuf};

/// The component of a guest, as `cargo xtask guests` left it.
///
/// # Panics
/// When it was not built.
#[track_caller]
pub fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
    let target = root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let path = target.join("guest-modules").join(name).with_extension("wasm");
    assert!(path.is_file(), "there is no {}: run `cargo xtask guests`", path.display());
    path
}

/// The bytes of a guest.
#[track_caller]
pub fn guest_bytes(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).expect("the guest can be read")
}

/// A component (or a core module) from its text.
///
/// # Panics
/// When the text is not well formed.
#[track_caller]
pub fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("the test's own text is wrong: {error}"))
}
