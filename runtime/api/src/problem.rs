//! A failure on the wire: the problem document of RFC 9457 with the members that Station adds.

use crate::Call;
use serde::{Deserialize, Serialize};
use station_model::{CallReport, Code, Failure, LimitHit};
use std::fmt;
use utoipa::ToSchema;

/// An RFC 9457 problem document. `code` is stable; branch on it, not on the texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A path on the admin server with a page about the code, such as `/errors/call.trap`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short title, the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, with the next step.
    pub detail: String,
    /// The path of the request that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The stable code, such as `call.out_of_fuel`.
    pub code: String,
    /// True when the same request may succeed later without any change.
    pub retryable: bool,
    /// The limit that was hit, if it was a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// The call that failed, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
}

/// A limit and how much of it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// The setting's name with its unit, such as `memory_bytes`.
    pub name: String,
    /// The limit's value.
    pub value: u64,
    /// What was used or asked for.
    pub used: u64,
}

impl Problem {
    /// The media type of a problem document.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem with this code and sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::from(Failure::new(code, detail))
    }

    /// The same problem, with the call in which it happened.
    #[must_use]
    pub fn with_call(mut self, report: CallReport) -> Self {
        self.call = Some(report.into());
        self
    }

    /// The code, if this version of Station knows it.
    pub fn known_code(&self) -> Option<Code> {
        Code::parse(&self.code)
    }

    /// True when this is a problem of that code.
    pub fn is(&self, code: Code) -> bool {
        self.code == code.as_str()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let code = failure.code;
        Self {
            kind: format!("/errors/{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: failure.message,
            instance: None,
            code: code.as_str().to_owned(),
            retryable: code.retryable(),
            limit: failure.limit.map(Limit::from),
            call: None,
        }
    }
}

impl From<LimitHit> for Limit {
    fn from(hit: LimitHit) -> Self {
        Self { name: hit.name, value: hit.value, used: hit.used }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}
