//! The audit log: who changed what.

use crate::{Client, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who, such as `admin:root`.
    pub principal: String,
    /// The verb, such as `deploy`.
    pub action: String,
    /// What it was done to, such as a module's name.
    pub subject: String,
    /// What is worth knowing about it.
    pub detail: serde_json::Value,
}

/// The last changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
}

impl Client {
    /// The last changes, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn audit(&self, limit: u32) -> Result<AuditList, Error> {
        let mut request = self.get(&["v1", "audit"])?;
        request.query("limit", &limit.to_string());
        self.answer(request).await
    }
}
