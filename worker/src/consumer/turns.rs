//! Who looks at a picture now. What is begun and fetched waits here: more at work on pictures than there are cores would only take
//! the caches from each other.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::queue::Lane;

/// The turns of the pictures in work. Clones share them.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// So many pictures of a backfill are looked at at once.
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.max(1))))
    }

    /// Waits for a turn, which ends when the answer is dropped. Whoever waits for a picture waits for nobody.
    pub async fn take(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        match lane {
            Lane::Interactive => None,
            Lane::Backfill => Some(self.0.acquire().await.expect("the semaphore is never closed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_backfill_waits_for_its_turn_and_an_upload_does_not() {
        for at_once in [1, 2] {
            let turns = Turns::new(at_once);
            let take = |lane| turns.take(lane).now_or_never();
            let first: Vec<_> = (0..at_once).map(|_| take(Lane::Backfill).expect("is free")).collect();
            assert!(take(Lane::Backfill).is_none());
            assert!(take(Lane::Interactive).is_some());
            drop(first);
            assert!(take(Lane::Backfill).is_some());
        }
    }
}
