//! The walk of one asset: begin its run, fetch, analyze, record.

use std::sync::Arc;
use std::time::Instant;

use docent_pipelines::AnalyzerId;

use super::analyze::Analyzed;
use super::batch::Counted;
use super::places::Occupied;
use super::{Walk, WalkContext};
use crate::disposition::WalkError;
use crate::queue::{Job, Lane};
use crate::store::{Begun, Finished, Run, StoreError};

impl Walk {
    /// Walks one asset from its bytes to its recorded analysis.
    pub(super) async fn perform(
        &self,
        job: &Job,
        redelivered: bool,
        place: Arc<Occupied>,
        expected: Counted,
        context: &WalkContext,
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
        let Some(_in_work) = context.at_work.begin(&job.asset) else { return elsewhere() };
        let begun = match self.ledger.begin_run(job, &self.options.owner).await? {
            Begun::Run(attempts) => attempts,
            Begun::Done => return Ok(()),
            Begun::Forgotten => return Ok(()),
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
        let Analyzed { picture, analysis, cpu } = match fetched {
            Ok(bytes) => {
                let _slot = context.slots.take(job.lane).await;
                self.analyze(job, bytes, wanted, &place).await
            }
            Err(failure) => Analyzed::failed(failure),
        };
        self.progress.spent(cpu);
        let outcomes = self.outcomes(&analysis, &begun);
        let timings = analysis.timings.clone();
        let run = Run { asset: job.asset.clone(), owner: self.options.owner.clone(), picture };
        let finished = Finished { run, analysis, outcomes: outcomes.clone() };
        let kept = finished.clone();
        let recorded = context.writer.take(finished, job.lane == Lane::Interactive).await;
        drop((place, expected));
        let recorded = match recorded.await.map_err(|_| WalkError::Ended)? {
            Err(WalkError::Store(StoreError::Forgotten { asset })) => {
                tracing::info!(%asset, "was forgotten while it was analyzed");
                return Ok(());
            }
            Err(WalkError::Store(error @ (StoreError::Unfit { .. } | StoreError::Bug { .. }))) => {
                return self.fail(job, &begun, error, context).await;
            }
            Err(WalkError::Index(error)) if !error.may_pass() => {
                return self.without_vectors(kept, &begun, error, context).await;
            }
            recorded => recorded?,
        };
        context.breaker.passed(&kept);
        self.observe(&job.asset, &timings, &outcomes, started.elapsed());
        tracing::debug!(asset = %job.asset, ?recorded, "recorded");
        Ok(())
    }
}
