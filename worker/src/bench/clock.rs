//! The steady part of the walk: from the first finished picture to the moment when places begin to stay empty.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::machine::{self, Busy};
use crate::progress::Progress;

/// The steady part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Pictures that were finished in it.
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

/// Watches until the last `in_flight` pictures are in work; nothing if there are no more than those.
pub(super) async fn watch(progress: Arc<Progress>, in_flight: u64) -> Option<Window> {
    let mut ticks = tokio::time::interval(TICK);
    let mut first = None;
    loop {
        ticks.tick().await;
        let now = progress.snapshot();
        let done = now.done + now.failed;
        if done > 0 && first.is_none() {
            first = Some((Instant::now(), machine::own(), machine::busy(), done));
        }
        if !now.scanning && done > 0 && done + in_flight >= now.to_do {
            let (start, own, machine, before) = first?;
            return (done > before).then(|| Window {
                pictures: done - before,
                wall: start.elapsed(),
                own: machine::own().saturating_sub(own),
                machine: machine::busy().since(&machine),
            });
        }
    }
}
