//! `station new`: makes a project with its WIT and one build command.
//!
//! The templates are the folders of `guest-modules/templates`, carried in the binary, so that nothing is fetched.
//! A file that is already there is never overwritten.

use crate::{out, project::Language, session, templates};
use anyhow::{Context, bail};
use station_model::ModuleName;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

const AFTER: &str = "\
Examples:
  station new hello --lang rust
  station new hello --lang python --dir services/hello

Then, in the new folder: `station build`, `station deploy`; its README has every step.";

/// Make a new project with its WIT and one build command
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The module's name: a-z, 0-9 and -
    #[arg(value_name = "NAME", value_parser = templates::name)]
    name: ModuleName,
    /// The language
    #[arg(long, value_name = "LANG", value_enum)]
    lang: Language,
    /// Where to make it [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Args {
    /// Writes the project and says what to do next.
    pub(crate) fn run(self) -> ExitCode {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        let made = make(&dir, &self.name, self.lang).and_then(|()| Ok(out::line(&dir.display().to_string())?));
        if made.is_ok() {
            out::say(&next(&dir, &self.name));
        }
        session::ended(made, false)
    }
}

fn next(dir: &Path, name: &ModuleName) -> String {
    let dir = dir.display();
    format!(
        "next:\n  component=$(station build {dir})\n  station deploy \"$component\" --name {name}\n  \
         station call {name} {name}:{name}/greeter@0.1.0#greet '(\"Ada\")'"
    )
}

fn make(dir: &Path, name: &ModuleName, language: Language) -> anyhow::Result<()> {
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        bail!("{} is not empty; choose another folder with --dir", dir.display());
    }
    for (path, text) in templates::files(language) {
        let path = dir.join(templates::filled(path, name));
        write(&path, &templates::filled(text, name)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Writes a file that does not exist yet, with its folders.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_of_every_language_is_made_and_recognised() {
        use clap::ValueEnum;
        for &language in Language::value_variants() {
            let parent = tempfile::tempdir().unwrap();
            let dir = parent.path().join("my-module");
            make(&dir, &"my-module".parse().unwrap(), language).unwrap();
            assert_eq!(Language::of(&dir).unwrap(), language);
            assert!(dir.join("wit").is_dir(), "{language:?} has its WIT");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "").unwrap();
        assert!(make(dir.path(), &"m".parse().unwrap(), Language::Rust).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
