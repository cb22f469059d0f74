//! Moves pending work from the ledger to the queue, in small portions.
//!
//! The queue is kept short: what waits, waits in the ledger, where it survives anything.

use std::sync::Arc;
use std::time::Duration;

use docent_pipelines::AssetId;
use tokio::sync::Notify;
use tokio::time::Instant;
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

/// After this time the ledger is asked again whether there is something new: another process may have written to it. Until then
/// only [`Feeder::wake`] tells, since each question makes the ledger's other writers wait.
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
        let mut asked = None;
        loop {
            let waits = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                fed = self.feed(&mut asked) => match fed {
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
                () = self.wake.notified() => asked = None,
                () = tokio::time::sleep(waits) => {}
            }
        }
        self.queue.close().await;
    }

    /// Fills both lanes once: a full backfill must not hold up uploads. `asked` is when the ledger had none of these; while the
    /// backfill goes on, it is asked again as often as when there is nothing to do.
    async fn feed(&self, asked: &mut Option<Instant>) -> Result<Fed, WalkError> {
        let mut interactive = Fed::Nothing;
        if asked.is_none_or(|asked| asked.elapsed() >= IDLE) {
            interactive = self.feed_lane(Lane::Interactive).await?;
            *asked = (interactive == Fed::Nothing).then(Instant::now);
        }
        let fed = interactive.max(self.feed_lane(Lane::Backfill).await?);
        if fed == Fed::Nothing {
            *asked = None;
        }
        Ok(fed)
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use docent_pipelines::VectorSpace;
    use docent_pipelines::asset::ContentHash;

    use super::*;
    use crate::queue::{AnalyzeAsset, Job, MemoryQueue};
    use crate::store::{
        Begun, EventSink, Finished, FoundFile, KnownFile, Outstanding, Recorded, Registered, Requeue,
    };

    /// A backfill without end and uploads, and the times at which either was asked for.
    #[derive(Default)]
    struct Work {
        uploads: Mutex<Vec<AnalyzeAsset>>,
        asked: Mutex<HashMap<Option<Lane>, Vec<Instant>>>,
        assets: Mutex<u32>,
    }

    impl Work {
        fn job(&self, lane: Lane) -> AnalyzeAsset {
            let mut assets = self.assets.lock().expect("whole");
            *assets += 1;
            let asset = ContentHash::of(&assets.to_le_bytes()).asset_id();
            AnalyzeAsset { asset, uris: Vec::new(), analyzers: Vec::new(), lane, alone: false }
        }

        fn asked(&self, lane: Lane) -> Vec<Instant> {
            self.asked.lock().expect("whole").get(&Some(lane)).cloned().unwrap_or_default()
        }
    }

    #[async_trait]
    impl Ledger for Work {
        async fn lease(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError> {
            self.asked.lock().expect("whole").entry(request.lane).or_default().push(Instant::now());
            let limit = request.limit as usize;
            if request.lane == Some(Lane::Interactive) {
                let mut uploads = self.uploads.lock().expect("whole");
                let given = limit.min(uploads.len());
                return Ok(uploads.drain(..given).collect());
            }
            Ok((0..limit).map(|_| self.job(Lane::Backfill)).collect())
        }
        async fn outstanding(&self, _: &Wanted) -> Result<Outstanding, StoreError> {
            unreachable!("there is always something to do")
        }
        async fn known_files(&self, _: &[String]) -> Result<HashMap<String, KnownFile>, StoreError> {
            unreachable!()
        }
        async fn register(&self, _: &[FoundFile], _: &Wanted) -> Result<Registered, StoreError> {
            unreachable!()
        }
        async fn recover(&self, _: u32) -> Result<u64, StoreError> {
            unreachable!()
        }
        fn give_up_after(&self, _: u32) {}
        async fn begin_run(&self, _: &AnalyzeAsset, _: &str) -> Result<Begun, StoreError> {
            unreachable!()
        }
        async fn record(&self, _: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
            unreachable!()
        }
        async fn hand_back(&self, _: &AssetId) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn hand_back_all(&self, _: &str) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn requeue(&self, _: Requeue, _: &Wanted, _: Option<&[AssetId]>) -> Result<u64, StoreError> {
            unreachable!()
        }
        async fn relay_events(&self, _: &dyn EventSink, _: u32) -> Result<u64, StoreError> {
            unreachable!()
        }
        async fn prolong(&self, _: &[AssetId], _: &str, _: Duration) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn holders(&self, _: &VectorSpace, _: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
            unreachable!()
        }
        async fn drop_space(&self, _: &VectorSpace) -> Result<u64, StoreError> {
            unreachable!()
        }
        async fn upkeep(&self) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn ping(&self) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn close(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_are_asked_for_now_and_then_and_at_once_if_somebody_knows_of_them() {
        let (work, queue) = (Arc::new(Work::default()), Arc::new(MemoryQueue::new(4)));
        let feeder = Feeder {
            ledger: Arc::clone(&work) as Arc<dyn Ledger>,
            queue: Arc::clone(&queue) as Arc<dyn Queue>,
            wanted: Wanted::new(),
            owner: "me".to_owned(),
            lane_length: 4,
            lease: Duration::from_secs(60),
            first_lease: Duration::from_secs(60),
            retry: RetryPolicy {
                max_attempts: 3,
                base_delay: Duration::from_millis(2),
                max_delay: Duration::from_millis(10),
            },
            wake: Arc::new(Notify::new()),
        };
        let (stop, never) = (CancellationToken::new(), CancellationToken::new());
        let wake = Arc::clone(&feeder.wake);
        let looking_on = async {
            // The backfill is full all the time: nobody takes anything.
            tokio::time::sleep(4 * IDLE + IDLE / 2).await;
            assert_eq!(work.asked(Lane::Interactive).len(), 5);
            assert_eq!(work.asked(Lane::Backfill).len(), 1);

            // More than there is room for comes without a pause as soon as there is room.
            let uploads: Vec<AnalyzeAsset> = (0..6).map(|_| work.job(Lane::Interactive)).collect();
            work.uploads.lock().expect("whole").extend(uploads.clone());
            let known = Instant::now();
            wake.notify_one();
            let mut received = Vec::new();
            while received.len() < uploads.len() {
                let delivery = queue.receive().await.expect("is asked").expect("is open");
                if let Job::Analyze(job) = delivery.job {
                    received.extend((job.lane == Lane::Interactive).then_some(job.asset));
                }
                queue.ack(delivery.receipt).await.expect("is settled");
            }
            assert_eq!(received, uploads.iter().map(|job| job.asset.clone()).collect::<Vec<_>>());
            assert!(known.elapsed() < IDLE / 2, "{:?}", known.elapsed());
            stop.cancel();
        };
        tokio::join!(feeder.run(&stop, &never), looking_on);
    }
}
