//! The first token: made when a station starts for the first time, in `<data>/admin.token`, for its owner only.
//!
//! The registry keeps its hash. A file that was deleted, or whose token was revoked, is replaced at the next start,
//! so that whoever owns the data folder is never locked out.

use station_engine::Engine;
use station_kernel::control::Principal;
use station_kernel::state::{Change, Scope};
use station_kernel::{Control, Kernel, Service};
use station_model::Failure;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The id of the first token.
const ID: &str = "root";

/// Why there is no first token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("drawing random bytes for the first token")]
    Random(#[source] std::io::Error),
    #[error("writing the first token")]
    Write(#[source] std::io::Error),
    #[error("remembering the first token")]
    Remember(#[source] Failure),
}

/// Sees to it that `file` holds a token that works.
pub(crate) async fn ensure(kernel: &Arc<Kernel<Engine>>, file: &Path) -> Result<(), Error> {
    let state = kernel.state_now();
    let works = |text: String| {
        station_admin::tokens::verify(&state, text.trim()).is_some_and(|found| found.scope == Scope::Admin)
    };
    if std::fs::read_to_string(file).is_ok_and(works) {
        return Ok(());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::Random(std::io::Error::other(error)))?;
    let now = kernel.clock().now_ms();
    let (secret, token) = station_admin::tokens::issue(ID, "made at the first start", vec![Scope::Admin], random, now);
    let who = Principal { name: "host".to_owned(), scope: Scope::Admin };
    let changes = vec![Change::AddToken(token)];
    kernel.edit_station(&who, "token.create", ID, changes).await.map_err(Error::Remember)?;
    write(file, &secret).map_err(Error::Write)
}

fn write(file: &Path, secret: &str) -> std::io::Result<()> {
    let temporary = file.with_extension("token.new");
    let _from_an_interrupted_start = std::fs::remove_file(&temporary);
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    writeln!(out, "{secret}")?;
    out.sync_all()?;
    std::fs::rename(&temporary, file)
}

/// The operator's side of a kernel.
pub(crate) fn control(kernel: &Arc<Kernel<Engine>>) -> Arc<dyn Control> {
    Arc::new(Service(Arc::clone(kernel)))
}
