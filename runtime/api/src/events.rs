//! Events that modules have published.

use crate::{Client, Error};
use serde::{Deserialize, Serialize};
use station_model::ModuleName;
use utoipa::ToSchema;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the order of commits, from 1.
    pub offset: u64,
    /// Who published it.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// What it is about.
    pub topic: String,
    /// What it belongs to; events of one key are in order.
    pub key: String,
    /// The root call in which it was published.
    pub call: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it says, in base64.
    pub payload: String,
    /// The same as text, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Events, a page of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// Oldest first.
    pub events: Vec<Event>,
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Those after this offset; the last ones without it.
    pub after: Option<u64>,
    /// At most so many; 1,000 at most, and fewer where they are large.
    pub limit: u32,
    /// Only those of this module.
    pub module: Option<String>,
    /// Only those with this topic.
    pub topic: Option<String>,
}

impl Client {
    /// Events that were published, oldest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn events(&self, filter: &EventFilter) -> Result<EventList, Error> {
        let mut request = self.get(&["v1", "events"])?;
        if let Some(after) = filter.after {
            request.query("after", &after.to_string());
        }
        request.query("limit", &filter.limit.to_string());
        for (name, value) in [("module", &filter.module), ("topic", &filter.topic)] {
            value.iter().for_each(|value| request.query(name, value));
        }
        self.answer(request).await
    }

    /// Forgets events up to and including an offset.
    ///
    /// # Errors
    /// `admin.forbidden` without the scope `admin`.
    pub async fn prune_events(&self, through: u64) -> Result<(), Error> {
        let mut request = self.delete(&["v1", "events"])?;
        request.query("through", &through.to_string());
        self.done(request).await
    }
}
