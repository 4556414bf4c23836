//! `cargo xtask instructions`: counts the instructions of brokered calls under callgrind and fails when one differs from
//! `benches/instructions.json` by more than 3 %, more or fewer: a gain that nobody wrote down is lost unseen.
//! `--accept` writes the new counts.
//!
//! A count depends on the compiler and on the C library, and means nothing beside one of another: where they differ from
//! those of the baseline, nothing is judged, and this says so. Processors differ little, because callgrind shows the
//! program one without the newest instructions.
//!
//! A scalar call must not ask for memory at all, whatever the compiler.
//!
//! The program is built with the profile `dev`, whose dependencies the tests have built already, but with our crates
//! optimised. So counts are for comparison among themselves; times are the business of `cargo xtask bench`.

mod allocations;

use crate::guests;
use crate::repo::{self, asked, cargo, command, run, say};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A tenth of the turns between few and many scalar calls: what other threads of the station may ask for meanwhile.
const STRAY: u64 = 200;
/// A count may differ by so much.
const TOLERANCE: f64 = 0.03;
const BASELINE: &str = "benches/instructions.json";
const GUESTS: [&str; 7] = [
    "payload-source",
    "payload-sink",
    "payload-clerk",
    "payload-rows",
    "resource-user",
    "resource-counter",
    "resource-third",
];
/// Three of the cases, of which the first without the others is the cost of a savepoint.
const SAVEPOINT: [&str; 3] = [
    "call that writes a row, behind a savepoint",
    "call that writes nothing, in a unit of work",
    "row written by the root call, no savepoint",
];
const OF_SAVEPOINT: &str = "savepoint alone (the second of these minus the first and the third)";
/// The first case.
const WITHOUT_MEMORY: &str = "scalar";
/// What the bench cannot do without, where it fails with `the compiled code does not fit the engine`.
const NATIVE: &str = "callgrind shows a program no AVX-512, so the engine may not compile for it";
const ACCEPT: &str = "`cargo xtask instructions --accept` writes the new counts; say in the commit why they changed";

/// Counts by case.
type Counts = Vec<(String, f64)>;

/// Counts and compares, or writes the baseline anew.
///
/// # Errors
/// When valgrind is missing, something does not build, or a count differs.
pub(crate) fn count(accept: bool) -> Result<()> {
    let valgrind = asked(command("valgrind").arg("--version"))
        .context("valgrind is missing; install it (Debian: the package `valgrind`) and run this again")?;
    guests::run(&GUESTS.map(str::to_owned))?;
    let program = build()?;
    let counts = measure(&program)?;
    asks_for_nothing(&counts)?;
    let here = here(&valgrind);
    let file = repo::root().join(BASELINE);
    if accept {
        return write(&file, &here, &counts);
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("{BASELINE} is missing; {ACCEPT}"))?;
    judge(&serde_json::from_str(&text)?, &here, &counts)
}

/// The same as a part of all tests, which has nothing to say as long as there is no baseline.
///
/// # Errors
/// As [`count`].
pub(crate) fn guard() -> Result<()> {
    if repo::root().join(BASELINE).is_file() {
        return count(false);
    }
    say(&format!("{BASELINE} is missing, so nothing guards the instructions of calls; {ACCEPT}"));
    Ok(())
}

/// What a count depends on.
fn here(valgrind: &str) -> Value {
    let libc = asked(command("ldd").arg("--version"));
    json!({
        "rustc": asked(command("rustc").arg("--version")),
        "libc": libc.and_then(|text| text.lines().next().map(str::to_owned)),
        "valgrind": valgrind,
    })
}

/// Builds the bench and the station that compiles for it; answers where the bench is. Of the whole workspace, because
/// the features of dependencies are then those that the tests have built.
fn build() -> Result<PathBuf> {
    let mut build = cargo(&["bench", "--no-run", "--locked", "--workspace", "--bench", "instructions"]);
    build.args(["--profile", "dev", "--config", "profile.dev.opt-level=2", "--message-format=json-render-diagnostics"]);
    let output = build.stderr(Stdio::inherit()).output().context("starting cargo")?;
    ensure!(output.status.success(), "the bench does not build; cargo's messages are above");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(built).context("cargo has built no bench")
}

/// The bench's program, from a message of cargo's.
fn built(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_bench = message.get("target")?.get("name")?.as_str()? == "instructions";
    let program = message.get("executable")?.as_str().filter(|_| is_bench)?;
    Some(PathBuf::from(program))
}

/// Runs it under callgrind and divides what was counted by the turns.
fn measure(program: &Path) -> Result<Counts> {
    let folder = repo::target().join("instructions");
    if folder.join("counts").exists() {
        std::fs::remove_dir_all(folder.join("counts"))?;
    }
    std::fs::create_dir_all(folder.join("counts"))?;
    say("==> counting under callgrind, a minute or two");
    let mut callgrind = command("valgrind");
    callgrind.args(["--tool=callgrind", "--quiet", "--dump-before=*mark_a_phase*", "--combine-dumps=no"]);
    callgrind.arg(format!("--callgrind-out-file={}", folder.join("counts/at").display()));
    callgrind.arg(program).arg("--bench").env("STATION_BENCH_CACHE", folder.join("cache"));
    let output = callgrind.stderr(Stdio::inherit()).output().context("starting valgrind")?;
    ensure!(output.status.success(), "the bench failed under callgrind; its message is above ({NATIVE})");
    let cases: Vec<Value> = serde_json::from_slice(&output.stdout).context("the bench does not say its cases")?;
    let mut counts =
        cases.iter().enumerate().map(|(at, case)| of_case(&folder, at, case)).collect::<Result<Counts>>()?;
    counts.extend(savepoint(&counts));
    Ok(counts)
}

/// Of each case three phases were counted: its warming up with all that came before, few turns, and many.
fn of_case(folder: &Path, at: usize, case: &Value) -> Result<(String, f64)> {
    let phase = |number: usize| counted(&folder.join(format!("counts/at.{number}")));
    let (few, many) = (phase(3 * at + 2)?, phase(3 * at + 3)?);
    let turns = case.get("turns").and_then(Value::as_f64).context("a case without turns")?;
    let name = case.get("name").and_then(Value::as_str).context("a case without name")?;
    Ok((name.to_owned(), ((many - few) / turns).round()))
}

/// Checks that many scalar calls ask for memory no more often than few. A call tree asks for some, so that none at all says
/// that callgrind has other names for it.
fn asks_for_nothing(counts: &Counts) -> Result<()> {
    let first = counts.first().map(|(name, _)| name.as_str());
    ensure!(first == Some(WITHOUT_MEMORY), "the first case of benches/instructions.rs is no longer {WITHOUT_MEMORY:?}");
    let phase = |number: usize| allocations::count(&repo::target().join(format!("instructions/counts/at.{number}")));
    let (few, many) = (phase(2)?, phase(3)?);
    say(&format!("{WITHOUT_MEMORY}: few calls asked for memory {few} times, many calls {many} times"));
    ensure!(few > 0, "callgrind names nothing that asks for memory; see xtask/src/instructions/allocations.rs");
    ensure!(
        many < few + STRAY,
        "a {WITHOUT_MEMORY} call asks for memory; run `perf record` on `benches/call` to see where"
    );
    Ok(())
}

/// The line `totals: N`, or `summary: N`.
fn counted(file: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    line.and_then(|number| number.trim().parse().ok()).with_context(|| format!("{} has no total", file.display()))
}

fn savepoint(counts: &Counts) -> Option<(String, f64)> {
    let of = |name: &str| counts.iter().find(|(case, _)| case == name).map(|(_, count)| *count);
    let [with, call, row] = SAVEPOINT.map(of);
    Some((OF_SAVEPOINT.to_owned(), with? - call? - row?))
}

fn write(file: &Path, here: &Value, counts: &Counts) -> Result<()> {
    let counts: Map<String, Value> = counts.iter().map(|(name, count)| (name.clone(), json!(*count as i64))).collect();
    let document = json!({ "instructions per call": counts, "counted with": here });
    std::fs::write(file, serde_json::to_string_pretty(&document)? + "\n")?;
    say(&format!("written to {BASELINE}; read the difference"));
    run(command("git").args(["--no-pager", "diff", "--stat", "--", BASELINE]))
}

/// Prints every count beside its baseline; fails when one differs where they can be compared.
fn judge(baseline: &Value, here: &Value, counts: &Counts) -> Result<()> {
    let before = baseline.get("instructions per call").and_then(Value::as_object).context("an empty baseline")?;
    say(&format!("{:<70} {:>10} {:>10} {:>8}", "instructions per call", "now", "baseline", ""));
    let mut differing = Vec::new();
    for (name, now) in counts {
        let baseline = before.get(name).and_then(Value::as_f64);
        let change = baseline.map(|baseline| now / baseline - 1.0);
        let percent = change.map_or_else(|| "new".to_owned(), |change| format!("{:+.1} %", change * 100.0));
        say(&format!("{name:<70} {now:>10} {:>10} {percent:>8}", baseline.unwrap_or_default()));
        // A difference of three counts moves by what each of them does.
        let derived = name == OF_SAVEPOINT;
        if !derived && change.is_none_or(|change| change.abs() > TOLERANCE) {
            differing.push(name.as_str());
        }
    }
    let other = baseline.get("counted with").filter(|with| *with != here);
    match (other, differing.is_empty()) {
        (Some(other), _) => {
            say(&format!(
                "NOT JUDGED: the baseline was counted with {other}, and this is {here}. Counts of two compilers or C \
                 libraries cannot be compared. Whoever changes them on the machine that runs the tests accepts the new \
                 counts in a commit of their own, before any other change: {ACCEPT}."
            ));
            Ok(())
        }
        (None, true) => Ok(()),
        (None, false) => bail!("more than 3 % from {BASELINE}: {}. {ACCEPT}", differing.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(count: i64) -> Value {
        json!({ "instructions per call": { "a": count }, "counted with": { "rustc": "1" } })
    }

    fn check(count: f64, rustc: &str) -> bool {
        judge(&baseline(1_000), &json!({ "rustc": rustc }), &vec![("a".to_owned(), count)]).is_ok()
    }

    #[test]
    fn a_count_may_differ_by_three_per_cent_either_way() {
        assert!(check(1_029.0, "1") && check(971.0, "1"));
        assert!(!check(1_031.0, "1") && !check(969.0, "1"));
    }

    #[test]
    fn nothing_is_judged_by_counts_of_another_compiler() {
        assert!(check(2_000.0, "2"));
    }

    #[test]
    fn a_case_without_baseline_is_no_pass() {
        let counts = vec![("b".to_owned(), 1.0)];
        assert!(judge(&baseline(1), &json!({ "rustc": "1" }), &counts).is_err());
    }

    #[test]
    fn the_savepoint_is_what_the_call_and_the_row_do_not_explain() {
        let counts = [(0, 100.0), (1, 30.0), (2, 50.0)].map(|(at, count)| (SAVEPOINT[at].to_owned(), count)).to_vec();
        assert_eq!(savepoint(&counts).unwrap().1, 20.0);
    }

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let line = r#"{"target":{"name":"instructions"},"executable":"/t/instructions-1"}"#;
        assert_eq!(built(line).unwrap(), Path::new("/t/instructions-1"));
        assert!(built(r#"{"target":{"name":"station"},"executable":"/t/station"}"#).is_none());
    }
}
