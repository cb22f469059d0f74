//! The places of the pictures in work.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gathering::Counted;
use crate::progress::Progress;

/// What a walk holds while it looks at its picture, and lets go of when that is no longer needed.
pub(super) struct Place {
    _permits: OwnedSemaphorePermit,
    _looking: Option<Counted>,
    progress: Arc<Progress>,
}

impl Place {
    /// What `permits` allow, counted by `progress` until it is dropped.
    pub fn new(permits: OwnedSemaphorePermit, looking: Option<Counted>, progress: &Arc<Progress>) -> Self {
        progress.begun.fetch_add(1, Relaxed);
        Self { _permits: permits, _looking: looking, progress: Arc::clone(progress) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.progress.looked.fetch_add(1, Relaxed);
    }
}

/// So many places, once they are free.
pub(super) async fn places(room: &Arc<Semaphore>, number: usize) -> OwnedSemaphorePermit {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    Arc::clone(room).acquire_many_owned(number).await.expect("the semaphore is never closed")
}
