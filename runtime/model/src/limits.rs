//! What one call and one module may use.
//!
//! The station has defaults; an operator overrides single values per module with a [`LimitsPatch`].

use serde::{Deserialize, Serialize};

/// The ceilings of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel units that one root call may use, nested calls included.
    pub fuel: u64,
    /// Wall time that one root call may take, in milliseconds.
    pub deadline_ms: u64,
    /// Linear memory and tables of one instance, in bytes.
    pub memory_bytes: u64,
    /// Instances of the module at one time.
    pub instances_max: u32,
}

/// The values of [`Limits`] that an operator has set for one module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsPatch {
    /// See [`Limits::fuel`].
    pub fuel: Option<u64>,
    /// See [`Limits::deadline_ms`].
    pub deadline_ms: Option<u64>,
    /// See [`Limits::memory_bytes`].
    pub memory_bytes: Option<u64>,
    /// See [`Limits::instances_max`].
    pub instances_max: Option<u32>,
}

impl Limits {
    /// These limits with the values that `patch` sets.
    pub fn patched(&self, patch: &LimitsPatch) -> Self {
        Self {
            fuel: patch.fuel.unwrap_or(self.fuel),
            deadline_ms: patch.deadline_ms.unwrap_or(self.deadline_ms),
            memory_bytes: patch.memory_bytes.unwrap_or(self.memory_bytes),
            instances_max: patch.instances_max.unwrap_or(self.instances_max),
        }
    }
}

/// What happens to an instance at the end of its call tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is dropped, so that a module keeps no state between calls.
    #[default]
    Fresh,
    /// It goes back to the pool after a clean tree.
    Reused,
}

/// The operator's choice for a module's instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instances {
    /// Dropped or kept.
    pub mode: Mode,
    /// Root calls that a kept instance serves before it is dropped.
    pub calls_max: u64,
    /// Milliseconds without a call after which a kept instance is dropped.
    pub idle_ms_max: u64,
}

impl Default for Instances {
    fn default() -> Self {
        Self { mode: Mode::Fresh, calls_max: 10_000, idle_ms_max: 60_000 }
    }
}
