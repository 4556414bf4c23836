//! The connections of units.
//!
//! By default one is made when a unit finds none that is free, up to a bound, and kept for the next. A unit has its
//! connection for itself from its beginning to its end. One comes back only if its transaction has ended and it is as
//! it was, and is closed otherwise; so what a unit left behind, panic or not, never meets the next.

use crate::{Fault, connection, sql::Desk};
use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a unit waits for a connection. There are as many as calls that can run, so one is free at once, except
/// while the one before it rolls back.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Lends connections to units.
pub(crate) struct Desks {
    file: PathBuf,
    lent_max: usize,
    stock: Mutex<Stock>,
    returned: Condvar,
}

#[derive(Default)]
struct Stock {
    idle: Vec<Desk>,
    lent: usize,
}

/// A connection in use. Goes back when dropped.
pub(crate) struct Lent {
    desks: Arc<Desks>,
    desk: Option<Desk>,
}

impl Desks {
    /// At most `lent_max` connections to `file`, none made yet.
    pub(crate) fn new(file: PathBuf, lent_max: usize) -> Self {
        Self { file, lent_max, stock: Mutex::default(), returned: Condvar::new() }
    }

    /// A connection, or none if all were in use for too long.
    pub(crate) fn lend(self: &Arc<Self>) -> Result<Option<Lent>, Fault> {
        let full = |stock: &mut Stock| stock.lent >= self.lent_max;
        let waited = self.returned.wait_timeout_while(self.stock(), WAIT_MAX, full);
        let (mut stock, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if full(&mut stock) {
            return Ok(None);
        }
        stock.lent += 1;
        let idle = stock.idle.pop();
        drop(stock);
        let mut lent = Lent { desks: self.clone(), desk: idle };
        lent.made()?;
        Ok(Some(lent))
    }

    /// How many are in use.
    pub(crate) fn lent(&self) -> usize {
        self.stock().lent
    }

    /// Nothing can leave the stock half changed, so a panic elsewhere is no reason to stop.
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    fn made(&mut self) -> Result<(), Fault> {
        if self.desk.is_none() {
            self.desk = Some(Desk::new(connection::open_unit(&self.desks.file)?)?);
        }
        Ok(())
    }

    /// The connection; none is only there once this was dropped.
    pub(crate) fn desk(&mut self) -> Option<&mut Desk> {
        self.desk.as_mut()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let clean = self.desk.take().filter(|desk| !desk.in_transaction() && desk.is_as_new());
        let mut stock = self.desks.stock();
        stock.lent -= 1;
        stock.idle.extend(clean);
        drop(stock);
        self.desks.returned.notify_one();
    }
}
