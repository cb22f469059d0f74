//! The steady part of the walk: from the first picture that was looked at to the moment when places begin to stay empty.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::machine::{self, Busy};
use crate::progress::Progress;

/// The steady part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Pictures that were looked at in it.
    pub pictures: u64,
    /// Its length.
    pub wall: Duration,
    /// Processor time of this process.
    pub own: Duration,
    /// Of the whole machine.
    pub machine: Busy,
}

/// Between two looks: little beside the seconds that are measured, and seldom enough to take no time itself.
const TICK: Duration = Duration::from_millis(10);

/// Watches until the last pictures are in work; nothing if they were so from the beginning. What is looked at is counted, not what
/// is recorded: that comes many at a time.
pub(super) async fn watch(progress: Arc<Progress>) -> Option<Window> {
    let mut ticks = tokio::time::interval(TICK);
    let mut first = None;
    loop {
        ticks.tick().await;
        let now = progress.snapshot();
        if now.looked > 0 && first.is_none() {
            first = Some((Instant::now(), machine::own(), machine::busy(), now.looked));
        }
        if !now.scanning && now.looked > 0 && now.begun >= now.to_do {
            let (start, own, machine, before) = first?;
            return (now.looked > before).then(|| Window {
                pictures: now.looked - before,
                wall: start.elapsed(),
                own: machine::own().saturating_sub(own),
                machine: machine::busy().since(&machine),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_left_its_place_is_counted_and_not_what_was_recorded() {
        let progress = Arc::new(Progress::default());
        progress.scanning.store(true, Relaxed);
        progress.to_do.store(10, Relaxed);
        progress.begun.store(3, Relaxed);
        let watched = tokio::spawn(watch(Arc::clone(&progress)));
        tokio::time::sleep(3 * TICK).await;
        progress.looked.store(2, Relaxed);
        tokio::time::sleep(3 * TICK).await;
        // Recorded are all of them at once, much later.
        progress.looked.store(8, Relaxed);
        progress.done.store(1, Relaxed);
        progress.begun.store(10, Relaxed);
        tokio::time::sleep(3 * TICK).await;
        assert!(!watched.is_finished(), "more may be found");
        progress.scanning.store(false, Relaxed);
        assert_eq!(watched.await.expect("ends").expect("is a window").pictures, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_steady_part_there_is_no_window() {
        let progress = Arc::new(Progress::default());
        progress.to_do.store(3, Relaxed);
        progress.begun.store(3, Relaxed);
        progress.looked.store(1, Relaxed);
        assert!(watch(progress).await.is_none());
    }
}
