//! `cargo xtask guests [NAME...]`: builds the guest modules that tests, examples and benches run.
//!
//! A guest is a folder below `guest-modules/fixtures` or `guest-modules/examples`. Without names every guest is
//! wanted; with names only those. A guest whose inputs have not changed since its last build is left alone (see
//! [`stamp`]). Components land in `target/guest-modules/<name>.wasm`; nothing is installed outside `target/`.
//!
//! A machine without node or Python still builds the Rust guests: when no names are given, a language whose tools
//! are missing is skipped and the reason printed. A guest asked for by name must build, or this fails. Guests that are
//! composed of others (see [`composed`]) are built only by name, after the guests that they are made of.

mod composed;
mod guest;
mod js;
mod python;
mod rust;
mod stamp;
mod toolchain;
mod tools;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::repo;
use guest::{Guest, Language};

/// Where things are; all of it inside the repository.
struct Places {
    /// The repository.
    root: PathBuf,
    /// The finished components.
    components: PathBuf,
    /// Cargo's target folder for the Rust guests, shared by all of them.
    build: PathBuf,
    /// The JavaScript and Python tools, by lock file.
    toolchains: PathBuf,
}

impl Places {
    fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?.to_path_buf();
        let target = repo::target();
        Ok(Self {
            components: target.join("guest-modules"),
            build: target.join("guests-build"),
            toolchains: target.join("guest-toolchains"),
            root,
        })
    }

    /// The sources of all guests.
    fn sources(&self) -> PathBuf {
        self.root.join("guest-modules")
    }

    /// Where the component of a guest goes.
    fn component(&self, name: &str) -> PathBuf {
        self.components.join(format!("{name}.wasm"))
    }
}

/// Builds the named guests, or all that are not composed of others, as far as they are stale.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let places = Places::new()?;
    let wanted = select(guest::discover(&places.sources())?, composed::all(), names)?;
    std::fs::create_dir_all(&places.components)?;
    build_stale(&places, wanted.guests, names.is_empty())?;
    match wanted.composed.is_empty() {
        true => Ok(()),
        false => build_stale(&places, wanted.composed, false),
    }
}

/// Builds what is stale of these guests. `lenient`: skips those whose tools are missing.
fn build_stale(places: &Places, wanted: Vec<Guest>, lenient: bool) -> Result<()> {
    let total = wanted.len();
    let stale = stale(places, wanted)?;
    say(&format!("{total} guests wanted, {} to build", stale.len()));

    let mut ready = Vec::new();
    for language in [Language::Rust, Language::Js, Language::Python, Language::Composed] {
        let guests: Vec<&Guest> = stale.iter().filter(|guest| guest.language == language).collect();
        if guests.is_empty() {
            continue;
        }
        match tools::check(language) {
            Ok(()) => ready.push((language, guests)),
            Err(missing) if lenient => say(&format!("skipped, {} in {language}: {missing:#}", guests.len())),
            Err(missing) => return Err(missing),
        }
    }
    ready.iter().try_for_each(|(language, guests)| build(places, *language, guests))
}

fn build(places: &Places, language: Language, guests: &[&Guest]) -> Result<()> {
    match language {
        Language::Rust => rust::build(places, guests),
        Language::Js => js::build(places, guests),
        Language::Python => python::build(places, guests),
        Language::Composed => composed::build(places, guests),
    }
}

/// What is wanted, in the order in which it is built.
struct Wanted {
    guests: Vec<Guest>,
    composed: Vec<Guest>,
}

/// Keeps the guests with these names and the parts of the composed ones; without names all but the composed ones.
/// Every unknown name is reported.
fn select(all: Vec<Guest>, composed: Vec<Guest>, names: &[String]) -> Result<Wanted> {
    let known = || all.iter().chain(&composed).map(|guest| guest.name.as_str());
    let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| known().all(|it| it != *name)).collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = known().collect();
        bail!("no guest is named {}; there are: {}", unknown.join(", "), known.join(", "));
    }
    let composed: Vec<Guest> = composed.into_iter().filter(|guest| names.contains(&guest.name)).collect();
    let is_part = |name: &String| composed.iter().any(|guest| guest.recipe.parts.contains(name));
    let asked = |guest: &Guest| names.is_empty() || names.contains(&guest.name) || is_part(&guest.name);
    Ok(Wanted { guests: all.into_iter().filter(asked).collect(), composed })
}

fn stale(places: &Places, guests: Vec<Guest>) -> Result<Vec<Guest>> {
    let mut stale = Vec::new();
    for guest in guests {
        if !stamp::is_fresh(places, &guest)? {
            stale.push(guest);
        }
    }
    Ok(stale)
}

/// Puts a finished component where the tests look for it, remembers what it was built from, and says so.
///
/// The rename makes the component appear whole: a test that runs meanwhile sees the old one or the new one.
fn publish(places: &Places, guest: &Guest, built: &Path, took: Duration) -> Result<()> {
    let target = places.component(&guest.name);
    let half = target.with_extension("wasm.part");
    std::fs::copy(built, &half).with_context(|| format!("copying {}", built.display()))?;
    std::fs::rename(&half, &target)?;
    stamp::write(places, guest)?;
    let kib = std::fs::metadata(&target)?.len().div_ceil(1024);
    say(&format!("{:<24} {:>6.1} s {kib:>8} KiB", guest.name, took.as_secs_f64()));
    Ok(())
}

/// Runs a step and publishes what it made, with the time it took.
fn publish_timed(places: &Places, guest: &Guest, step: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
    let start = Instant::now();
    let built = step().with_context(|| format!("building {}", guest.name))?;
    publish(places, guest, &built, start.elapsed())
}

/// Tells the person at the terminal what happens; stdout stays free for data.
#[expect(clippy::print_stderr, reason = "xtask talks to a person, and this is its only voice here")]
fn say(line: &str) {
    eprintln!("{line}");
}
