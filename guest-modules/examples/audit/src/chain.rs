//! Lines and their hashes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What stands where the first line's predecessor would be.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub seq: u64,
    pub at: u64,
    pub entry: Entry,
    pub previous: String,
    pub hash: String,
}

impl Line {
    /// The line that follows a line of that number and hash.
    pub fn following(seq: u64, previous: &str, entry: Entry, at: u64) -> Self {
        let mut line = Self {
            seq: seq + 1,
            at,
            entry,
            previous: previous.to_owned(),
            hash: String::new(),
        };
        line.hash = line.compute();
        line
    }

    /// Whether this line is intact and follows a line of that number and hash.
    pub fn follows(&self, seq: u64, previous: &str) -> bool {
        self.seq == seq + 1 && self.previous == previous && self.hash == self.compute()
    }

    /// The hash over everything but itself. Each text goes in with its length, or `ab` + `c` would equal `a` + `bc`.
    fn compute(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at.to_be_bytes());
        let Entry {
            actor,
            action,
            subject,
            detail,
        } = &self.entry;
        for text in [actor, action, subject, detail, &self.previous] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
