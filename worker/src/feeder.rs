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
use crate::store::{LeaseRequest, Ledger, StoreError, Waiting, Wanted};

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
    /// How long a lane has to be seen empty before leases whose jobs should be in it are taken back.
    pub vanished: Duration,
    /// How long to wait after an error.
    pub retry: RetryPolicy,
    /// Somebody knows of new work.
    pub wake: Arc<Notify>,
}

/// After this time the ledger is asked again whether there is something new: another process may have written to it. Until then
/// only [`Feeder::wake`] tells.
const IDLE: Duration = Duration::from_millis(250);

/// While nothing is left and nobody waits for the end, the pause is doubled each time up to this: each question is one statement,
/// and an archive's database has other things to do.
const LONG_IDLE: Duration = Duration::from_secs(1);

/// What could be leased and was not, because others were faster or in the way, is asked for again after this time.
const SHORT: Duration = Duration::from_millis(20);

/// No wait for a retry is shorter.
const SHORTEST: Duration = Duration::from_millis(10);

/// A full queue is looked at again after this time: short against the time in which the consumers empty half of it.
const FULL: Duration = Duration::from_millis(25);

/// What earlier looks have shown.
#[derive(Default)]
struct Looks {
    /// When the ledger had no uploads; while the backfill goes on, it is asked again as often as when there is nothing to do.
    asked: Option<Instant>,
    /// Since when nothing is known of the uploads, and of the backfill, neither in the queue nor in the hands of this process.
    empty: [Option<Instant>; 2],
    /// The pause after a look that found nothing; `None` before the first, or where there was something, or somebody knows of some.
    rested: Option<Duration>,
}

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
        let mut looks = Looks::default();
        loop {
            let waits = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                looked = self.look(&mut looks, complete) => match looked {
                    Ok(Some(Duration::ZERO)) => continue,
                    Ok(Some(wait)) => wait,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "cannot feed the queue; waiting");
                        self.retry.delay(1, fastrand::f64())
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => (looks.asked, looks.rested) = (None, None),
                () = tokio::time::sleep(waits) => {}
            }
        }
        self.queue.close().await;
    }

    /// Feeds if there is anything to feed. Answers how long to wait for more work, or `None` if there will be none.
    async fn look(
        &self,
        looks: &mut Looks,
        complete: &CancellationToken,
    ) -> Result<Option<Duration>, WalkError> {
        // After a look that found nothing one question is enough for both lanes: no lease is tried.
        if looks.rested.is_some() {
            for (lane, empty) in [Lane::Interactive, Lane::Backfill].into_iter().zip(&mut looks.empty) {
                self.watch(lane, empty).await?;
            }
            let (complete, waiting) = self.waiting(complete).await?;
            if !waiting.ready && !waiting.overdue {
                return Ok(looks.rest(complete, &waiting));
            }
        }
        match self.feed(looks).await? {
            Fed::Nothing => {
                let (complete, waiting) = self.waiting(complete).await?;
                Ok(looks.rest(complete, &waiting))
            }
            fed => {
                looks.rested = None;
                Ok(Some(if fed == Fed::Full { FULL } else { Duration::ZERO }))
            }
        }
    }

    /// Whether the work is complete, and what there is of it.
    async fn waiting(&self, complete: &CancellationToken) -> Result<(bool, Waiting), StoreError> {
        // Read before the ledger is asked: what was registered until then is in its answer.
        let complete = complete.is_cancelled();
        Ok((complete, self.ledger.waiting(&self.wanted).await?))
    }

    /// Fills both lanes once: a full backfill must not hold up uploads.
    async fn feed(&self, looks: &mut Looks) -> Result<Fed, WalkError> {
        let mut interactive = Fed::Nothing;
        if looks.asked.is_none_or(|asked| asked.elapsed() >= IDLE) {
            interactive = self.feed_lane(Lane::Interactive, &mut looks.empty[0]).await?;
            looks.asked = (interactive == Fed::Nothing).then(Instant::now);
        }
        let fed = interactive.max(self.feed_lane(Lane::Backfill, &mut looks.empty[1]).await?);
        if fed == Fed::Nothing {
            looks.asked = None;
        }
        Ok(fed)
    }

    /// Takes leases back of a lane that was seen empty for long enough. Answers how many jobs wait in it.
    async fn watch(&self, lane: Lane, empty: &mut Option<Instant>) -> Result<usize, WalkError> {
        let depth = self.queue.depth(lane).await?;
        if depth > 0 || self.queue.held(lane) > 0 {
            *empty = None;
        } else if empty.get_or_insert_with(Instant::now).elapsed() >= self.vanished {
            *empty = None;
            self.take_back(lane).await?;
        }
        Ok(depth)
    }

    async fn feed_lane(&self, lane: Lane, empty: &mut Option<Instant>) -> Result<Fed, WalkError> {
        let depth = self.watch(lane, empty).await?;
        let room = self.lane_length.saturating_sub(depth);
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

    /// A lane that stays empty, and of which nothing is in work here, has lost the jobs that were published to it: it was
    /// deleted, or its broker was. Or another worker has fetched more than it gets to; then this one has nothing better to do.
    /// Leases of jobs that are on their way to the queue are left to end by themselves.
    async fn take_back(&self, lane: Lane) -> Result<(), StoreError> {
        let published = if self.first_lease < self.lease { self.first_lease } else { Duration::ZERO };
        let left = published..self.lease.saturating_sub(self.vanished);
        let taken = self.ledger.take_back(lane, left).await?;
        if taken > 0 {
            tracing::info!(
                ?lane,
                taken,
                "the lane is empty, and these jobs are leased: they are published again"
            );
            metrics::counter!("docent_leases_taken_back_total").increment(taken);
        }
        Ok(())
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
}

impl Looks {
    /// How long to wait after a look that found nothing to lease, or `None` if there will be no more work.
    fn rest(&mut self, complete: bool, waiting: &Waiting) -> Option<Duration> {
        if complete && !waiting.left {
            return None;
        }
        // What is in work here or elsewhere may end, or come back, at any moment.
        let pause = match self.rested {
            Some(before) if !waiting.leased && !waiting.ready => (before * 2).min(LONG_IDLE),
            _ => IDLE,
        };
        self.rested = Some(pause);
        if waiting.ready {
            return Some(SHORT);
        }
        Some(waiting.next_ready_in.unwrap_or(pause).clamp(SHORTEST, pause))
    }
}

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::fake::Work;
    use super::*;
    use crate::queue::{AnalyzeAsset, Job, MemoryQueue};

    fn feeder(work: &Arc<Work>, queue: &Arc<MemoryQueue>) -> Feeder {
        Feeder {
            ledger: Arc::clone(work) as Arc<dyn Ledger>,
            queue: Arc::clone(queue) as Arc<dyn Queue>,
            wanted: Wanted::new(),
            owner: "me".to_owned(),
            lane_length: 4,
            lease: Duration::from_secs(600),
            first_lease: Duration::from_secs(60),
            vanished: Duration::from_secs(30),
            retry: RetryPolicy {
                max_attempts: 3,
                base_delay: Duration::from_millis(2),
                max_delay: Duration::from_millis(10),
            },
            wake: Arc::new(Notify::new()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_taken_back_of_a_lane_that_stays_empty_while_nothing_of_it_is_in_work() {
        let work = Arc::new(Work { none: true, ..Work::default() });
        let queue = Arc::new(MemoryQueue::new(4));
        queue.publish(work.job(Lane::Backfill)).await.expect("has room");
        let in_work = queue.receive().await.expect("is asked").expect("is open");
        let feeder = feeder(&work, &queue);
        let (stop, never) = (CancellationToken::new(), CancellationToken::new());
        let looking_on = async {
            let taken_back = || {
                let mut taken = std::mem::take(&mut *work.taken_back.lock().expect("whole"));
                taken.sort_by_key(|(lane, _)| *lane == Lane::Backfill);
                taken
            };
            // What has been published, and not within the time in which the lane was seen empty.
            let left = Duration::from_secs(60)..Duration::from_secs(570);
            tokio::time::sleep(Duration::from_secs(29)).await;
            assert_eq!(taken_back(), []);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(taken_back(), [(Lane::Interactive, left.clone())], "one of the backfill is in work");
            queue.ack(in_work.receipt).await.expect("is settled");
            tokio::time::sleep(Duration::from_secs(32)).await;
            assert_eq!(taken_back(), [(Lane::Interactive, left.clone()), (Lane::Backfill, left)]);
            stop.cancel();
        };
        tokio::join!(feeder.run(&stop, &never), looking_on);
    }

    #[tokio::test(start_paused = true)]
    async fn a_feeder_without_work_asks_once_a_second_and_leases_nothing() {
        let work = Arc::new(Work { none: true, ..Work::default() });
        let queue = Arc::new(MemoryQueue::new(4));
        let feeder = feeder(&work, &queue);
        let (stop, complete) = (CancellationToken::new(), CancellationToken::new());
        let asked = || {
            let leases = [Lane::Interactive, Lane::Backfill].map(|lane| work.asked(lane).len());
            (leases, std::mem::take(&mut *work.looked.lock().expect("whole")).len())
        };
        let looking_on = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let (leases, looks) = asked();
            assert_eq!(leases, [1, 1], "only the first look leases");
            assert!((58..=63).contains(&looks), "{looks}");

            // Another process registers something.
            let known = Instant::now();
            work.uploads.lock().expect("whole").push(work.job(Lane::Interactive));
            let delivery = queue.receive().await.expect("is asked").expect("is open");
            assert!(known.elapsed() <= LONG_IDLE, "{:?}", known.elapsed());
            queue.ack(delivery.receipt).await.expect("is settled");

            // The time of a retry is kept, however long the pause is.
            tokio::time::sleep(Duration::from_secs(10)).await;
            let due = Instant::now() + Duration::from_millis(12_300);
            *work.due.lock().expect("whole") = Some(due);
            tokio::time::sleep_until(due - Duration::from_millis(1)).await;
            let (before, _) = asked();
            tokio::time::sleep_until(due + Duration::from_millis(2)).await;
            assert_eq!(asked().0, before.map(|leases| leases + 1));
            *work.due.lock().expect("whole") = None;

            // While something is in work it is asked four times a second, and the end is noticed as soon.
            work.leased.store(true, Relaxed);
            tokio::time::sleep(2 * LONG_IDLE).await;
            asked();
            tokio::time::sleep(40 * IDLE).await;
            let (_, looks) = asked();
            assert!((39..=41).contains(&looks), "{looks}");
            complete.cancel();
            work.leased.store(false, Relaxed);
            Instant::now()
        };
        let (ended, end) = tokio::join!(
            async {
                feeder.run(&stop, &complete).await;
                Instant::now()
            },
            looking_on
        );
        assert!(ended - end <= IDLE, "{:?}", ended - end);
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_are_asked_for_now_and_then_and_at_once_if_somebody_knows_of_them() {
        let (work, queue) = (Arc::new(Work::default()), Arc::new(MemoryQueue::new(4)));
        let feeder = feeder(&work, &queue);
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
