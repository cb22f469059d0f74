//! Slots for analyzing pictures. Fetched pictures wait here: analyzing more of them than there are cores would only take the caches
//! from each other.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::progress::Progress;
use crate::queue::Lane;

/// The slots of a worker. Clones share them.
#[derive(Clone)]
pub(super) struct Slots {
    uploads: Arc<Semaphore>,
    backfill: Arc<Semaphore>,
    progress: Arc<Progress>,
}

/// A slot, which ends when this is dropped.
pub(super) struct Slot<'a> {
    _permit: SemaphorePermit<'a>,
    progress: &'a Progress,
}

impl Slots {
    /// Allows `at_once` pictures of each lane.
    pub fn new(at_once: usize, progress: &Arc<Progress>) -> Self {
        let lane = || Arc::new(Semaphore::new(at_once.max(1)));
        Self { uploads: lane(), backfill: lane(), progress: Arc::clone(progress) }
    }

    /// Waits for a slot. An upload does not wait for pictures of a backfill.
    pub async fn take(&self, lane: Lane) -> Slot<'_> {
        let lane = match lane {
            Lane::Interactive => &self.uploads,
            Lane::Backfill => &self.backfill,
        };
        let permit = lane.acquire().await.expect("the semaphore is never closed");
        self.progress.looking.fetch_add(1, Relaxed);
        Slot { _permit: permit, progress: &self.progress }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.progress.looking.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_backfill_waits_for_its_slot_and_an_upload_does_not_wait_for_it() {
        for at_once in [1, 2] {
            let progress = Arc::new(Progress::default());
            let slots = Slots::new(at_once, &progress);
            let take = |lane| slots.take(lane).now_or_never();
            let backfill: Vec<_> = (0..at_once).map(|_| take(Lane::Backfill).expect("is free")).collect();
            assert!(take(Lane::Backfill).is_none());
            let uploads: Vec<_> = (0..at_once).map(|_| take(Lane::Interactive).expect("is free")).collect();
            assert!(take(Lane::Interactive).is_none());
            assert_eq!(progress.looking.load(Relaxed), 2 * at_once as u64);
            drop(backfill);
            assert!(take(Lane::Backfill).is_some());
            drop(uploads);
            assert_eq!(progress.looking.load(Relaxed), 0);
        }
    }
}
