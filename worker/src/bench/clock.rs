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

/// Between two looks.
const TICK: Duration = Duration::from_millis(2);

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
