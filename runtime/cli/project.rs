//! A module's project on disk: which language it is in, and how it is built.
//!
//! Each language has one build command, and its template says it in its README too, so that nobody needs
//! `station build`. The language of a folder is told by the file that every project of it has.

use crate::{migrations, out};
use anyhow::{Context, bail};
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The languages that `station new` makes projects in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// Rust with wit-bindgen.
    Rust,
    /// JavaScript with componentize-qjs.
    Js,
    /// Python with componentize-py.
    Python,
}

/// One program to run in the project's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    program: PathBuf,
    arguments: Vec<String>,
    /// What to do when there is no such program.
    missing: &'static str,
}

impl Step {
    fn new(program: impl Into<PathBuf>, arguments: &str, missing: &'static str) -> Self {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { program: program.into(), arguments, missing }
    }

    /// As somebody would type it.
    fn shown(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        format!("{program} {}", self.arguments.join(" "))
    }
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::Js, Self::Python];

    /// The file that every project of the language has.
    fn marker(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Js => "package.json",
            Self::Python => "requirements.txt",
        }
    }

    /// The language of the project in `dir`.
    pub(crate) fn of(dir: &Path) -> anyhow::Result<Self> {
        match Self::ALL.into_iter().find(|language| dir.join(language.marker()).is_file()) {
            Some(language) => Ok(language),
            None => {
                let markers: Vec<_> = Self::ALL.iter().map(|language| language.marker()).collect();
                bail!("{} is no project of a known language: it has none of {}", dir.display(), markers.join(", "))
            }
        }
    }

    /// What to run in `dir`: first what is needed once and not there yet, then the build.
    fn steps(self, dir: &Path) -> anyhow::Result<Vec<Step>> {
        match self {
            Self::Rust => Ok(vec![cargo()]),
            Self::Js => Ok(npm(dir)),
            Self::Python => python(dir),
        }
    }
}

/// The message format makes cargo say on stdout what it built, wherever its target folder is.
fn cargo() -> Step {
    let arguments = "build --release --target wasm32-wasip2 --message-format json-render-diagnostics";
    Step::new("cargo", arguments, "install Rust from https://rustup.rs, then `rustup target add wasm32-wasip2`")
}

fn npm(dir: &Path) -> Vec<Step> {
    let step = |arguments| Step::new("npm", arguments, "install Node.js 20 or newer");
    // npm writes this file last, so an installation that was cut off is made again.
    match dir.join("node_modules/.package-lock.json").is_file() {
        true => vec![step("run build")],
        false => vec![step("install"), step("run build")],
    }
}

fn python(dir: &Path) -> anyhow::Result<Vec<Step>> {
    let programs = std::path::absolute(dir).context("finding the project's folder")?.join(".venv/bin");
    let tool = programs.join("componentize-py");
    let mut steps = Vec::new();
    if !tool.is_file() {
        steps.push(Step::new("python3", "-m venv .venv", "install Python 3.10 or newer with venv"));
        let install = "install --require-hashes --requirement requirements.txt";
        steps.push(Step::new(programs.join("pip"), install, "the environment in .venv has no pip; remove it"));
    }
    let name = package(dir).unwrap_or_else(|| "module".to_owned());
    let build = format!("--wit-path wit --world module componentize app --python-path src --output {name}.wasm");
    steps.push(Step::new(tool, &build, "requirements.txt does not install componentize-py"));
    Ok(steps)
}

/// The name of the WIT package in the project, which its component is called after.
fn package(dir: &Path) -> Option<String> {
    let wit = std::fs::read_to_string(dir.join("wit/world.wit")).ok()?;
    let package = wit.lines().find_map(|line| line.trim().strip_prefix("package "))?;
    let name = package.split(['@', ';']).next()?.split(':').next_back()?.trim();
    name.parse::<station_model::ModuleName>().ok().map(|name| name.to_string())
}

/// Builds the project in `dir`, puts its migrations into the component, and says where that is.
///
/// # Errors
/// When the language is not known, a program is missing or fails, it made no component, or the migrations are not as
/// they must be.
pub(crate) fn build(dir: &Path) -> anyhow::Result<PathBuf> {
    let language = Language::of(dir)?;
    let mut said = String::new();
    for step in language.steps(dir)? {
        said = run(&step, dir)?;
    }
    let built = match language {
        Language::Rust => cargo_artifact(&said),
        Language::Js | Language::Python => newest_wasm(dir),
    };
    let component = built.with_context(|| format!("the build of {} made no .wasm file", dir.display()))?;
    migrations::embed(dir, &component)?;
    Ok(component)
}

/// Runs a step; what it says goes to stderr, except what cargo says on stdout, which is for us.
fn run(step: &Step, dir: &Path) -> anyhow::Result<String> {
    let shown = step.shown();
    out::say(&format!("{}: {shown}", dir.display()));
    let for_us = step.arguments.iter().any(|argument| argument == "--message-format");
    let mut command = Command::new(&step.program);
    command.args(&step.arguments).current_dir(dir).stdin(Stdio::null());
    command.stdout(if for_us { Stdio::piped() } else { Stdio::from(std::io::stderr()) });
    let started = command.spawn();
    let mut child = started.with_context(|| format!("cannot run {}: {}", step.program.display(), step.missing))?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said).with_context(|| format!("reading what `{shown}` says"))?;
    }
    let status = child.wait().with_context(|| format!("waiting for `{shown}`"))?;
    match status.success() {
        true => Ok(said),
        false => bail!("`{shown}` failed ({status}); what it said is above"),
    }
}

/// The last component that cargo says it made.
fn cargo_artifact(said: &str) -> Option<PathBuf> {
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files = messages.flat_map(|message| match message.get("filenames") {
        Some(serde_json::Value::Array(files)) => files.clone(),
        _ => Vec::new(),
    });
    let mut paths = files.filter_map(|file| file.as_str().map(PathBuf::from));
    paths.rfind(|path| path.extension().is_some_and(|ending| ending == "wasm"))
}

/// The component that was written last.
fn newest_wasm(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let components = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "wasm"));
    components.max_by_key(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_language() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Language::of(dir.path()).unwrap_err().to_string().contains("Cargo.toml, package.json"));
        std::fs::write(dir.path().join("package.json"), "{}").unwrap();
        assert_eq!(Language::of(dir.path()).unwrap(), Language::Js);
    }

    #[test]
    fn cargo_says_where_the_component_is() {
        let said = "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/libx.rlib\"]}\n\
                    {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/x.wasm\"]}\n\
                    {\"reason\":\"build-finished\",\"success\":true}\nnot json\n";
        assert_eq!(cargo_artifact(said), Some(PathBuf::from("/t/x.wasm")));
        assert_eq!(cargo_artifact(""), None);
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let step = Step::new("no-such-program-of-station", "", "install it");
        let error = run(&step, Path::new(".")).unwrap_err();
        assert!(error.to_string().ends_with("install it"), "{error:#}");
    }

    #[test]
    fn a_failing_program_fails_the_build() {
        let error = run(&Step::new("false", "", ""), Path::new(".")).unwrap_err();
        assert!(error.to_string().contains("failed"), "{error:#}");
    }

    #[test]
    fn what_is_needed_once_is_done_once() {
        let dir = tempfile::tempdir().unwrap();
        let steps = |language: Language| language.steps(dir.path()).unwrap().len();
        assert_eq!((steps(Language::Js), steps(Language::Python)), (2, 3));
        for file in ["node_modules/.package-lock.json", ".venv/bin/componentize-py"] {
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        assert_eq!((steps(Language::Js), steps(Language::Python)), (1, 1));
    }

    #[test]
    fn a_component_is_called_after_its_package() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("wit")).unwrap();
        for (wit, name) in [("package a:case-files@0.1.0;\n", Some("case-files")), ("package a:../x;", None)] {
            std::fs::write(dir.path().join("wit/world.wit"), format!("// w\n{wit}")).unwrap();
            assert_eq!(package(dir.path()).as_deref(), name);
        }
    }
}
