//! Moves pending work from the ledger to the queue, in small portions.
//!
//! The queue is kept short: what waits, waits in the ledger, where it survives anything.

use std::sync::Arc;
use std::time::Duration;

use docent_pipelines::AssetId;
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
    /// Jobs that may wait in each lane.
    pub lane_length: usize,
    /// Life of a lease; longer than any walk together with its wait in the queue.
    pub lease: Duration,
    /// Life of a lease until its job waits in the queue. Where others share the ledger, a feeder may die in between
    /// without anybody noticing: then it is short, and prolonged to `lease` afterwards.
    pub first_lease: Duration,
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
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fed {
    /// There was room, and nothing to fill it with.
    Nothing,
    /// The lane was full enough.
    Full,
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

    /// Fills both lanes once: a full backfill must not hold up uploads.
    async fn feed(&self) -> Result<Fed, WalkError> {
        let interactive = self.feed_lane(Lane::Interactive).await?;
        Ok(interactive.max(self.feed_lane(Lane::Backfill).await?))
    }

    async fn feed_lane(&self, lane: Lane) -> Result<Fed, WalkError> {
        let room = self.lane_length.saturating_sub(self.queue.depth(lane).await?);
        // Half a lane at a time keeps the ledger's round trips few, except for those whom somebody waits for.
        if room == 0 || (lane == Lane::Backfill && room * 2 < self.lane_length) {
            return Ok(Fed::Full);
        }
        let request = LeaseRequest {
            owner: self.owner.clone(),
            limit: room as u32,
            duration: self.first_lease,
            lane: Some(lane),
            wanted: self.wanted.clone(),
        };
        let jobs = self.ledger.lease(&request).await?;
        let assets: Vec<AssetId> = jobs.iter().map(|job| job.asset.clone()).collect();
        let mut fed = Fed::Nothing;
        for (place, job) in jobs.into_iter().enumerate() {
            match self.queue.publish(job).await {
                Ok(()) => fed = Fed::Some,
                Err(error) => {
                    // Perhaps it was published all the same; a job too many finds its work done.
                    self.give_back(&assets[place..]).await?;
                    return Err(error.into());
                }
            }
        }
        if self.first_lease < self.lease && !assets.is_empty() {
            self.ledger.prolong(&assets, &self.owner, self.lease).await?;
        }
        Ok(fed)
    }

    async fn give_back(&self, assets: &[AssetId]) -> Result<(), StoreError> {
        for asset in assets {
            let mut attempt = 1;
            while let Err(error) = self.ledger.hand_back(asset).await {
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
