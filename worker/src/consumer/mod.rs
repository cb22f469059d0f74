//! Takes deliveries from the queue and walks each asset from its bytes to its recorded analysis.
//!
//! The only place that settles a delivery. The order of the walk's writes (vectors before the row, the row before
//! the ack) makes a crash at any point end in a repeated walk with the same writes.

mod at_work;
mod gathering;
mod intake;
mod look;
mod places;
mod recorder;
mod refusals;
mod turns;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use at_work::AtWork;
use docent_pipelines::executor::panic_message;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::pipeline::StepTimes;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Pipeline};
use futures_util::FutureExt;
pub use gathering::Counted;
pub(crate) use look::{Look, Seen, look_at};
use places::{Occupied, Place, Places};
use recorder::LONGEST_WAIT;
pub use recorder::{Gather, Recorder, RecorderOptions, Scribe};
use refusals::Gate;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use turns::Turns;

use crate::assets::AssetSource;
use crate::disposition::{self, Disposition, RetryPolicy, WalkError};
use crate::progress::Progress;
use crate::queue::{AnalyzeAsset, Delivery, Job, Lane, Queue, QueueError};
use crate::store::{Begun, Finished, Ledger, Outcome, OutcomeState, Run, StoreError};
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
    /// Longest time for one step: fetching, decoding, one call of a network.
    pub timeout: Duration,
    /// Longest time for reading text.
    pub text_timeout: Duration,
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

/// Where a walk brings what it has.
#[derive(Clone)]
struct Desks {
    recorder: Recorder,
    turns: Turns,
    places: Arc<Places>,
    at_work: AtWork,
    gate: Arc<Gate>,
}

impl WalkOptions {
    fn places(&self) -> usize {
        self.in_flight.max(1) + self.ahead
    }

    fn step_times(&self) -> StepTimes {
        StepTimes {
            step: (self.timeout, "work.timeout_seconds"),
            reading: (self.text_timeout, "work.text_timeout_seconds"),
        }
    }
}

impl Walk {
    /// Works until the queue is closed and empty, or until `stop` and then at most the grace period. What is still in
    /// work after that is handed back.
    pub async fn run(&self, stop: &CancellationToken) {
        let places = Places::new(self.options.places(), &self.progress);
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
        let turns = Turns::new(self.options.in_flight, &self.progress);
        let gate = Gate::new(&self.progress);
        gate.look(&*self.index, stop).await;
        desks_at_work.spawn(Arc::clone(&gate).tend(self.clone()));
        let desks = Desks { recorder, turns, places: Arc::clone(&places), at_work: AtWork::default(), gate };
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
                received = self.next(&places) => received,
            };
            match received {
                Ok(Some((delivery, place))) => {
                    let (walk, desks) = (self.clone(), desks.clone());
                    let expected = desks.recorder.expect();
                    let place = Occupied::new(place, &self.progress);
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

    /// The next delivery with a place to work on it, with nothing beside it for a job that must be alone.
    async fn next(&self, places: &Arc<Places>) -> Result<Option<(Delivery, Place)>, QueueError> {
        let receive = || async {
            self.progress.until_going().await;
            self.queue.receive().await
        };
        let (place, received) = places.one_with(receive).await;
        let Some(delivery) = received? else { return Ok(None) };
        // Long may have passed.
        self.progress.until_going().await;
        if !delivery.job.alone() {
            return Ok(Some((delivery, place)));
        }
        // Others want to be alone, too: nobody waits for that and keeps a place.
        drop(place);
        Ok(Some((delivery, places.alone().await)))
    }

    /// Walks one asset and settles its delivery, whatever happens.
    async fn settle(
        &self,
        delivery: Delivery,
        mut place: Arc<Occupied>,
        mut expected: Counted,
        desks: &Desks,
    ) -> Walked {
        let Delivery { mut job, redelivered, receipt } = delivery;
        self.progress.in_flight.fetch_add(1, Relaxed);
        let walked = loop {
            if job.alone() {
                // Nothing that is finished, or nearly so, shall be lost with it.
                desks.recorder.expects_only(&expected).await;
                desks.recorder.flush().await;
            }
            let walk = self.perform(&job, redelivered, place, expected, desks);
            match AssertUnwindSafe(walk).catch_unwind().await {
                // Only now it is known; its place is free, and it waits for all of them.
                Ok(Err(WalkError::Suspect(suspect))) => {
                    job = Job::Analyze(AnalyzeAsset { alone: true, ..*suspect })
                }
                walked => break walked,
            }
            place = Occupied::new(desks.places.alone().await, &self.progress);
            expected = desks.recorder.expect();
        };
        let mut outcome = Walked::Settled;
        let disposition = match walked {
            Ok(Ok(())) => Disposition::Ack,
            Ok(Err(error @ WalkError::Elsewhere)) => {
                disposition::of_error(&error, &self.options.retry, jitter())
            }
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
        redelivered: bool,
        place: Arc<Occupied>,
        expected: Counted,
        desks: &Desks,
    ) -> Result<(), WalkError> {
        let (registered, bytes);
        let (job, bytes) = match job {
            Job::Analyze(job) => (job, None),
            Job::Submit(submission) => {
                (registered, bytes) = self.register(submission, &place).await?;
                (&registered, Some(bytes))
            }
        };
        let started = Instant::now();
        // What came again is kept until the other run is over: that run's own delivery may be lost.
        let elsewhere = || if redelivered { Err(WalkError::Elsewhere) } else { Ok(()) };
        let Some(_in_work) = desks.at_work.begin(&job.asset) else { return elsewhere() };
        let begun = match self.ledger.begin_run(job, &self.options.owner).await? {
            Begun::Run(attempts) => attempts,
            Begun::Done => return Ok(()),
            Begun::Elsewhere => return elsewhere(),
            Begun::Suspect => return Err(WalkError::Suspect(Box::new(job.clone()))),
            Begun::GivenUp { lost } => {
                self.progress.finish(true);
                return Err(WalkError::GivenUp { lost });
            }
        };
        let wanted: Vec<AnalyzerId> = begun.keys().copied().collect();
        let fetched = match bytes {
            Some(bytes) => Ok(bytes),
            None => self.fetch(job, &place).await?,
        };
        let Seen { picture, analysis, cpu } = match fetched {
            Ok(bytes) => {
                let _turn = desks.turns.take(job.lane).await;
                self.look(job, bytes, wanted, &place).await
            }
            Err(failure) => Seen::failed(failure),
        };
        self.progress.spent(cpu);
        let outcomes = self.outcomes(&analysis, &begun);
        let timings = analysis.timings.clone();
        let run = Run { asset: job.asset.clone(), owner: self.options.owner.clone(), picture };
        let finished = Finished { run, analysis, outcomes: outcomes.clone() };
        let kept = finished.clone();
        let recorded = desks.recorder.take(finished, job.lane == Lane::Interactive).await;
        drop((place, expected));
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
}

/// A number in 0..1, different from call to call.
pub(crate) fn jitter() -> f64 {
    fastrand::f64()
}
