//! What the figures were taken on and with.

use crate::repo::{asked, command};
use serde_json::{Value, json};

/// Processor, cores, kernel, compiler, commit.
pub(super) fn describe(build: &Value) -> Value {
    json!({
        "processor": first_after(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": first_after(&read("/proc/meminfo"), "MemTotal"),
        "kernel": said("uname", &["-sr"]),
        "rustc": said("rustc", &["--version"]),
        "node": said("node", &["--version"]),
        "build": build,
        "commit": said("git", &["rev-parse", "HEAD"]),
        "changed_since": said("git", &["status", "--porcelain"]).is_some_and(|changed| !changed.is_empty()),
        "load_before": read("/proc/loadavg").split_whitespace().next(),
    })
}

/// `2026-11-22-1a2b3c4`: the day and the commit.
pub(super) fn name_of_this_run() -> String {
    let part = |answer: Option<String>| answer.unwrap_or_else(|| "unknown".to_owned());
    format!("{}-{}", part(said("date", &["+%F"])), part(said("git", &["rev-parse", "--short=7", "HEAD"])))
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    asked(command(program).args(arguments))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The rest of the first line `key: rest`.
fn first_after(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
