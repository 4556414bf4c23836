//! `station doctor`: is what is below a station what a station needs.

use crate::{config, out, problem, session, units};
use serde_json::{Value, json};
use station_api::Problem;
use station_host::inspect::{Disk, Finding, Times, measure};
use station_model::{Code, Failure};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const AFTER: &str = "\
Writes and flushes a small file in the data folder for about two seconds, also while a station runs \
there. What a station acknowledges is as safe as a flush is; a disk on which a flush is faster than \
any medium lies. That it is slower proves nothing: only a power cut does.

Exit code 1 when a station should not be trusted with anything here: the disk lies, is memory, has no \
room, or refuses. With --json the report has that as `problem`, too.

Examples:
  station doctor --disk
  station doctor --disk --data /var/lib/station
  station doctor --disk --json | jq .flush.p99_us";

/// Check what a station relies on
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Measure the disk
    #[arg(long, required = true)]
    disk: bool,
    /// The data folder, or where one shall be
    #[arg(long, value_name = "DIR", default_value = config::DATA)]
    data: PathBuf,
    /// Print one JSON document on stdout, for a problem too
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Measures, tells, and fails if it is bad enough.
    pub(crate) fn run(self) -> ExitCode {
        match self.look() {
            Ok(problem) if problem.is_some() => ExitCode::FAILURE,
            done => session::ended(done.map(drop), self.json),
        }
    }

    fn look(&self) -> anyhow::Result<Option<Problem>> {
        if !self.data.is_dir() {
            let why = format!("there is no folder {}; --data says which one is meant", self.data.display());
            return Err(problem::refused(Code::AdminNotFound, why));
        }
        let disk = measure(&self.data).map_err(problem::failed)?;
        let findings = disk.findings();
        let problem = worst(&findings);
        match self.json {
            true => out::json(&document(&self.data, &disk, &findings, problem.as_ref()))?,
            false => out::line(&page(&self.data, &disk, &findings))?,
        }
        if let Some(problem) = problem.as_ref().filter(|_| !self.json) {
            problem::tell(problem, false, "");
        }
        Ok(problem)
    }
}

/// The first that is serious, as a problem.
fn worst(findings: &[Finding]) -> Option<Problem> {
    let found = findings.iter().find(|finding| finding.serious)?;
    // Of the code that is true; a disk does not learn to tell the truth.
    let problem = Problem::from(Failure::new(Code::StationReadOnly, found.text.clone()));
    Some(Problem { retryable: false, ..problem })
}

fn page(data: &Path, disk: &Disk, findings: &[Finding]) -> String {
    let (free, total) = (units::about(disk.free_bytes), units::about(disk.total_bytes));
    let used = if disk.in_use { "a station runs here" } else { "no station runs here" };
    let kind = if disk.file_system.is_empty() { "unknown" } else { &disk.file_system };
    let rows =
        [("write 4 KiB", disk.write), ("write and flush 4 KiB", disk.flush), ("write and flush 1 MiB", disk.big_flush)];
    let table = out::table(["", "TIMES", "P50", "P99"], rows.map(|(what, times)| row(what, times)));
    let rate = 1_000_000_000 / disk.flush.p50_ns.max(1);
    let notes = findings.iter().filter(|finding| !finding.serious).map(|finding| format!("note: {}\n", finding.text));
    let notes: String = notes.collect();
    let shown = data.display();
    format!(
        "{shown}: {kind}, {free} of {total} free, {used}\n{table}some {} flushes a second\n{notes}",
        units::Count(rate)
    )
}

fn row(what: &str, times: Times) -> [String; 4] {
    let micros = |ns: u64| format!("{}.{} µs", ns / 1_000, ns % 1_000 / 100);
    [what.to_owned(), units::Count(times.count as u64).to_string(), micros(times.p50_ns), micros(times.p99_ns)]
}

fn document(data: &Path, disk: &Disk, findings: &[Finding], problem: Option<&Problem>) -> Value {
    let finding = |finding: &Finding| json!({ "serious": finding.serious, "text": finding.text });
    json!({
        "data": data,
        "file_system": disk.file_system,
        "free_bytes": disk.free_bytes,
        "total_bytes": disk.total_bytes,
        "in_use": disk.in_use,
        "write": times(disk.write),
        "flush": times(disk.flush),
        "flush_1mib": times(disk.big_flush),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "problem": problem,
    })
}

fn times(times: Times) -> Value {
    let micros = |ns: u64| ns as f64 / 1_000.0;
    json!({ "count": times.count, "p50_us": micros(times.p50_ns), "p99_us": micros(times.p99_ns) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(flush_ns: u64) -> Disk {
        let times = |p50_ns| Times { count: 1_234, p50_ns, p99_ns: 2 * p50_ns };
        let (free_bytes, total_bytes) = (3 << 30, 4 << 30);
        let (write, flush, big_flush) = (times(950), times(flush_ns), times(2_000_000));
        Disk { file_system: "ext4".into(), free_bytes, total_bytes, in_use: true, write, flush, big_flush }
    }

    #[test]
    fn people_see_times_and_room() {
        let disk = disk(812_345);
        let expected = "\
d: ext4, 3.0 GiB of 4.0 GiB free, a station runs here
                       TIMES  P50        P99
write 4 KiB            1_234  0.9 µs     1.9 µs
write and flush 4 KiB  1_234  812.3 µs   1624.6 µs
write and flush 1 MiB  1_234  2000.0 µs  4000.0 µs
some 1_231 flushes a second
";
        assert_eq!(page(Path::new("d"), &disk, &disk.findings()), expected);
        assert!(worst(&disk.findings()).is_none());
    }

    #[test]
    fn programs_see_the_problem_beside_the_figures() {
        let disk = disk(900);
        let (findings, problem) = (disk.findings(), worst(&disk.findings()));
        let document = document(Path::new("d"), &disk, &findings, problem.as_ref());
        assert_eq!(
            (&document["problem"]["code"], &document["flush"]["p50_us"]),
            (&json!("station.read_only"), &json!(0.9))
        );
    }
}
