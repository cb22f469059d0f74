//! Takes deliveries from the queue and walks each asset from its bytes to its recorded analysis.
//!
//! The only place that settles a delivery. The order of the walk's writes (vectors before the row, the row before
//! the ack) makes a crash at any point end in a repeated walk with the same writes.

mod captions;
mod gathering;
mod look;
mod recorder;
mod refusals;
mod turns;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub(crate) use captions::room as captions_room;
use captions::{CaptionOptions, Captions};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::executor::panic_message;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::pipeline::decoder;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, Pipeline};
use futures_util::FutureExt;
pub use gathering::Counted;
pub(crate) use look::{Captioning, Seen, look_at};
use look::{fetch, fetch_within};
use recorder::LONGEST_WAIT;
pub use recorder::{Gather, Recorder, RecorderOptions, Scribe};
use refusals::Gate;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use turns::Turns;

use crate::assets::{AssetSource, FetchError};
use crate::disposition::{self, Disposition, RetryPolicy, WalkError};
use crate::progress::Progress;
use crate::queue::{AnalyzeAsset, Delivery, Job, Lane, Queue, QueueError, Submission};
use crate::store::{
    Begun, FileStamp, Finished, FoundFile, Ledger, Outcome, OutcomeState, Run, StoreError, Wanted,
};
use crate::vectors::VectorIndex;

/// The parts of the walk.
#[derive(Clone)]
pub struct Walk {
    /// Where jobs come from.
    pub queue: Arc<dyn Queue>,
    /// Where everything is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where vectors go.
    pub index: Arc<dyn VectorIndex>,
    /// Where bytes come from.
    pub source: Arc<dyn AssetSource>,
    /// What looks at the picture.
    pub pipeline: Arc<Pipeline>,
    /// Who watches.
    pub progress: Arc<Progress>,
    /// How it is done.
    pub options: WalkOptions,
}

/// How the walk is done.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// Names this process in the ledger.
    pub owner: String,
    /// Assets of each lane that are looked at at once.
    pub in_flight: usize,
    /// Assets of a backfill that are begun and fetched while others are looked at: nobody shall wait for a file. More at
    /// work on pictures than there are cores would only take the caches from each other.
    pub ahead: usize,
    /// Limits of the decoder.
    pub decode: DecodeLimits,
    /// When failed work is tried again.
    pub retry: RetryPolicy,
    /// Longest time for decoding and analyzing one asset.
    pub timeout: Duration,
    /// How long work in flight may go on after a shutdown was asked for.
    pub grace: Duration,
    /// How long a finished analysis waits for a ledger or an index that is away, before its delivery is brought back
    /// and the work is done again.
    pub patience: Duration,
    /// Finished analyses that are written together.
    pub gather: Gather,
}

/// How a walk ended.
enum Walked {
    /// Its delivery is settled, or comes back by itself.
    Settled,
    /// The ledger could not be reached.
    WithoutLedger,
}

/// What a walk holds while it looks at its picture, and lets go of when that is no longer needed.
struct Place {
    _permits: Vec<OwnedSemaphorePermit>,
    _looking: Option<Counted>,
    progress: Arc<Progress>,
}

impl Place {
    fn new(permits: Vec<OwnedSemaphorePermit>, looking: Option<Counted>, progress: &Arc<Progress>) -> Self {
        progress.begun.fetch_add(1, Relaxed);
        Self { _permits: permits, _looking: looking, progress: Arc::clone(progress) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.progress.looked.fetch_add(1, Relaxed);
    }
}

/// Where a walk brings what it has.
#[derive(Clone)]
struct Desks {
    recorder: Recorder,
    captions: Option<Captions>,
    turns: Turns,
    gate: Arc<Gate>,
}

impl WalkOptions {
    fn places(&self) -> usize {
        self.in_flight.max(1) + self.ahead
    }
}

impl Walk {
    /// Works until the queue is closed and empty, or until `stop` and then at most the grace period. What is still in
    /// work after that is handed back.
    pub async fn run(&self, stop: &CancellationToken) {
        let room = Arc::new(Semaphore::new(self.options.places()));
        let (recorder, scribe) = Recorder::new(
            Arc::clone(&self.ledger),
            Arc::clone(&self.index),
            RecorderOptions {
                gather: self.options.gather,
                retry: self.options.retry,
                patience: self.options.patience,
                stop: stop.clone(),
            },
        );
        // They end with the walks they answer, or with this call.
        let mut desks_at_work = JoinSet::new();
        desks_at_work.spawn(scribe.write());
        let captions = CaptionOptions {
            in_flight: self.options.places(),
            timeout: self.options.timeout,
            stop: stop.clone(),
        };
        let captions = Captions::new(&self.pipeline, captions).map(|(captions, desk)| {
            desks_at_work.spawn(desk.serve());
            captions
        });
        let turns = Turns::new(self.options.in_flight, &self.progress);
        let gate = Gate::new(&self.progress);
        gate.look(&*self.index, stop).await;
        desks_at_work.spawn(Arc::clone(&gate).tend(self.clone()));
        let desks = Desks { recorder, captions, turns, gate };
        let mut walks = JoinSet::new();
        loop {
            while let Some(walked) = walks.try_join_next() {
                if matches!(walked, Ok(Walked::WithoutLedger)) {
                    self.wait_for_ledger(stop).await;
                }
            }
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.next(&room) => received,
            };
            match received {
                Ok(Some((delivery, permits))) => {
                    let (walk, desks) = (self.clone(), desks.clone());
                    let expected = desks.recorder.expect();
                    let later = desks.captions.as_ref().filter(|_| can_wait(&delivery.job));
                    let place = Place::new(permits, later.map(Captions::looking), &self.progress);
                    walks.spawn(async move { walk.settle(delivery, place, expected, &desks).await });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot receive; waiting");
                    tokio::time::sleep(self.options.retry.delay(1, jitter())).await;
                }
            }
        }
        tokio::select! {
            () = async { while walks.join_next().await.is_some() {} } => {}
            () = async { stop.cancelled().await; tokio::time::sleep(self.options.grace).await } => {
                tracing::warn!("the grace period is over; work in flight is handed back");
            }
        }
        // Nobody but the caller holds the networks when this is over: whoever drops them last waits for their threads.
        drop(desks);
        walks.shutdown().await;
        desks_at_work.shutdown().await;
    }

    /// Nothing can be begun without the ledger; the queue keeps what comes meanwhile.
    async fn wait_for_ledger(&self, stop: &CancellationToken) {
        let mut attempt = 0;
        while !stop.is_cancelled() {
            let Err(error) = self.ledger.ping().await else { return };
            attempt += 1;
            if attempt == 1 {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the ledger is away; waiting for it"
                );
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.options.retry.delay(attempt, jitter()).min(LONGEST_WAIT)) => {}
            }
        }
    }

    /// The next delivery with room to work on it: one place, or all places for a job that must be alone.
    async fn next(
        &self,
        room: &Arc<Semaphore>,
    ) -> Result<Option<(Delivery, Vec<OwnedSemaphorePermit>)>, QueueError> {
        let places = self.options.places() as u32;
        let acquire = |n| {
            let room = Arc::clone(room);
            async move { room.acquire_many_owned(n).await.expect("the semaphore is never closed") }
        };
        let one = acquire(1).await;
        self.progress.until_going().await;
        let Some(delivery) = self.queue.receive().await? else { return Ok(None) };
        // Long may have passed.
        self.progress.until_going().await;
        let mut permits = vec![one];
        if delivery.job.alone() && places > 1 {
            permits.push(acquire(places - 1).await);
        }
        Ok(Some((delivery, permits)))
    }

    /// Walks one asset and settles its delivery, whatever happens.
    async fn settle(&self, delivery: Delivery, place: Place, expected: Counted, desks: &Desks) -> Walked {
        let Delivery { job, receipt } = delivery;
        self.progress.in_flight.fetch_add(1, Relaxed);
        if job.alone() {
            // Nothing that is finished, or nearly so, shall be lost with it.
            desks.recorder.expects_only(&expected).await;
            desks.recorder.flush().await;
        }
        let walked = AssertUnwindSafe(self.perform(&job, place, expected, desks)).catch_unwind().await;
        let mut outcome = Walked::Settled;
        let disposition = match walked {
            Ok(Ok(())) => Disposition::Ack,
            Ok(Err(error)) => {
                if matches!(&error, WalkError::Store(error) if error.may_pass()) {
                    outcome = Walked::WithoutLedger;
                }
                tracing::warn!(%job, error = &error as &dyn std::error::Error, "walk interrupted");
                disposition::of_error(&error, &self.options.retry, jitter())
            }
            Err(panic) => Disposition::Reject { reason: panic_message(panic.as_ref()) },
        };
        // The queue itself may be out of reach for a moment. If it stays so, the delivery comes back by itself and
        // finds its work done.
        for attempt in 1..=5 {
            let settled = match &disposition {
                Disposition::Ack => self.queue.ack(receipt).await,
                Disposition::Retry { after } => self.queue.retry(receipt, *after).await,
                Disposition::Reject { reason } => {
                    tracing::error!(%job, reason, "delivery rejected");
                    self.queue.reject(receipt, reason).await
                }
            };
            match settled {
                Ok(()) | Err(QueueError::NotInFlight(_)) => break,
                Err(error) => {
                    tracing::warn!(%job, %error, attempt, "cannot settle a delivery");
                    tokio::time::sleep(self.options.retry.delay(attempt, jitter())).await;
                }
            }
        }
        self.progress.in_flight.fetch_sub(1, Relaxed);
        outcome
    }

    async fn perform(
        &self,
        job: &Job,
        place: Place,
        expected: Counted,
        desks: &Desks,
    ) -> Result<(), WalkError> {
        let later = desks.captions.as_ref().filter(|_| can_wait(job));
        let (registered, bytes);
        let (job, bytes) = match job {
            Job::Analyze(job) => (job, None),
            Job::Submit(submission) => {
                (registered, bytes) = self.register(submission).await?;
                (&registered, Some(bytes))
            }
        };
        let started = Instant::now();
        let Some(begun) = self.begin(job).await? else { return Ok(()) };
        let captioning = if later.is_some() { Captioning::Later } else { Captioning::AtOnce };
        let wanted: Vec<AnalyzerId> = begun.keys().copied().collect();
        let fetched = match bytes {
            Some(bytes) => Ok(bytes),
            None => fetch(&*self.source, &job.asset, &job.uris, self.options.timeout).await,
        };
        let Seen { picture, analysis, uncaptioned, cpu } = match fetched {
            Ok(bytes) => {
                let _turn = desks.turns.take(job.lane).await;
                self.look(job, bytes, wanted, captioning).await
            }
            Err(failure) => Seen::failed(failure),
        };
        self.progress.spent(cpu);
        let mut place = Some(place);
        let (analysis, room) = match (later, uncaptioned) {
            (Some(captions), Some(uncaptioned)) => {
                let room = captions.room().await;
                let captioned = captions.hand_over(job.asset.clone(), analysis, uncaptioned).await;
                drop(place.take());
                (captioned.await.map_err(|_| WalkError::Ended)?, Some(room))
            }
            _ => (analysis, None),
        };
        let outcomes = self.outcomes(&analysis, &begun);
        let timings = analysis.timings.clone();
        let run = Run { asset: job.asset.clone(), owner: self.options.owner.clone(), picture };
        let finished = Finished { run, analysis, outcomes: outcomes.clone() };
        let kept = finished.clone();
        let recorded = desks.recorder.take(finished, job.lane == Lane::Interactive).await;
        drop((place, room, expected));
        let recorded = match recorded.await.map_err(|_| WalkError::Ended)? {
            Err(WalkError::Store(error @ (StoreError::Unfit { .. } | StoreError::Bug { .. }))) => {
                return self.fail(job, &begun, error, desks).await;
            }
            Err(WalkError::Index(error)) if !error.may_pass() => {
                return self.without_vectors(kept, &begun, error, desks).await;
            }
            recorded => recorded?,
        };
        desks.gate.passed(&kept);
        self.observe(&job.asset, &timings, &outcomes, started.elapsed());
        tracing::debug!(asset = %job.asset, ?recorded, "recorded");
        Ok(())
    }

    /// Enters in the ledger what lies at a place it may not know.
    async fn register(&self, submission: &Submission) -> Result<(AnalyzeAsset, Vec<u8>), WalkError> {
        let Submission { uri, owner, lane, alone, attempts } = submission;
        let attempts = attempts + 1;
        let bytes =
            fetch_within(&*self.source, uri, self.options.timeout).await.map_err(|error| match error {
                FetchError::Unavailable { .. } if attempts >= self.options.retry.max_attempts => {
                    WalkError::OutOfReach { attempts, source: error }
                }
                error => WalkError::Fetch(error),
            })?;
        let hash = ContentHash::of(&bytes);
        // Not the time of the file's change, which is unknown here: a scan reads the file once more.
        let stamp = FileStamp { bytes: bytes.len() as u64, modified_ns: 0 };
        let file = FoundFile { uri: uri.clone(), stamp, hash, lane: *lane, owner: owner.clone() };
        let wanted = self.wanted();
        self.ledger.register(&[file], &wanted).await?;
        let job = AnalyzeAsset {
            asset: hash.asset_id(),
            uris: vec![uri.clone()],
            analyzers: wanted.into_keys().collect(),
            lane: *lane,
            alone: *alone,
        };
        Ok((job, bytes))
    }

    fn wanted(&self) -> Wanted {
        let mut wanted = self.pipeline.models().clone();
        wanted.insert(AnalyzerId::Decode, decoder());
        wanted
    }

    /// What is still to be done for an asset, and which attempt at each of it this is; nothing if there is nothing to do.
    async fn begin(&self, job: &AnalyzeAsset) -> Result<Option<BTreeMap<AnalyzerId, u32>>, WalkError> {
        match self.ledger.begin_run(job, &self.options.owner).await? {
            Begun::Run(attempts) => Ok(Some(attempts)),
            Begun::Done | Begun::Elsewhere => Ok(None),
            Begun::GivenUp { lost } => {
                self.progress.finish(true);
                Err(WalkError::GivenUp { lost })
            }
        }
    }

    fn outcomes(&self, analysis: &Analysis, attempts: &BTreeMap<AnalyzerId, u32>) -> Vec<Outcome> {
        disposition::outcomes(analysis, &self.wanted(), attempts, &self.options.retry, jitter())
    }

    fn observe(
        &self,
        asset: &AssetId,
        timings: &BTreeMap<&'static str, Duration>,
        outcomes: &[Outcome],
        took: Duration,
    ) {
        metrics::histogram!("docent_asset_seconds").record(took.as_secs_f64());
        for (stage, time) in timings {
            metrics::histogram!("docent_stage_seconds", "stage" => *stage).record(time.as_secs_f64());
        }
        let mut failed = false;
        let mut again = false;
        for outcome in outcomes {
            let state = match &outcome.state {
                OutcomeState::Done => "done",
                OutcomeState::Retry { failure, .. } => {
                    again = true;
                    tracing::info!(%asset, analyzer = %outcome.analyzer, reason = failure.reason, "will be retried");
                    "retry"
                }
                OutcomeState::Failed { failure } => {
                    failed = true;
                    tracing::info!(%asset, analyzer = %outcome.analyzer, reason = failure.reason, "failed");
                    "failed"
                }
            };
            let analyzer = outcome.analyzer.as_str();
            metrics::counter!("docent_analyses_total", "analyzer" => analyzer, "state" => state).increment(1);
        }
        // Work that comes back is counted when it is over.
        if failed || !again {
            self.progress.finish(failed);
        }
    }

    /// Decodes and analyzes. Never fails: what goes wrong is part of the analysis.
    async fn look(
        &self,
        job: &AnalyzeAsset,
        bytes: Vec<u8>,
        wanted: Vec<AnalyzerId>,
        captioning: Captioning,
    ) -> Seen {
        let (asset, limits, pipeline) =
            (job.asset.clone(), self.options.decode.clone(), Arc::clone(&self.pipeline));
        let runtime = Handle::current();
        let work = tokio::task::spawn_blocking(move || {
            look_at(&runtime, &pipeline, &asset, &bytes, &limits, &wanted, captioning)
        });
        let failed = |kind, reason| Seen::failed(Failure { analyzer: AnalyzerId::Decode, kind, reason });
        match tokio::time::timeout(self.options.timeout, work).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => failed(FailureKind::Transient, format!("analyze: {error}")),
            Err(_) => failed(
                FailureKind::Permanent,
                format!(
                    "analyze: not finished after {} s (work.timeout_seconds)",
                    self.options.timeout.as_secs()
                ),
            ),
        }
    }
}

/// Whether nobody waits for it, and nothing is to be in work beside it.
fn can_wait(job: &Job) -> bool {
    let lane = match job {
        Job::Analyze(job) => job.lane,
        Job::Submit(submission) => submission.lane,
    };
    lane == Lane::Backfill && !job.alone()
}

/// A number in 0..1, different from call to call.
pub(crate) fn jitter() -> f64 {
    fastrand::f64()
}
