//! The first entry of an archive: what is in it, with size and digest of each part.

use serde::{Deserialize, Serialize};
use station_model::Digest;

/// The manifest's name in the archive.
pub(super) const NAME: &str = "station-backup.json";

/// The database's name, in the archive and in a data folder.
pub(super) const DATABASE: &str = "station.db";

/// The form of the archive. Another form gets another number, and this program refuses it.
pub(super) const FORMAT: u32 = 1;

/// The longest manifest that is read. A component takes some 120 bytes of it.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The form of the archive.
    pub format: u32,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// The version of the database's schema.
    pub schema: i64,
    /// The database.
    pub database: Part,
    /// The components, by digest.
    pub artifacts: Vec<Part>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Contents {
    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.artifacts.iter().fold(self.database.size, |bytes, part| bytes.saturating_add(part.size))
    }

    /// Every file after the manifest with its name, in the order of the archive.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, &Part)> {
        let artifacts = self.artifacts.iter().map(|part| (artifact(&part.digest), part));
        std::iter::once((DATABASE.to_owned(), &self.database)).chain(artifacts)
    }
}

/// Where a component is, in the archive and in a data folder.
pub(super) fn artifact(digest: &Digest) -> String {
    format!("artifacts/{}.wasm", digest.hex())
}
