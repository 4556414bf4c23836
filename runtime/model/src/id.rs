//! Ids that sort by time.

use crate::Invalid;
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The id of a root call, written `call-<uuid v7>`; later calls sort after earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// An id for a call that begins now.
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// An id from 128 bits; for tests that need the same ids in every run.
    pub fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call-{}", self.0.simple())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.strip_prefix("call-")
            .and_then(|hex| Uuid::try_parse(hex).ok())
            .map(Self)
            .ok_or_else(|| Invalid::new("call id", text, "must be `call-` and 32 hex digits"))
    }
}

crate::name::serde_as_text!(CallId);
