//! The folder `migrations/` of a project, and how it comes into the component.
//!
//! The station reads custom sections named `station:migration/V1__init.sql`. They go to the end of the component,
//! outside of everything in it, so that nothing else changes and no language's tools need to know of them. Sections of
//! an earlier build are taken out first: building twice gives the same.

use anyhow::{Context, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

const FOLDER: &str = "migrations";
/// What a section's name begins with.
const SECTION: &str = "station:migration/";
/// `\0asm` and the version, before the first section.
const HEADER_BYTES: usize = 8;
/// The number of custom sections.
const CUSTOM: u8 = 0;

/// A file of the folder.
#[derive(Debug, PartialEq, Eq)]
struct Migration {
    version: u32,
    /// Its name, such as `V1__init.sql`.
    file: String,
    sql: String,
}

/// Puts the migrations of the project in `dir` into its component, if it has any.
///
/// # Errors
/// When a file is misnamed, missing in between or no text, or the component cannot be read or written.
pub(crate) fn embed(dir: &Path, component: &Path) -> anyhow::Result<()> {
    let folder = dir.join(FOLDER);
    if !folder.is_dir() {
        return Ok(());
    }
    let migrations = read(&folder)?;
    let bytes = fs::read(component).with_context(|| format!("reading {}", component.display()))?;
    let whole = with(&bytes, &migrations);
    let whole = whole.with_context(|| format!("{} is not a component", component.display()))?;
    // A new file rather than the same one: cargo's has a second name, under which it must stay as cargo made it.
    let half = component.with_extension("wasm.part");
    let written = fs::write(&half, whole).and_then(|()| fs::rename(&half, component));
    written.with_context(|| format!("writing {}", component.display()))
}

/// The migrations in a folder, in order. Files that are no SQL may be beside them.
fn read(folder: &Path) -> anyhow::Result<Vec<Migration>> {
    let doing = || format!("listing {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(doing)? {
        let path = entry.with_context(doing)?.path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            found.push(migration(path)?);
        }
    }
    found.sort_by_key(|migration| migration.version);
    for (expected, migration) in (1..).zip(&found) {
        let Migration { version, file, .. } = migration;
        ensure!(*version >= expected, "two migrations have the version {version}; one of them is {file}");
        ensure!(*version == expected, "{file} comes after V{} without a V{expected} between", expected - 1);
    }
    Ok(found)
}

fn migration(path: PathBuf) -> anyhow::Result<Migration> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(version) = version(&file) else {
        bail!("{} is not named like V1__init.sql", path.display());
    };
    let sql = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Migration { version, file, sql })
}

/// 12 for `V12__add_users.sql`.
fn version(file: &str) -> Option<u32> {
    let (version, name) = file.strip_prefix('V')?.strip_suffix(".sql")?.split_once("__")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let version = version.parse().ok().filter(|version| *version > 0)?;
    (plain && (1..=100).contains(&name.len())).then_some(version)
}

/// The component with these migrations and no others at its end; nothing if the bytes are no component.
fn with(component: &[u8], migrations: &[Migration]) -> Option<Vec<u8>> {
    let (header, mut rest) = component.split_at_checked(HEADER_BYTES)?;
    let mut made = header.to_vec();
    while !rest.is_empty() {
        let (section, after) = split_section(rest)?;
        if !is_migration(section) {
            made.extend_from_slice(section);
        }
        rest = after;
    }
    for migration in migrations {
        let name = format!("{SECTION}{}", migration.file);
        let content = [&leb(name.len())?, name.as_bytes(), migration.sql.as_bytes()].concat();
        made.push(CUSTOM);
        made.extend(leb(content.len())?);
        made.extend(content);
    }
    Some(made)
}

/// The first section and what follows it.
fn split_section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, content) = read_leb(bytes.get(1..)?)?;
    let before = bytes.len() - content.len();
    bytes.split_at_checked(before.checked_add(length)?)
}

fn is_migration(section: &[u8]) -> bool {
    let content = section.strip_prefix(&[CUSTOM]).and_then(read_leb).map(|(_, content)| content);
    let name = content.and_then(read_leb).and_then(|(length, rest)| rest.get(..length));
    name.is_some_and(|name| name.starts_with(SECTION.as_bytes()))
}

/// A number as WebAssembly writes lengths (LEB128), and what follows it.
fn read_leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(length).filter(|_| length <= 5)?;
    let value = number.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(value).ok()?, rest))
}

/// The same in the other direction; nothing if it is more than 32 bits, which no section is.
fn leb(value: usize) -> Option<Vec<u8>> {
    let mut rest = u32::try_from(value).ok()?;
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(rest & 0x7f).ok()?;
        rest >>= 7;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            return Some(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project with these files in `migrations/`, and what is read from it.
    fn read_with(files: &[&str]) -> anyhow::Result<Vec<u32>> {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| fs::write(dir.path().join(file), "SELECT 1").unwrap());
        Ok(read(dir.path())?.iter().map(|migration| migration.version).collect())
    }

    #[test]
    fn files_are_read_in_the_order_of_their_versions() {
        let files: Vec<_> = (1..=11).rev().map(|version| format!("V{version}__x.sql")).collect();
        let files: Vec<_> = files.iter().map(String::as_str).chain(["README.md"]).collect();
        assert_eq!(read_with(&files).unwrap(), (1..=11).collect::<Vec<_>>());
        assert_eq!(read_with(&[]).unwrap(), Vec::<u32>::new());
    }

    #[test]
    fn a_mistake_in_the_folder_is_told() {
        for (files, why) in [
            (&["V1__a.sql", "V3__b.sql"][..], "V3__b.sql comes after V1 without a V2 between"),
            (&["V2__b.sql"], "V2__b.sql comes after V0 without a V1 between"),
            (&["V1__a.sql", "V01__b.sql"], "two migrations have the version 1"),
            (&["init.sql"], "init.sql is not named like V1__init.sql"),
            (&["V0__a.sql"], "V0__a.sql is not named like"),
            (&["V1__a b.sql"], "V1__a b.sql is not named like"),
        ] {
            let error = read_with(files).unwrap_err().to_string();
            assert!(error.contains(why), "{files:?}: {error}");
        }
    }

    #[test]
    fn lengths_are_written_as_they_are_read() {
        for value in [0, 1, 127, 128, 300, 1 << 20, u32::MAX as usize] {
            let bytes = [leb(value).unwrap(), vec![9]].concat();
            assert_eq!(read_leb(&bytes), Some((value, &[9][..])), "{value}");
        }
        assert_eq!(read_leb(&[0x80, 0x80]), None);
        assert_eq!(read_leb(&[0x80, 0x80, 0x80, 0x80, 0x80, 1]), None);
    }

    #[test]
    fn a_second_build_replaces_what_the_first_put_in() {
        let component = b"\0asm\x0d\0\x01\0\0\x05\x03abcd\x01\x02xy".to_vec();
        let migration = |file: &str, sql: &str| Migration { version: 1, file: file.into(), sql: sql.into() };
        let long = "x".repeat(300);
        let first = with(&component, &[migration("V1__a.sql", "one"), migration("V2__b.sql", &long)]).unwrap();
        assert!(first.starts_with(&component), "what was there stays");
        assert!(first.ends_with(long.as_bytes()));
        let again = with(&first, &[migration("V1__a.sql", "two")]).unwrap();
        let section = [&b"\0\x1f\x1bstation:migration/V1__a.sql"[..], b"two"].concat();
        assert_eq!(again, [component.clone(), section].concat());
        assert_eq!(with(&again, &[]).unwrap(), component);
    }

    #[test]
    fn what_is_no_component_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let component = dir.path().join("x.wasm");
        for bytes in [&b"\0asm"[..], b"\0asm\x0d\0\x01\0\0\x7fabc"] {
            fs::write(&component, bytes).unwrap();
            embed(dir.path(), &component).unwrap();
            fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
            assert!(embed(dir.path(), &component).unwrap_err().to_string().ends_with("is not a component"));
            assert_eq!(fs::read(&component).unwrap(), bytes);
            fs::remove_dir(dir.path().join(FOLDER)).unwrap();
        }
    }
}
