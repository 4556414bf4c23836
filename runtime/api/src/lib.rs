//! Wire types and typed client of the admin API.
//!
//! One file per resource holds both: the types as they stand in JSON, which the server (station-admin) answers
//! with, and the methods of [`Client`] that ask for them. So neither side can say what the other does not know.
//! Answers may grow new members and a client ignores those it does not know; requests with an unknown member are
//! refused, because a misspelt option must not be dropped in silence.
#![warn(missing_docs)]

mod audit;
mod backup;
mod calls;
mod client;
mod deadline;
mod events;
mod grants;
mod graph;
mod logs;
mod modules;
mod problem;
mod settings;
mod station;
mod tables;
mod tokens;
mod upload;

pub use audit::{AuditEntry, AuditList};
pub use backup::BackupStream;
pub use calls::{Call, CallAnswer, CallBody, CallFailure, CallList, CallRecord, Frame, Location, Unit, Wrote};
pub use client::{Client, Error};
pub use deadline::Deadline;
pub use events::{Event, EventFilter, EventList};
pub use grants::{GrantList, LinkBody};
pub use graph::{Graph, GraphEdge, GraphNode};
pub use logs::{LogLine, LogPage};
pub use modules::{
    Function, Interface, Metadata, Module, ModuleList, ModuleSummary, State, Version, VersionList, Waiting,
};
pub use problem::{Limit, Problem};
pub use settings::{ConfigBody, Limits, Route, RouteList};
pub use station::Readiness;
pub use tables::{Keys, Table, TableList};
pub use tokens::{CreatedToken, NewToken, Scope, Token, TokenList};
pub use upload::{Deployed, Progress, UploadEvent, UploadOptions, Warning};

/// The longest a request may take that does no work of a module, in milliseconds.
const QUICK_MS_MAX: u64 = 60_000;
