//! Flushes the WAL for everybody who waits: one `fdatasync` for all commits that came before it.
//!
//! Units commit with `synchronous = NORMAL`, so that `COMMIT` only writes to the page cache and gives the write lock
//! to the next at once. A thread of its own takes the newest commit that has returned, flushes, and tells everybody up
//! to there; what was committed meanwhile is flushed by the next round. So the disk sets the pace of rounds and not of
//! commits. By default there is one round at a time and no pause between them.
//!
//! It flushes through a descriptor of its own, of the `-wal` file and opened once. SQLite keeps that file as long as
//! any connection is open, and flushes the database itself before it writes the WAL from its beginning again, so a
//! commit is always in what was flushed of one or the other. Never of the database file: closing any descriptor of
//! that would end SQLite's POSIX locks.
//!
//! It ends when the storage is closed, after a last round, or with the first flush that fails.

use super::ledger::{Ledger, News};
use std::{fs::File, io, sync::Arc};

/// Puts on the disk what was written to a file.
pub(crate) type Sync = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// The thread's own things.
pub(crate) struct Flusher {
    ledger: Arc<Ledger>,
    wal: File,
    sync: Sync,
}

impl Flusher {
    /// A flusher of the file `wal`.
    pub(crate) fn new(ledger: Arc<Ledger>, wal: File, sync: Sync) -> Self {
        Self { ledger, wal, sync }
    }

    /// Flushes until the ledger is closed or the disk fails.
    pub(crate) fn run(mut self) {
        let mut durable = 0;
        while let News::Done(done) = self.ledger.news(durable, None) {
            match (self.sync)(&self.wal) {
                Ok(()) => self.ledger.publish(done),
                Err(error) => return self.ledger.poison(&error),
            }
            durable = done;
        }
    }
}
