//! What a component is, found out without a station: `station check`.

use crate::settings::EngineSettings;
use station_kernel::state::Metadata;
use station_model::{Code, Digest, Failure, World};
use std::path::Path;

/// What a component turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it imports and exports.
    pub world: World,
    /// What it says about itself.
    pub metadata: Metadata,
    /// What compiling it took, in milliseconds of wall time.
    pub compile_ms: u64,
}

/// Checks, inspects and compiles `file` as a station would, in a child process of `worker`.
///
/// # Errors
/// `upload.*`, `link.unknown_import`, `link.version`.
pub async fn check(settings: &EngineSettings, worker: &Path, file: &Path) -> Result<CheckReport, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(Code::UploadStorage, format!("{}: {error}", file.display()));
    let bytes = tokio::fs::read(file).await.map_err(unreadable)?;
    let checked = station_engine::check(worker, settings.compile(), file).await?;
    Ok(CheckReport {
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        world: checked.prepared.world,
        metadata: checked.prepared.metadata,
        compile_ms: checked.compile_ms,
    })
}
