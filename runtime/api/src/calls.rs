//! Calls: asking for one, and looking at those that ended.

use crate::{Client, Deadline, Error, Limit, QUICK_MS_MAX, deadline::Written};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use station_model::{CallId, CallReport, Digest, FunctionPath, InterfaceName, ModuleName, Outcome, UnitOutcome};
use std::time::Duration;
use utoipa::ToSchema;

/// What to call. Arguments are `args` or `wave`; a function without parameters needs neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallBody {
    /// `ns:pkg/iface@1.2.3#func` (the version may be left out where that is not ambiguous), or `func` at the root.
    #[schema(value_type = String, example = "demo:calc/ops#add")]
    pub function: FunctionPath,
    /// One JSON value per parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Value>>,
    /// The arguments as a WAVE tuple, such as `(1, "x", {a: 2})`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    /// At most this much fuel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// At most this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Written>)]
    pub deadline: Option<Deadline>,
}

/// A call that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallAnswer {
    /// The result; null for a function without one.
    pub result: Value,
    /// What it cost and where it went.
    pub call: Call,
}

/// What a call cost and where it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// The root call's id.
    #[schema(value_type = String, example = "call-0190f3d2a6c87c3fb1c2d3e4f5061728")]
    pub id: CallId,
    /// Fuel that the whole tree used.
    pub fuel: u64,
    /// Wall time in microseconds, waiting for a call thread included.
    pub duration_us: u64,
    /// Root first. After a failure the stack from the root to the culprit; otherwise the calls in their order.
    pub frames: Vec<Frame>,
    /// What it did to the database; absent when it ran no statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

/// The unit of work of a call: everything that its tree read and wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unit {
    /// `committed`, `rolled-back`, or `read` when it only read.
    #[schema(value_type = String)]
    pub outcome: UnitOutcome,
    /// From the first statement to the end, in microseconds.
    pub open_us: u64,
    /// From the first write to the end, in microseconds: for so long nobody else could write.
    pub locked_us: u64,
    /// Waiting for the turn to write, in microseconds.
    pub waited_us: u64,
    /// True when the call was run a second time, because others had changed what it had read.
    pub reran: bool,
    /// Events that were published whatever became of the call.
    #[serde(default)]
    pub always: u64,
    /// Which module changed how many rows of which table, values left out.
    pub wrote: Vec<Wrote>,
}

/// Rows that a module changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Wrote {
    /// The module.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// Its table, `kv/<bucket>` for keys; null for a change of the schema or of several tables.
    pub table: Option<String>,
    /// Rows.
    pub rows: u64,
}

/// One call inside a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Frame {
    /// The module that was called.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// Its revision.
    #[schema(value_type = String)]
    pub revision: Digest,
    /// The interface; null for a function at the world's root.
    #[schema(value_type = Option<String>)]
    pub interface: Option<InterfaceName>,
    /// The function.
    pub function: String,
    /// Levels below the root call, which has 0.
    #[serde(default)]
    pub depth: u32,
    /// Fuel it used, including what it called.
    pub fuel: u64,
    /// `ok`, or the code of the failure that ended it.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// Where it trapped, innermost first; empty when it did not.
    #[serde(default)]
    pub at: Vec<Location>,
}

/// A place in a module's code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// The guest function's name, if the component names it.
    pub function: Option<String>,
    /// Source file, if the component carries DWARF; resolved by `/v1/calls/{id}`.
    #[serde(default)]
    pub file: Option<String>,
    /// Source line, if the component carries DWARF.
    #[serde(default)]
    pub line: Option<u32>,
    /// Byte offset in the component.
    #[serde(default)]
    pub offset: Option<u64>,
}

/// Why a recorded call, or a module that cannot be loaded, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallFailure {
    /// The stable code.
    pub code: String,
    /// What happened, in a sentence.
    pub detail: String,
    /// True when the same call may succeed later without any change.
    pub retryable: bool,
    /// The limit that was hit, if it was a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// A call that ended, as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallRecord {
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// Who asked: `admin:<token id>`, `gateway` or `host`.
    pub principal: String,
    /// The module that was called.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// The function that was called.
    #[schema(value_type = String)]
    pub function: FunctionPath,
    /// `ok`, or the code of the failure.
    #[schema(value_type = String)]
    pub outcome: Outcome,
    /// Brokered calls in the tree, the root included.
    pub calls: u64,
    /// Why it failed; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<CallFailure>,
    /// What it cost and where it went.
    #[serde(flatten)]
    pub call: Call,
}

/// Recorded calls, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallList {
    /// The calls.
    pub calls: Vec<CallRecord>,
}

impl From<CallReport> for Call {
    fn from(report: CallReport) -> Self {
        let frames = report.frames.into_iter().map(Frame::from).collect();
        let unit = report.unit.map(Unit::from);
        Self { id: report.id, fuel: report.fuel, duration_us: report.duration_us, frames, unit }
    }
}

impl From<station_model::UnitReport> for Unit {
    fn from(unit: station_model::UnitReport) -> Self {
        Self {
            outcome: unit.outcome,
            open_us: unit.open_us,
            locked_us: unit.locked_us,
            waited_us: unit.waited_us,
            reran: unit.reran,
            always: unit.always,
            wrote: unit.wrote.into_iter().map(Wrote::from).collect(),
        }
    }
}

impl From<station_model::Wrote> for Wrote {
    fn from(wrote: station_model::Wrote) -> Self {
        Self { module: wrote.module, table: wrote.table, rows: wrote.rows }
    }
}

impl From<station_model::Frame> for Frame {
    fn from(frame: station_model::Frame) -> Self {
        Self {
            module: frame.module,
            revision: frame.revision,
            interface: frame.interface,
            function: frame.function,
            depth: frame.depth,
            fuel: frame.fuel,
            outcome: frame.outcome,
            at: frame.at.into_iter().map(Location::from).collect(),
        }
    }
}

impl From<station_model::Location> for Location {
    fn from(at: station_model::Location) -> Self {
        Self { function: at.function, file: at.file, line: at.line, offset: at.offset }
    }
}

impl From<station_model::Failure> for CallFailure {
    fn from(failure: station_model::Failure) -> Self {
        Self {
            code: failure.code.as_str().to_owned(),
            retryable: failure.retryable(),
            detail: failure.message,
            limit: failure.limit.map(Limit::from),
        }
    }
}

impl From<CallReport> for CallRecord {
    fn from(mut report: CallReport) -> Self {
        let failure = report.failure.take();
        Self {
            started_ms: report.started_ms,
            principal: std::mem::take(&mut report.principal),
            module: report.module.clone(),
            function: report.function.clone(),
            outcome: failure.as_ref().map_or(Outcome::Ok, |failure| Outcome::Failed(failure.code)),
            calls: report.calls,
            failure: failure.map(CallFailure::from),
            call: report.into(),
        }
    }
}

impl Client {
    /// Calls a function of a module. Dropping the future cancels the call.
    ///
    /// # Errors
    /// [`Error::Problem`] with the call's frames when it failed.
    pub async fn call(&self, module: &str, body: &CallBody) -> Result<CallAnswer, Error> {
        let request = self.post(&["v1", "modules", module, "call"], body)?;
        // The station ends the call at its deadline; the client waits a little longer, for that answer.
        let wait_ms = body.deadline.map(|deadline| deadline.ms.saturating_add(QUICK_MS_MAX));
        self.answer_within(request, wait_ms.map(Duration::from_millis)).await
    }

    /// The last calls, newest first; only those that failed if `failed` is set.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn calls(&self, limit: usize, failed: bool) -> Result<CallList, Error> {
        let mut request = self.get(&["v1", "calls"])?;
        request.query("limit", &limit.to_string());
        if failed {
            request.query("failed", "true");
        }
        self.answer(request).await
    }

    /// One call with its frames, and with file and line where it trapped.
    ///
    /// # Errors
    /// `admin.not_found` when the station does not remember the call.
    pub async fn trace(&self, id: &str) -> Result<CallRecord, Error> {
        self.answer(self.get(&["v1", "calls", id])?).await
    }
}
