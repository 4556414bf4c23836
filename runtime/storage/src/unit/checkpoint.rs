//! Brings the WAL back into the database, so that it stays short and no call pays for that.
//!
//! Connections never checkpoint by themselves. A thread looks at the WAL while there are commits, every
//! [`PAUSE`], and does as little as is needed:
//!
//! - from [`PASSIVE_BYTES`] on, it copies what it can; writers and readers do not notice;
//! - from [`RESTART_BYTES`] on, which a steady load reaches because copying alone never finishes, it holds the
//!   writers' gate while it copies the rest and waits at most [`STAND_STILL`] for readers, so that the next commit
//!   begins the WAL anew;
//! - after [`IDLE`] without a commit, when no unit is open, it cuts the file to nothing. Not while one is open:
//!   SQLite would take that for a commit, and a unit that only read so far could not write any more.
//!
//! A reader that stays open keeps all that came after it in the WAL. From [`WARN_BYTES`] on the log says so. Nothing
//! is done about it here: units have deadlines, and only a tool beside the station has none.
//!
//! With Litestream, set [`Settings::checkpoints`](crate::Settings) to false. It replicates the WAL and wants to be the
//! only one who checkpoints; then this thread is not started, and the WAL is as short as Litestream makes it. Its
//! checkpoints hold SQLite's write lock, for which units wait as long as for any tool beside the station.
//!
//! The thread ends when the storage is closed, or when SQLite's flush fails.

use super::{
    desks::Desks,
    gate::Gate,
    ledger::{Ledger, News},
};
use crate::Fault;
use rusqlite::Connection;
use std::{sync::Arc, time::Duration};

/// How often the WAL is looked at while there are commits. A fast disk takes some 5 MB in that time.
const PAUSE: Duration = Duration::from_millis(50);

/// After how long without a commit the WAL is cut.
const IDLE: Duration = Duration::from_secs(10);

/// How long writers wait for readers when the WAL must begin anew. As long as a slow flush, and then not again
/// before the WAL has grown by [`PASSIVE_BYTES`].
const STAND_STILL: Duration = Duration::from_millis(50);

/// SQLite's own default, 1,000 pages: copied in a few milliseconds.
const PASSIVE_BYTES: u64 = 4 << 20;

/// Four of those: a load that is not steady never gets here.
const RESTART_BYTES: u64 = 16 << 20;

/// More than a healthy station needs.
const WARN_BYTES: u64 = 64 << 20;

/// Before each page in the WAL.
const FRAME_HEADER_BYTES: u64 = 24;

/// The thread's own things.
pub(crate) struct Checkpointer {
    connection: Connection,
    ledger: Arc<Ledger>,
    gate: Arc<Gate>,
    desks: Arc<Desks>,
    /// Bytes of a page, with the header that each has in the WAL.
    frame_bytes: u64,
    /// From how many bytes on to begin the WAL anew.
    restart_at: u64,
    /// True while the WAL is longer than it should be, which the log has said.
    warned: bool,
}

/// How long the WAL is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length {
    /// From its beginning to the last commit.
    pub(crate) whole: u64,
    /// What of it is not in the database yet.
    pub(crate) ahead: u64,
}

impl Checkpointer {
    /// A checkpointer with a connection of its own.
    pub(crate) fn new(
        connection: Connection,
        page_bytes: u64,
        ledger: Arc<Ledger>,
        gate: Arc<Gate>,
        desks: Arc<Desks>,
    ) -> Self {
        let frame_bytes = page_bytes + FRAME_HEADER_BYTES;
        Self { connection, ledger, gate, desks, frame_bytes, restart_at: RESTART_BYTES, warned: false }
    }

    /// Looks after the WAL until the ledger is closed or the disk fails.
    pub(crate) fn run(mut self) {
        let (mut seen, mut cut) = (0, true);
        loop {
            match self.ledger.news(seen, (!cut).then_some(IDLE)) {
                News::Done(done) => (seen, cut) = (done, false),
                News::Nothing => cut = self.did(Self::cut).unwrap_or(false),
                News::Closing => return,
            }
            if self.ledger.healthy().is_err() || self.ledger.nap(PAUSE) {
                return;
            }
            if !cut {
                self.did(Self::look);
            }
        }
    }

    /// What `f` did; none when it failed, which the log says.
    fn did<T>(&mut self, f: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Option<T> {
        let done = f(self).map_err(Fault::from).inspect_err(|fault| self.ledger.beware(fault));
        let say = |fault: &Fault| tracing::warn!(%fault, "cannot bring the WAL back into the database; it grows");
        done.inspect_err(say).ok()
    }

    /// Does what the length of the WAL asks for.
    fn look(&mut self) -> rusqlite::Result<()> {
        let mut length = self.checkpoint("NOOP")?;
        if length.ahead >= PASSIVE_BYTES {
            length = self.checkpoint("PASSIVE")?;
        }
        if length.whole >= self.restart_at {
            length = self.restart()?;
            self.restart_at = RESTART_BYTES.max(length.whole + PASSIVE_BYTES);
        } else if length.whole < RESTART_BYTES {
            self.restart_at = RESTART_BYTES;
        }
        self.warn(length);
        Ok(())
    }

    /// Copies everything while nobody writes, and waits for who reads, so that the next commit begins the WAL anew.
    fn restart(&mut self) -> rusqlite::Result<Length> {
        match self.gate.enter(IDLE, || false) {
            Some(_held) => self.checkpoint("RESTART"),
            None => self.checkpoint("NOOP"),
        }
    }

    /// Cuts the file to nothing; false when somebody is using it.
    fn cut(&mut self) -> rusqlite::Result<bool> {
        match self.gate.enter(Duration::ZERO, || false) {
            Some(_held) if self.desks.lent() == 0 => Ok(self.checkpoint("TRUNCATE")?.whole == 0),
            _ => Ok(false),
        }
    }

    /// How long the WAL is after a checkpoint of this kind; one that somebody is in the way of does what it can.
    fn checkpoint(&self, kind: &'static str) -> rusqlite::Result<Length> {
        self.connection.busy_timeout(STAND_STILL)?;
        let mut statement = self.connection.prepare_cached(&format!("PRAGMA wal_checkpoint({kind})"))?;
        let (whole, copied) = statement.query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?;
        let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0) * self.frame_bytes;
        Ok(Length { whole: bytes(whole), ahead: bytes(whole.saturating_sub(copied)) })
    }

    /// Once for each time that it gets too long.
    fn warn(&mut self, length: Length) {
        let long = length.whole >= WARN_BYTES;
        if long && !self.warned {
            tracing::warn!(
                bytes = length.whole,
                "the WAL cannot begin anew because somebody reads an old state; is a tool beside the station open?"
            );
        }
        self.warned = long;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Settings, Storage,
        unit::tests::{all, commit_much, commit_row, opened_with, reading},
    };
    use tempfile::TempDir;

    /// A storage without a thread for checkpoints, and what that would have.
    fn opened() -> (TempDir, Storage, Checkpointer) {
        let settings = Settings { checkpoints: false, ..Settings::default() };
        let (folder, storage) = opened_with(settings, Box::new(std::fs::File::sync_data));
        let connection = crate::connection::open_checkpointer(&folder.path().join("station.db")).unwrap();
        let units = &storage.inner.units;
        let (ledger, gate, desks) = (units.ledger.clone(), units.gate.clone(), units.desks.clone());
        let checkpointer = Checkpointer::new(connection, units.page_bytes, ledger, gate, desks);
        (folder, storage, checkpointer)
    }

    fn commit(storage: &Storage, bytes: u64) {
        (0..bytes / (200 << 10) + 1).for_each(|number| commit_much(storage, number as u8));
    }

    fn length(own: &Checkpointer) -> Length {
        own.checkpoint("NOOP").unwrap()
    }

    #[test]
    fn a_short_wal_is_left_alone() {
        let (_folder, storage, mut own) = opened();
        commit(&storage, PASSIVE_BYTES / 2);
        let before = length(&own);
        assert!(before.ahead > PASSIVE_BYTES / 2 && before.ahead < PASSIVE_BYTES);
        own.look().unwrap();
        assert_eq!(length(&own), before);
    }

    #[test]
    fn a_longer_one_is_copied_and_begins_anew_by_itself() {
        let (_folder, storage, mut own) = opened();
        commit(&storage, PASSIVE_BYTES);
        own.look().unwrap();
        assert_eq!(length(&own).ahead, 0);
        commit_row(&storage, 1, 10);
        assert!(length(&own).whole < 1 << 20, "{:?}", length(&own));
    }

    #[test]
    fn a_long_one_begins_anew_as_soon_as_nobody_is_in_the_way() {
        let (_folder, storage, mut own) = opened();
        let mut old = reading(&storage);
        commit(&storage, RESTART_BYTES);
        own.look().unwrap();
        let long = length(&own);
        assert!(long.whole >= RESTART_BYTES && own.restart_at == long.whole + PASSIVE_BYTES);
        all(&mut *old);
        drop(old);
        commit(&storage, PASSIVE_BYTES);
        own.look().unwrap();
        commit_row(&storage, 1, 10);
        assert!(length(&own).whole < 1 << 20, "{:?}", length(&own));
        own.look().unwrap();
        assert_eq!(own.restart_at, RESTART_BYTES);
    }

    #[test]
    fn an_idle_one_is_cut_unless_a_unit_is_open() {
        let (folder, storage, mut own) = opened();
        let bytes = || std::fs::metadata(folder.path().join("station.db-wal")).unwrap().len();
        commit_row(&storage, 1, 10);
        let mut unit = reading(&storage);
        assert!(!own.cut().unwrap() && bytes() > 0);
        // What would have been a conflict if the WAL had been cut.
        unit.lock().unwrap();
        assert!(!own.cut().unwrap());
        drop(unit);
        assert!(own.cut().unwrap());
        assert_eq!(bytes(), 0);
        commit_row(&storage, 2, 20);
        assert_eq!(all(&mut *reading(&storage)).len(), 2);
    }

    #[test]
    fn one_that_stays_long_is_told_once() {
        let (_folder, _storage, mut own) = opened();
        let said = |own: &mut Checkpointer, whole| {
            own.warn(Length { whole, ahead: 0 });
            own.warned
        };
        assert!(!said(&mut own, WARN_BYTES - 1) && said(&mut own, WARN_BYTES) && !said(&mut own, 0));
    }
}
