//! Waits for others, so that work that is cheaper together is done together.
//!
//! Nobody waits when nothing else can arrive: [`Count`] knows how many may still bring something.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many are at something. Clones count together.
#[derive(Clone)]
pub struct Count(watch::Sender<usize>);

/// One that is counted until it is dropped.
pub struct Counted(watch::Sender<usize>);

impl Count {
    /// Nobody yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// One more, until the answer is dropped.
    pub fn one(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.0.clone())
    }

    fn is_zero(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Waits until not more than `most` are left.
    pub async fn at_most(&self, most: usize) {
        // An error would say that no sender is left; this is one.
        drop(self.0.subscribe().wait_for(|count| *count <= most).await);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// What a batch wants after a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// More, and to wait for it.
    Wait,
    /// What is there already; it is not worth waiting.
    Take,
    /// Nothing more.
    Full,
}

/// When waiting ends.
pub(super) struct Window<'a> {
    pub delay: Duration,
    /// As long as there are any, more may come.
    pub others: &'a Count,
    pub stop: &'a CancellationToken,
}

impl Window<'_> {
    /// Gives `first` and what comes after it to `take`, until that wants no more, nobody else can come, or the time is up.
    pub(super) async fn collect<M>(
        &self,
        first: M,
        messages: &mut mpsc::Receiver<M>,
        mut take: impl FnMut(M) -> Demand,
    ) {
        let deadline = Instant::now() + self.delay;
        let mut demand = take(first);
        while demand != Demand::Full {
            // What lies there costs no waiting.
            if let Ok(message) = messages.try_recv() {
                demand = take(message);
                continue;
            }
            if demand == Demand::Take || self.others.is_zero() || self.stop.is_cancelled() {
                break;
            }
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(message) => demand = take(message),
                    None => break,
                },
                () = self.others.at_most(0) => {}
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
    }
}
