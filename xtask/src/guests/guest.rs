//! What guests there are.
//!
//! A folder with a `Cargo.toml` is a Rust guest. Guests in other languages have a `guest.json`, because neither
//! npm's nor Python's own project file can say which world is meant and which shared WIT it needs.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The language of a guest, which decides the tools that build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// cargo, target wasm32-wasip2.
    Rust,
    /// componentize-qjs or componentize-js from npm.
    Js,
    /// componentize-py from PyPI.
    Python,
    /// None: other guests, put together by wasm-tools from PyPI.
    Composed,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::Composed => "no language, being composed",
        })
    }
}

/// A guest's folder and how to build it.
#[derive(Debug)]
pub(super) struct Guest {
    /// The folder's name, which is also the component's.
    pub(super) name: String,
    /// The folder.
    pub(super) folder: PathBuf,
    /// What builds it.
    pub(super) language: Language,
    /// What `guest.json` says; empty for Rust.
    pub(super) recipe: Recipe,
}

/// What `guest.json` says, or for a composed guest the list of them.
#[derive(Debug, Default)]
pub(super) struct Recipe {
    /// The componentizer, which is also the folder below `toolchains` that holds its lock file.
    pub(super) tool: String,
    /// The world in the guest's own `wit` folder.
    pub(super) world: String,
    /// The main source file (JavaScript) or module (Python).
    pub(super) source: String,
    /// Folders of shared WIT packages that the world needs.
    pub(super) wit: Vec<PathBuf>,
    /// Further arguments for the componentizer.
    pub(super) arguments: Vec<String>,
    /// The guests that it is composed of, the one that keeps its exports first.
    pub(super) parts: Vec<String>,
}

/// All guests, sorted by name.
pub(super) fn discover(sources: &Path) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for suite in ["fixtures", "examples"] {
        let folder = sources.join(suite);
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            guests.extend(read(&entry?.path())?);
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// The guest in a folder; none when the folder holds no guest.
fn read(folder: &Path) -> Result<Option<Guest>> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let manifest = folder.join("guest.json");
    let (language, recipe) = if folder.join("Cargo.toml").is_file() {
        (Language::Rust, Recipe::default())
    } else if manifest.is_file() {
        let text = std::fs::read_to_string(&manifest)?;
        parse(folder, &text).with_context(|| format!("reading {}", manifest.display()))?
    } else {
        return Ok(None);
    };
    Ok(Some(Guest { name, folder: folder.to_path_buf(), language, recipe }))
}

fn parse(folder: &Path, text: &str) -> Result<(Language, Recipe)> {
    let json: Value = serde_json::from_str(text)?;
    let text = |key: &str| {
        let text = json.get(key).and_then(Value::as_str);
        text.map(str::to_owned).with_context(|| format!("`{key}` is missing"))
    };
    let tool = text("tool")?;
    let language = match tool.as_str() {
        "componentize-qjs" | "componentize-js" => Language::Js,
        "componentize-py" => Language::Python,
        other => bail!("`tool` is {other:?}; it must be componentize-qjs, componentize-js or componentize-py"),
    };
    let recipe = Recipe {
        tool,
        world: text("world")?,
        source: text("source")?,
        wit: list(&json, "wit").into_iter().map(|path| folder.join(path)).collect(),
        arguments: list(&json, "arguments"),
        parts: Vec::new(),
    };
    Ok((language, recipe))
}

fn list(json: &Value, key: &str) -> Vec<String> {
    let items = json.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
