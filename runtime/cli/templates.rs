//! The files of a new project, carried in the binary.
//!
//! They are the folders of `guest-modules/templates`, with `{{name}}` for the module's name and `{{name_snake}}`
//! for the same with `_`. A test fails when a file of those folders is not listed here.

use crate::project::Language;
use station_model::ModuleName;

/// A path inside the project and its text, both with placeholders.
type File = (&'static str, &'static str);

macro_rules! files {
    ($language:literal: $($path:literal)*) => {
        &[$((
            $path,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/guest-modules/templates/", $language, "/", $path)),
        )),*]
    };
}

const RUST: &[File] = files!("rust": ".gitignore" "Cargo.toml" "README.md" "src/lib.rs" "wit/world.wit");
const JS: &[File] =
    files!("js": ".gitignore" ".npmrc" "README.md" "app.js" "package-lock.json" "package.json" "wit/world.wit");
const PYTHON: &[File] = files!("python": ".gitignore" "README.md" "requirements.txt" "src/app.py" "wit/world.wit");

/// Words of WIT and Rust, which a generated file could not use as a name.
const WORDS: &str = "as async await bool borrow box break char const constructor continue crate do dyn else enum error \
    export extern false final flags fn for from func future if impl import in include interface let list loop macro \
    map match mod module move mut option own package priv pub record ref resource result return self static stream \
    string struct super test trait true try tuple type typeof union unsafe unsized use variant virtual where while \
    with world yield core alloc std proc-macro s8 s16 s32 s64 u8 u16 u32 u64 f32 f64 abstract become gen override \
    wit-bindgen exports";

/// The files of a new project in `language`.
pub(crate) fn files(language: Language) -> &'static [File] {
    match language {
        Language::Rust => RUST,
        Language::Js => JS,
        Language::Python => PYTHON,
    }
}

/// The text with the module's name in it.
pub(crate) fn filled(text: &str, name: &ModuleName) -> String {
    text.replace("{{name_snake}}", &name.as_str().replace('-', "_")).replace("{{name}}", name.as_str())
}

/// Reads the name of a new project, which is also the name of a WIT package and of a Rust module.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn name(text: &str) -> Result<ModuleName, String> {
    let name: ModuleName = text.parse().map_err(|invalid: station_model::Invalid| invalid.to_string())?;
    if WORDS.split_whitespace().any(|word| word == text) {
        return Err("is a word of WIT or of Rust, which the project could not use as a name; choose another".to_owned());
    }
    match text.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) {
        true => Ok(name),
        false => Err("as the name of a WIT package, every word between `-` must begin with a letter".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::path::Path;

    fn walk(folder: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, base, found),
                false => found.push(path.strip_prefix(base).unwrap().display().to_string()),
            }
        }
    }

    #[test]
    fn every_file_of_the_templates_is_listed() {
        for &language in Language::value_variants() {
            let name = language.to_possible_value().unwrap();
            let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-modules/templates").join(name.get_name());
            let mut found = Vec::new();
            walk(&base, &base, &mut found);
            found.sort();
            let listed: Vec<_> = files(language).iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(listed, found, "{}", base.display());
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        let name: ModuleName = "case-files".parse().unwrap();
        for &language in Language::value_variants() {
            for (path, text) in files(language) {
                let filled = filled(text, &name);
                assert!(!filled.contains("{{"), "{path}: {filled}");
            }
        }
    }

    #[test]
    fn names_that_no_project_could_have_are_refused() {
        for text in ["type", "list", "a--b", "m-2", "A", "", "station", "test"] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name("case-files2").is_ok());
    }
}
