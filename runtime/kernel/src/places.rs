//! The places for root calls of one module.
//!
//! A root call waits for a place and holds it to its end, so that no module takes every call thread. The number of
//! places follows the operator's ceiling while calls run: fewer places means that those which are given back are not
//! given out again, so that at no moment more calls run than either ceiling allowed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places of a module.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Clone, Copy)]
struct Size {
    max: u32,
    /// Places that are in use and will not be given out again.
    owed: u32,
}

/// A place that is taken; given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut size = self.places.size();
        if size.owed > 0 {
            size.owed -= 1;
            self.permit.take().into_iter().for_each(OwnedSemaphorePermit::forget);
        }
    }
}

impl Places {
    pub(crate) fn new(max: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(max as usize)), size: Mutex::new(Size { max, owed: 0 }) }
    }

    /// Makes it `max` places, whatever is in use.
    pub(crate) fn resize(&self, max: u32) {
        let mut size = self.size();
        if max > size.max {
            let more = max - size.max;
            let kept = more.min(size.owed);
            size.owed -= kept;
            self.free.add_permits((more - kept) as usize);
        } else {
            let fewer = size.max - max;
            let forgotten = u32::try_from(self.free.forget_permits(fewer as usize)).unwrap_or(fewer);
            size.owed += fewer.saturating_sub(forgotten);
        }
        size.max = max;
    }

    /// A place, now.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Place { places: Arc::clone(self), permit: Some(permit) })
    }

    /// A place, in the order in which it was asked for.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Place { places: Arc::clone(self), permit: Some(permit) })
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Arc<Places>, count: usize) -> Vec<Place> {
        (0..count).map_while(|_| places.try_take()).collect()
    }

    #[test]
    fn never_more_are_taken_than_there_are() {
        let places = Arc::new(Places::new(3));
        let taken = take(&places, 9);
        assert_eq!(taken.len(), 3);
        places.resize(1);
        drop(taken);
        assert_eq!(take(&places, 9).len(), 1);
        places.resize(4);
        assert_eq!(take(&places, 9).len(), 4);
    }

    #[test]
    fn places_that_are_still_in_use_are_not_given_out_anew() {
        let places = Arc::new(Places::new(3));
        let mut taken = take(&places, 3);
        places.resize(1);
        places.resize(2);
        taken.pop();
        assert_eq!(take(&places, 9).len(), 0, "two are in use");
        taken.pop();
        assert_eq!(take(&places, 9).len(), 1, "one is");
    }
}
