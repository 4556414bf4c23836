//! The parts of a long command: each is announced, timed, and reported at the end.
//!
//! A part that fails does not keep the next from running, so that one run tells everything that is wrong; only what
//! a later part cannot do without ends the command at once ([`Parts::must`]).

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::repo::say;

/// What has been run so far.
pub(crate) struct Parts {
    done: Vec<Part>,
    started: Instant,
}

struct Part {
    name: &'static str,
    took: Duration,
    failed: bool,
}

impl Parts {
    pub(crate) fn new() -> Self {
        Self { done: Vec::new(), started: Instant::now() }
    }

    /// Runs a part; the command goes on when it fails.
    pub(crate) fn run(&mut self, name: &'static str, part: impl FnOnce() -> Result<()>) {
        let _reported_at_the_end = self.timed(name, part);
    }

    /// Runs a part that the rest needs.
    ///
    /// # Errors
    /// When it fails, after the summary of what was done until then.
    pub(crate) fn must(&mut self, name: &'static str, part: impl FnOnce() -> Result<()>) -> Result<()> {
        match self.timed(name, part) {
            true => Ok(()),
            false => self.summary(),
        }
    }

    fn timed(&mut self, name: &'static str, part: impl FnOnce() -> Result<()>) -> bool {
        say(&format!("\n==> {name}"));
        let start = Instant::now();
        let result = part();
        let took = start.elapsed();
        if let Err(error) = &result {
            say(&format!("\n{name}: {error:#}"));
        }
        self.done.push(Part { name, took, failed: result.is_err() });
        result.is_ok()
    }

    /// Says how long each part took and which failed.
    ///
    /// # Errors
    /// When one failed.
    pub(crate) fn summary(&self) -> Result<()> {
        say(&format!("\n{:<12} minutes", "part"));
        for Part { name, took, failed } in &self.done {
            say(&format!("{name:<12} {:>7.1}  {}", minutes(*took), if *failed { "FAILED" } else { "ok" }));
        }
        say(&format!("{:<12} {:>7.1}", "all", minutes(self.started.elapsed())));
        let failed: Vec<_> = self.done.iter().filter(|part| part.failed).map(|part| part.name).collect();
        if !failed.is_empty() {
            bail!("failed: {}; the first message of each is above, after its `==>`", failed.join(", "));
        }
        say("\nEverything passed.");
        Ok(())
    }
}

fn minutes(took: Duration) -> f64 {
    took.as_secs_f64() / 60.0
}
