//! How what is measured is built.

use crate::dist::Counts;
use crate::repo::{self, cargo};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// A profile of cargo, and whether the program was trained.
pub(super) struct Build {
    profile: &'static str,
    counts: Option<Counts>,
}

impl Build {
    /// Quick to make, for nobody but yourself.
    pub(super) fn quick() -> Self {
        Self { profile: "release-dev", counts: None }
    }

    /// As `cargo xtask dist` builds what is published, or the same without training.
    ///
    /// # Errors
    /// When there was no training yet and one does not work.
    pub(super) fn published(trained: bool) -> Result<Self> {
        Ok(Self { profile: "fat", counts: trained.then(Counts::kept_or_new).transpose()? })
    }

    /// `cargo bench` of a bench, always with the package of the program: alone, another one's dependencies would have
    /// other features, for which nothing was counted.
    pub(super) fn bench(&self, name: &str) -> Command {
        let packages = ["--package", "station", "--package", "station-storage"];
        let mut cargo = cargo(&["bench", "--locked", "--bench", name, "--profile", self.profile]);
        cargo.args(packages);
        if let Some(counts) = &self.counts {
            counts.apply(&mut cargo);
        }
        cargo
    }

    /// The program, which the benches of `station` are built with.
    pub(super) fn station(&self) -> PathBuf {
        let plain = || repo::target().join(self.profile).join("station");
        self.counts.as_ref().map_or_else(plain, Counts::program)
    }

    /// For the results.
    pub(super) fn describe(&self) -> Value {
        json!({ "profile": self.profile, "trained_by": self.counts.as_ref().map(Counts::name) })
    }

    /// In words, for the person who waits.
    pub(super) fn name(&self) -> String {
        let trained = if self.counts.is_some() { ", trained" } else { "" };
        format!("profile {}{trained}", self.profile)
    }
}
