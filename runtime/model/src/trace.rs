//! What is known about a call after it ended: one stack trace over all frames.

use crate::{CallId, Code, Digest, Failure, FunctionPath, InterfaceName, ModuleName};
use serde::{Deserialize, Serialize};

/// The report of one root call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// The root call's id.
    pub id: CallId,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// Who asked: `admin:<token id>`, `gateway` or `host`.
    pub principal: String,
    /// The module that was called.
    pub module: ModuleName,
    /// The function that was called.
    pub function: FunctionPath,
    /// Fuel that the whole tree used.
    pub fuel: u64,
    /// Wall time in microseconds, waiting for a call thread included.
    pub duration_us: u64,
    /// Brokered calls in the tree, the root included.
    pub calls: u64,
    /// Why the root call failed; none when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it did to the database; none when it ran no statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitReport>,
    /// Root first. After a failure the stack from the root to the culprit; otherwise the calls in their order,
    /// the first 64 of them.
    pub frames: Vec<Frame>,
}

/// The unit of work of a root call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReport {
    /// How it ended.
    pub outcome: UnitOutcome,
    /// From the first statement to the end, in microseconds.
    pub open_us: u64,
    /// From the first write to the end, in microseconds: for so long others could not write.
    pub locked_us: u64,
    /// Waiting for the turn to write, in microseconds.
    pub waited_us: u64,
    /// True when the call was run a second time, because others had changed what it had read.
    pub reran: bool,
    /// Events that were published whatever became of the call.
    #[serde(default)]
    pub always: u64,
    /// Which module changed how many rows of which table. Rows that were undone are not told, unless all were.
    pub wrote: Vec<Wrote>,
}

/// How a unit of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitOutcome {
    /// It only read.
    Read,
    /// What it wrote is on the disk, unless the failure of its call says that the disk refused.
    Committed,
    /// Nothing that it wrote has happened.
    RolledBack,
}

/// Rows that a module changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrote {
    /// The module.
    pub module: ModuleName,
    /// Its table; none for a change of the schema or of several tables.
    pub table: Option<String>,
    /// Rows.
    pub rows: u64,
}

/// One call inside a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The module that was called.
    pub module: ModuleName,
    /// Its revision.
    pub revision: Digest,
    /// The interface; none for a function at the world's root.
    pub interface: Option<InterfaceName>,
    /// The function.
    pub function: String,
    /// Levels below the root call, which has 0.
    pub depth: u32,
    /// Fuel it used, including what it called.
    pub fuel: u64,
    /// `ok`, or the code of the failure that ended it.
    pub outcome: Outcome,
    /// Where it trapped, innermost first; empty when it did not.
    #[serde(default)]
    pub at: Vec<Location>,
}

/// How a frame ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It returned.
    Ok,
    /// It, or something it called, failed with this code.
    Failed(Code),
}

/// A place in a module's code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The guest function's name, demangled, if the component names it.
    pub function: Option<String>,
    /// Source file, if the component carries DWARF; resolved on demand.
    #[serde(default)]
    pub file: Option<String>,
    /// Source line, if the component carries DWARF; resolved on demand.
    #[serde(default)]
    pub line: Option<u32>,
    /// Byte offset in the component.
    #[serde(default)]
    pub offset: Option<u64>,
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ok => to.serialize_str("ok"),
            Self::Failed(code) => to.serialize_str(code.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "ok" => Ok(Self::Ok),
            code => Code::parse(code)
                .map(Self::Failed)
                .ok_or_else(|| serde::de::Error::custom(format!("unknown outcome {code:?}"))),
        }
    }
}
