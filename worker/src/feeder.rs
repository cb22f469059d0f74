//! Moves pending work from the ledger to the queue, in small portions.
//!
//! The queue is kept short: what waits, waits in the ledger, where it survives anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::disposition::{RetryPolicy, WalkError};
use crate::queue::{Lane, Queue};
use crate::store::{LeaseRequest, Ledger, StoreError, Wanted};

/// Feeds one queue from one ledger.
pub struct Feeder {
    /// From here.
    pub ledger: Arc<dyn Ledger>,
    /// To here.
    pub queue: Arc<dyn Queue>,
    /// Which work.
    pub wanted: Wanted,
    /// Names this process in the ledger.
    pub owner: String,
    /// Jobs that may wait in the queue, both lanes together.
    pub queue_length: usize,
    /// Life of a lease; longer than any walk together with its wait in the queue.
    pub lease: Duration,
    /// How long to wait after an error.
    pub retry: RetryPolicy,
    /// Somebody knows of new work.
    pub wake: Arc<Notify>,
}

/// With nothing to feed, the ledger is asked again after this time: another process may have written to it.
const IDLE: Duration = Duration::from_millis(250);

/// A full queue is looked at again after this time: short against the time in which the consumers empty half of it.
const FULL: Duration = Duration::from_millis(25);

/// What one look at queue and ledger did.
enum Fed {
    /// The queue was full enough.
    Full,
    /// There was room, and nothing to fill it with.
    Nothing,
    /// Jobs were published.
    Some,
}

impl Feeder {
    /// Feeds until `stop`, or until `complete` is set and no work is outstanding; then closes the queue.
    /// `complete` says that nobody registers further work.
    pub async fn run(&self, stop: &CancellationToken, complete: &CancellationToken) {
        loop {
            let waits = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                fed = self.feed() => match fed {
                    Ok(Fed::Full) => FULL,
                    Ok(Fed::Nothing) => match self.outstanding(complete).await {
                        Some(wait) => wait,
                        None => break,
                    },
                    Ok(Fed::Some) => continue,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "cannot feed the queue; waiting");
                        self.retry.delay(1, fastrand::f64())
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(waits) => {}
            }
        }
        self.queue.close().await;
    }

    /// Fills the queue once.
    async fn feed(&self) -> Result<Fed, WalkError> {
        let waiting = self.queue.depth(Lane::Interactive).await? + self.queue.depth(Lane::Backfill).await?;
        let room = self.queue_length.saturating_sub(waiting);
        // Half a queue at a time keeps the ledger's round trips few.
        if room * 2 < self.queue_length {
            return Ok(Fed::Full);
        }
        let request = LeaseRequest {
            owner: self.owner.clone(),
            limit: room as u32,
            duration: self.lease,
            wanted: self.wanted.clone(),
        };
        let mut jobs = self.ledger.lease(&request).await?.into_iter();
        let mut fed = Fed::Nothing;
        while let Some(job) = jobs.next() {
            let asset = job.asset.clone();
            match self.queue.publish(job).await {
                Ok(()) => fed = Fed::Some,
                Err(error) => {
                    // Perhaps it was published all the same; a job too many finds its work done.
                    self.give_back(std::iter::once(asset).chain(jobs.map(|job| job.asset))).await?;
                    return Err(error.into());
                }
            }
        }
        Ok(fed)
    }

    async fn give_back(
        &self,
        assets: impl Iterator<Item = docent_pipelines::AssetId>,
    ) -> Result<(), StoreError> {
        for asset in assets {
            let mut attempt = 1;
            while let Err(error) = self.ledger.hand_back(&asset).await {
                if attempt == 5 {
                    return Err(error);
                }
                tokio::time::sleep(self.retry.delay(attempt, fastrand::f64())).await;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// How long to wait for more work, or `None` if there will be none.
    async fn outstanding(&self, complete: &CancellationToken) -> Option<Duration> {
        // Read before the ledger is asked: what was registered until then is in its answer.
        let complete = complete.is_cancelled();
        match self.ledger.outstanding(&self.wanted).await {
            Ok(left) if complete && left.assets == 0 => None,
            Ok(left) if left.ready > 0 => Some(Duration::from_millis(20)),
            Ok(left) => Some(left.next_ready_in.unwrap_or(IDLE).clamp(Duration::from_millis(10), IDLE)),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot ask for outstanding work; waiting"
                );
                Some(self.retry.delay(1, fastrand::f64()))
            }
        }
    }
}
