//! A failure as the operator sees it: a stable code, a sentence, the limit that was hit.

use crate::Code;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something could not be done.
///
/// `message` is for the person who asked, and names the culprit and the next step. It never holds another
/// tenant's data or a path of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What happened, in a sentence.
    pub message: String,
    /// The limit that was hit, if it was a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitHit>,
}

/// A limit and how much of it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitHit {
    /// The setting's name with its unit, such as `memory_bytes`.
    pub name: String,
    /// The limit's value.
    pub value: u64,
    /// What was used or asked for.
    pub used: u64,
}

impl Failure {
    /// A failure with this code and sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), limit: None }
    }

    /// The same failure, naming the limit that was hit.
    #[must_use]
    pub fn with_limit(mut self, name: &str, value: u64, used: u64) -> Self {
        self.limit = Some(LimitHit { name: name.to_owned(), value, used });
        self
    }

    /// True when the same request may succeed later without any change.
    pub fn retryable(&self) -> bool {
        self.code.retryable()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}
