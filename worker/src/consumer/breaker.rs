//! Handles permanent refusals by ledger and index: decides what fails, and when work continues.
//!
//! A value that does not fit fails, with its reason in the ledger. If the index refuses everything (a wrong key, a collection of
//! another kind, a limit), no new work starts until it accepts what it refused. So an archive does not fail picture by picture.
//! What failed before is then repeated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, VectorRecord};
use tokio_util::sync::CancellationToken;

use super::writer::LONGEST_WAIT;
use super::{Walk, WalkContext, jitter};
use crate::disposition::WalkError;
use crate::progress::Progress;
use crate::queue::AnalyzeAsset;
use crate::store::{Finished, Requeue, Run, StoreError};
use crate::vectors::{IndexError, VectorIndex};

/// After this many pictures in a row whose vectors do not fit, the fault is not in the pictures.
const IN_A_ROW: usize = 3;

/// A circuit breaker: allows or stops new work. [`Progress::stalled`] has the reason.
pub(super) struct Breaker {
    progress: Arc<Progress>,
    refused: Mutex<Refused>,
}

/// What the index refused since it last accepted something.
#[derive(Default)]
struct Refused {
    assets: Vec<AssetId>,
    /// The last refused vectors, which are tried until the index accepts them.
    sample: Vec<VectorRecord>,
}

impl Breaker {
    pub(super) fn new(progress: &Arc<Progress>) -> Arc<Self> {
        Arc::new(Self { progress: Arc::clone(progress), refused: Mutex::default() })
    }

    /// Asks the index before anything is begun.
    pub(super) async fn check(&self, index: &dyn VectorIndex, stop: &CancellationToken) {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = index.ping() => looked,
        };
        if let Err(error) = looked
            && !error.may_pass()
        {
            self.close(&error);
        }
    }

    /// The index refused the vectors of a run.
    fn refused(&self, error: &IndexError, finished: &Finished) {
        let mut refused = self.state();
        refused.assets.push(finished.run.asset.clone());
        refused.sample.clone_from(&finished.analysis.vectors);
        if matches!(error, IndexError::Refused { .. }) || refused.assets.len() >= IN_A_ROW {
            self.close(error);
        }
    }

    /// A run was recorded.
    pub(super) fn passed(&self, finished: &Finished) {
        let mut refused = self.state();
        if !finished.analysis.vectors.is_empty() && self.progress.stalled().is_none() {
            *refused = Refused::default();
        }
    }

    fn close(&self, error: &IndexError) {
        if self.progress.stall(Some(error.sentence())).is_none() {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "nothing new is begun until the vector index takes vectors again"
            );
        }
    }

    /// Lets work continue whenever the index accepts what it refused. Never ends.
    pub(super) async fn tend(self: Arc<Self>, walk: Walk) {
        loop {
            self.progress.until_stalled().await;
            let mut attempt = 0;
            loop {
                attempt += 1;
                tokio::time::sleep(walk.options.retry.delay(attempt, jitter()).min(LONGEST_WAIT)).await;
                match self.probe(&*walk.index).await {
                    Ok(()) => break,
                    // The reason may be another by now.
                    Err(error) if !error.may_pass() => self.close(&error),
                    Err(_) => {}
                }
            }
            let Refused { assets, sample } = {
                // Who is refused from now on closes the breaker again.
                let mut refused = self.state();
                self.progress.stall(None);
                std::mem::take(&mut *refused)
            };
            tracing::warn!(assets = assets.len(), "the vector index takes vectors again; work goes on");
            if let Err(error) = walk.drop_forgotten(&sample).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "vectors of a forgotten picture may be left"
                );
            }
            if assets.is_empty() {
                continue;
            }
            if let Err(error) = walk.ledger.requeue(Requeue::Failed, &walk.wanted(), Some(&assets)).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what failed meanwhile is not done again; `docent retry --failed` does it"
                );
            }
        }
    }

    async fn probe(&self, index: &dyn VectorIndex) -> Result<(), IndexError> {
        index.ping().await?;
        let sample = self.state().sample.clone();
        index.upsert(&sample).await
    }

    fn state(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walk {
    /// Removes vectors from the index that were written to try it, and whose picture was forgotten meanwhile.
    async fn drop_forgotten(&self, sample: &[VectorRecord]) -> Result<(), WalkError> {
        let assets: Vec<AssetId> = sample.iter().map(|vector| vector.asset.clone()).collect();
        let forgotten: Vec<AssetId> = self.ledger.forgotten(&assets).await?.into_iter().collect();
        if forgotten.is_empty() { Ok(()) } else { Ok(self.index.forget(&forgotten).await?) }
    }

    /// Fails what cannot be recorded, with the reason: it would not fit the next time either.
    pub(super) async fn fail(
        &self,
        job: &AnalyzeAsset,
        begun: &BTreeMap<AnalyzerId, u32>,
        error: StoreError,
        context: &WalkContext,
    ) -> Result<(), WalkError> {
        tracing::error!(asset = %job.asset, error = &error as &dyn std::error::Error, "cannot be recorded");
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let failure =
            |&analyzer| Failure { analyzer, kind: FailureKind::Permanent, reason: format!("{error}{cause}") };
        let analysis = Analysis { failures: begun.keys().map(failure).collect(), ..Analysis::default() };
        let run = Run { asset: job.asset.clone(), owner: self.options.owner.clone(), picture: None };
        self.record_failed(run, analysis, begun, context).await
    }

    /// Records a run whose vectors the index refuses without them: the analyzers that computed them failed, with the reason.
    pub(super) async fn without_vectors(
        &self,
        finished: Finished,
        begun: &BTreeMap<AnalyzerId, u32>,
        error: IndexError,
        context: &WalkContext,
    ) -> Result<(), WalkError> {
        let asset = &finished.run.asset;
        tracing::error!(%asset, error = &error as &dyn std::error::Error, "vectors cannot be recorded");
        context.breaker.refused(&error, &finished);
        let analysis = finished.analysis.without_vectors(&error.sentence());
        self.record_failed(finished.run, analysis, begun, context).await
    }

    async fn record_failed(
        &self,
        run: Run,
        analysis: Analysis,
        begun: &BTreeMap<AnalyzerId, u32>,
        context: &WalkContext,
    ) -> Result<(), WalkError> {
        let outcomes = self.outcomes(&analysis, begun);
        let recorded = context.writer.take(Finished { run, analysis, outcomes }, true).await;
        recorded.await.map_err(|_| WalkError::Ended)??;
        self.progress.finish(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use docent_pipelines::VectorSpace;
    use docent_pipelines::asset::ContentHash;

    use super::*;

    fn finished(number: u8) -> Finished {
        let asset = ContentHash::of(&[number]).asset_id();
        let space = VectorSpace::from_name("picture/a@1");
        let vectors = vec![VectorRecord::new(asset.clone(), space, None, vec![1.0])];
        Finished {
            run: Run { asset, owner: "me".to_owned(), picture: None },
            analysis: Analysis { vectors, ..Analysis::default() },
            outcomes: Vec::new(),
        }
    }

    #[test]
    fn single_pictures_may_fail_and_what_fails_for_all_stops_the_work() {
        let progress = Arc::new(Progress::default());
        let breaker = Breaker::new(&progress);
        let unfit = IndexError::Unfit { operation: "upsert", reason: "odd".to_owned() };
        for number in 0..10 {
            breaker.refused(&unfit, &finished(number));
            breaker.refused(&unfit, &finished(number + 100));
            assert_eq!(progress.stalled(), None);
            breaker.passed(&finished(number + 200));
        }
        for number in 0..3 {
            breaker.refused(&unfit, &finished(number));
        }
        assert_eq!(progress.stalled(), Some(unfit.sentence()));
        assert_eq!(breaker.state().assets.len(), 3);

        let breaker = Breaker::new(&progress);
        progress.stall(None);
        let refused = IndexError::Refused { operation: "upsert", source: anyhow::anyhow!("wrong key") };
        breaker.refused(&refused, &finished(1));
        assert_eq!(progress.stalled().as_deref(), Some("upsert: the vector index refuses: wrong key"));
    }
}
