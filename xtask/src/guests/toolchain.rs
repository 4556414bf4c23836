//! What the JavaScript and the Python guests have in common: tools by lock file, and WIT in one folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::guest::Guest;
use super::{Places, stamp};

/// Calls `install` when the folder was not made from this lock; removes what an earlier try left.
pub(super) fn install_once(
    places: &Places,
    lock: &Path,
    folder: &Path,
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let stamp = folder.join(".installed");
    let wanted = stamp::hash(&places.root, &[lock.to_path_buf()])?;
    if std::fs::read_to_string(&stamp).is_ok_and(|kept| kept == wanted) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder)?;
    install()?;
    Ok(std::fs::write(&stamp, wanted)?)
}

/// Copies the guest's own WIT and the shared packages it needs into one folder, as both componentizers want it.
///
/// Copies in the sources would drift apart, and links do not survive every checkout.
pub(super) fn gather_wit(places: &Places, guest: &Guest) -> Result<PathBuf> {
    let folder = places.build.join("wit").join(&guest.name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    copy_files("wit", &guest.folder.join("wit"), &folder)?;
    for package in &guest.recipe.wit {
        let name = package.file_name().with_context(|| format!("{} names no folder", package.display()))?;
        copy_files("wit", package, &folder.join("deps").join(name))?;
    }
    Ok(folder)
}

/// Copies the files with this extension, not those in folders below.
pub(super) fn copy_files(extension: &str, from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let file = entry?.path();
        if let (true, Some(name)) = (file.extension().is_some_and(|it| it == extension), file.file_name()) {
            std::fs::copy(&file, to.join(name))?;
        }
    }
    Ok(())
}
