//! `cargo xtask dist`: the program as it is published, in `target/dist/station`.
//!
//! It is built twice. First so that it counts which branches are taken, while `benches/training.rs` does with it what
//! stations do all day; then once more, with link-time optimisation, by what was counted. A compiler that knows what is
//! taken often lays it out in a row and keeps what is rare out of the way; see
//! `docs/decisions/0027-what-is-published-is-trained.md`.
//!
//! Only what is built for the host's own target by name gets the flags, so that build scripts and macros, which run while
//! something is being built, count nothing.

use crate::repo::{self, asked, cargo, command, run, say};
use crate::{bench, guests, setup};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// What the training calls beside those of [`bench::GUESTS`].
const GUESTS: [&str; 6] = ["bank-ledger", "bank-teller", "sql-runner", "kv-draft2", "events-runner", "dossiers"];
const PROFILE: &str = "fat";
/// Builds the program and its training, and runs that. Without running it this is how the program is built that is
/// published, because dependencies have other features in a program alone, and what was counted of others is lost.
const TRAINING: [&str; 8] = ["bench", "--locked", "--package", "station", "--bench", "training", "--profile", PROFILE];
const NO_RUN: &str = "--no-run";
/// The programs that count are linked without optimisation. Counters are put in before that, so they count the same.
const COUNTING: [&str; 2] = ["-Clto=off", "-Clinker-plugin-lto=no"];
const EXTENSION: &str = "profdata";
/// Without it the training does nothing.
const WANTED: &str = "STATION_TRAINING";
const ENCODED: &str = "CARGO_ENCODED_RUSTFLAGS";
const SEPARATOR: &str = "\u{1f}";

/// What the person chose.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Skip the training and build by what the last one has counted, if there was one with this compiler
    #[arg(long)]
    keep_counts: bool,
}

/// What a training has counted, and how to build by it.
pub(crate) struct Counts {
    file: PathBuf,
    host: String,
}

/// Trains, builds, and says where the program is.
///
/// # Errors
/// When something does not build or the training fails.
pub(crate) fn build(options: &Options) -> Result<()> {
    let counts = if options.keep_counts { Counts::kept_or_new()? } else { Counts::new()? };
    say("==> building the program by what was counted (a quarter of an hour on two cores)");
    run(counts.apply(cargo(&TRAINING).arg(NO_RUN)))?;
    // The old one may be running, and stays until it is known that the new one does.
    let (program, new) = (folder().join("station"), folder().join("station.new"));
    // Names stay, for backtraces and `perf`; lines of source are three quarters of the file, and stay in cargo's own copy.
    let strip = setup::llvm_tool("llvm-strip", &counts.host)?;
    run(Command::new(strip).arg("--strip-debug").arg("-o").arg(&new).arg(counts.program()))?;
    let version = asked(Command::new(&new).arg("--version")).context("the program that was built does not start")?;
    std::fs::rename(&new, &program).with_context(|| format!("replacing {}", program.display()))?;
    say(&format!("\n{version}: {}", program.display()));
    Ok(())
}

/// Does what a training does with a program that was built for tests and counts nothing, so that a training that breaks is
/// seen before somebody wants to publish.
///
/// # Errors
/// When the training fails.
pub(crate) fn rehearse() -> Result<()> {
    let training = ["bench", "--locked", "--workspace", "--bench", "training", "--profile", "dev"];
    run(cargo(&training).env(WANTED, "1"))
}

impl Counts {
    /// Those of the last training with this compiler; a new training where there was none.
    ///
    /// # Errors
    /// As [`Counts::new`].
    pub(crate) fn kept_or_new() -> Result<Self> {
        let compiler = compiler()?;
        let Some(file) = profiles(&folder()).filter(|file| is_of(file, &compiler)).max() else { return Self::new() };
        let counts = Self { file, host: compiler.host };
        say(&format!("by what was counted before: {} (`cargo xtask dist` counts anew)", counts.name()));
        Ok(counts)
    }

    /// Builds what counts, lets it work, and merges what each process has written.
    ///
    /// # Errors
    /// When something is missing, does not build or does not do its work.
    pub(crate) fn new() -> Result<Self> {
        let (compiler, folder) = (compiler()?, folder());
        let merge = setup::llvm_tool("llvm-profdata", &compiler.host)?;
        setup::wasm_target()?;
        guests::run(&bench::GUESTS.iter().chain(&GUESTS).map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        let raw = folder.join("raw");
        if raw.exists() {
            std::fs::remove_dir_all(&raw).with_context(|| format!("emptying {}", raw.display()))?;
        }
        std::fs::create_dir_all(&raw)?;
        train(&raw, &compiler.host)?;
        let file = folder.join(name(&compiler)?);
        // Sparse: without those that never ran, or the compiler would make them small instead of quick.
        run(Command::new(merge).args(["merge", "--sparse", "-o"]).arg(&file).arg(&raw))?;
        std::fs::remove_dir_all(&raw)?;
        for older in profiles(&folder).filter(|other| *other != file) {
            std::fs::remove_file(&older).with_context(|| format!("removing {}", older.display()))?;
        }
        Ok(Self { file, host: compiler.host })
    }

    /// Has a cargo command build by these counts.
    pub(crate) fn apply<'a>(&self, cargo: &'a mut Command) -> &'a mut Command {
        flagged(cargo, &self.host, &[&format!("-Cprofile-use={}", self.file.display())])
    }

    /// Where such a build leaves the program.
    pub(crate) fn program(&self) -> PathBuf {
        repo::target().join(&self.host).join(PROFILE).join("station")
    }

    /// When they were counted, of which commit and by which compiler.
    pub(crate) fn name(&self) -> String {
        self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Builds what counts, and lets it work.
fn train(raw: &Path, host: &str) -> Result<()> {
    let generate = format!("-Cprofile-generate={}", raw.display());
    let flags = [&[generate.as_str()], &COUNTING[..]].concat();
    say("==> building a program that counts which branches are taken (a quarter of an hour on two cores)");
    run(flagged(cargo(&TRAINING).arg(NO_RUN), host, &flags))?;
    say("==> training: calls, instances, requests, writes, uploads (a minute)");
    // Who sets the second one wants the counts of another program, elsewhere.
    run(flagged(&mut cargo(&TRAINING), host, &flags).env(WANTED, "1").env_remove("LLVM_PROFILE_FILE"))
}

/// Where the program goes, and what was counted for it.
fn folder() -> PathBuf {
    repo::target().join("dist")
}

/// Flags for what is built for this target, beside those that the person has in the environment. Those of a `config.toml`
/// do not count then, which is cargo's rule.
fn flagged<'a>(cargo: &'a mut Command, host: &str, flags: &[&str]) -> &'a mut Command {
    // Between flags there is a separator of their own, so that a path may have spaces.
    let plain = || std::env::var("RUSTFLAGS").map(|flags| flags.split_whitespace().collect::<Vec<_>>().join(SEPARATOR));
    let wanted = std::env::var(ENCODED).or_else(|_| plain()).unwrap_or_default();
    let all: Vec<&str> = wanted.split(SEPARATOR).chain(flags.iter().copied()).filter(|flag| !flag.is_empty()).collect();
    cargo.env(ENCODED, all.join(SEPARATOR)).args(["--target", host])
}

/// What counts depend on beside the sources.
struct Compiler {
    host: String,
    release: String,
}

fn compiler() -> Result<Compiler> {
    let about = asked(command("rustc").arg("-vV")).context("rustc is not installed")?;
    let of = |key: &str| {
        let found = about.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        found.with_context(|| format!("rustc does not say its {key}"))
    };
    Ok(Compiler { host: of("host: ")?, release: of("release: ")? })
}

/// `<seconds since 1970>-<commit>-rustc-<release>.profdata`. A name of its own for each training, because cargo builds
/// nothing anew for a file that has changed within.
fn name(compiler: &Compiler) -> Result<String> {
    let age = std::time::SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let commit = asked(command("git").args(["rev-parse", "--short=7", "HEAD"])).unwrap_or_else(|| "unknown".to_owned());
    Ok(format!("{age}-{commit}-rustc-{}.{EXTENSION}", compiler.release))
}

fn is_of(file: &Path, compiler: &Compiler) -> bool {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    name.ends_with(&format!("-rustc-{}", compiler.release))
}

/// What trainings have counted, in a folder that may not be there.
fn profiles(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == EXTENSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_another_compiler_are_not_used() {
        let compiler = |release: &str| Compiler { host: "here".to_owned(), release: release.to_owned() };
        let file = PathBuf::from(name(&compiler("1.95.0")).unwrap());
        assert!(is_of(&file, &compiler("1.95.0")));
        assert!(!is_of(&file, &compiler("1.96.0")) && !is_of(&file, &compiler("5.0")));
    }

    #[test]
    fn flags_are_for_this_target_and_paths_may_have_spaces() {
        let mut cargo = Command::new("cargo");
        flagged(&mut cargo, "x86_64-unknown-linux-gnu", &["-Cprofile-use=/a folder/x", "-Clto=off"]);
        let set: Vec<_> = cargo.get_envs().filter(|(name, _)| *name == ENCODED).collect();
        let value = set[0].1.unwrap().to_str().unwrap();
        assert!(value.ends_with("-Cprofile-use=/a folder/x\u{1f}-Clto=off"), "{value}");
        assert!(cargo.get_args().eq(["--target", "x86_64-unknown-linux-gnu"]));
    }
}
