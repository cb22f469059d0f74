//! Lists vector spaces and rebuilds an index from the ledger.

use std::collections::BTreeMap;

use docent_pipelines::{VectorRecord, VectorSpace};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::config::IndexBackend;
use crate::consumer::jitter;
use crate::search::SearchError;
use crate::store::Wanted;

/// One space.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SpaceRow {
    /// Its name.
    pub space: VectorSpace,
    /// Vectors in the ledger.
    pub ledger: u64,
    /// Vectors in the index; `None` if it is embedded, which holds what the ledger holds.
    pub index: Option<u64>,
    /// Whether searches ask it.
    pub searched: bool,
    /// Whether a model of the manifest answers in it.
    pub current: bool,
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Vectors written so far.
    pub written: u64,
    /// The number of the last one in the ledger: where another rebuild can go on.
    pub last: i64,
}

/// In how many looks in a row each space lacked vectors in the index.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<VectorSpace, u32>);

impl Losses {
    /// Whether it is to be told now, and only now: what is removed leaves the index a moment before the ledger, so one look
    /// says nothing.
    fn are_news(&mut self, space: &VectorSpace, lost: u64) -> bool {
        let looks = self.0.entry(space.clone()).or_default();
        *looks = if lost > 0 { looks.saturating_add(1) } else { 0 };
        *looks == 2
    }
}

/// Vectors written by one call.
const BATCH: u32 = 256;
/// So often a rebuild tries to write to a server that is away, before it ends.
const PATIENCE: u32 = 10;

impl App {
    /// All spaces of the ledger and of the manifest, by name.
    pub async fn spaces(&self) -> anyhow::Result<Vec<SpaceRow>> {
        let counts = self.store.counts(&Wanted::new()).await?.vectors;
        let searched = match self.search().space().await {
            Ok(space) => Some(space),
            Err(SearchError::NoModel(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let current = self.current_spaces();
        let mut names: Vec<VectorSpace> = counts.keys().map(VectorSpace::from_name).collect();
        names.extend(current.iter().cloned());
        names.sort();
        names.dedup();
        let shared = self.has_shared_index();
        let mut rows = Vec::with_capacity(names.len());
        for space in names {
            rows.push(SpaceRow {
                ledger: counts.get(space.as_str()).copied().unwrap_or(0),
                index: if shared { Some(self.index.count(&space).await?) } else { None },
                searched: searched.as_ref() == Some(&space),
                current: current.contains(&space),
                space,
            });
        }
        Ok(rows)
    }

    /// The spaces in which models of the manifest answer.
    fn current_spaces(&self) -> Vec<VectorSpace> {
        use docent_models::Task;
        let space = |entry: &docent_models::manifest::ModelEntry| match entry.task {
            Task::ImageEmbedding => Some(VectorSpace::picture(&entry.model_ref())),
            Task::FaceEmbedding => Some(VectorSpace::face(&entry.model_ref())),
            _ => None,
        };
        self.pack.models().filter_map(space).collect()
    }

    /// Writes every vector of `space` that the ledger holds to the index, or those after a place where an earlier call was
    /// stopped. `told` is called with what is done so far. Stops early if asked to. Writing a vector twice is writing it
    /// once, so it may be ended at any moment and begun once more.
    pub async fn rebuild(
        &self,
        space: &VectorSpace,
        after: i64,
        stop: &CancellationToken,
        mut told: impl FnMut(Rebuilt),
    ) -> anyhow::Result<Rebuilt> {
        let mut rebuilt = Rebuilt { written: 0, last: after };
        while !stop.is_cancelled() {
            let page = self.store.vectors_after(space, rebuilt.last, BATCH).await?;
            let Some((last, _)) = page.last() else { break };
            let last = *last;
            let records: Vec<_> = page.into_iter().map(|(_, record)| record).collect();
            self.upsert_patiently(&records, stop).await?;
            // What was forgotten since it was read.
            let assets: Vec<_> = records.iter().map(|record| record.asset.clone()).collect();
            let forgotten: Vec<_> = self.store.forgotten(&assets).await?.into_iter().collect();
            if !forgotten.is_empty() {
                self.index.forget(&forgotten).await?;
            }
            rebuilt = Rebuilt { written: rebuilt.written + records.len() as u64, last };
            told(rebuilt);
        }
        Ok(rebuilt)
    }

    /// Hours of writing are not given up for a server that is restarted.
    async fn upsert_patiently(
        &self,
        records: &[VectorRecord],
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let retry = self.config.retry_policy();
        let mut attempt = 0;
        loop {
            let error = match self.index.upsert(records).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            attempt += 1;
            if !error.may_pass() || attempt > PATIENCE || stop.is_cancelled() {
                return Err(error.into());
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                attempt,
                "cannot write vectors; waiting"
            );
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(retry.delay(attempt, jitter())) => {}
            }
        }
    }

    /// Says in log and metrics which spaces have fewer vectors in the index than in the ledger: somebody dropped a
    /// collection, or the server came back with an older disk.
    pub(super) async fn look_for_lost_vectors(&self, losses: &mut Losses) {
        if !self.has_shared_index() {
            return;
        }
        let Ok(counts) = self.store.counts(&Wanted::new()).await else { return };
        for space in self.current_spaces() {
            let ledger = counts.vectors.get(space.as_str()).copied().unwrap_or(0);
            // The index has them before the ledger: what comes meanwhile makes the index larger.
            let Ok(index) = self.index.count(&space).await else { continue };
            let lost = ledger.saturating_sub(index);
            metrics::gauge!("docent_vectors_lost", "space" => space.to_string()).set(lost as f64);
            if losses.are_news(&space, lost) {
                tracing::warn!(
                    %space,
                    ledger,
                    index,
                    "the vector index has lost vectors: searches do not find them; `docent vectors rebuild` brings them back"
                );
            }
        }
    }

    /// Whether the index is a server's, and not made of the ledger.
    fn has_shared_index(&self) -> bool {
        matches!(self.config.backends.vectors(), IndexBackend::Qdrant(_))
    }

    /// Removes a space from index and ledger. Answers how many vectors the ledger had.
    pub async fn drop_space(&self, space: &VectorSpace) -> anyhow::Result<u64> {
        // The ledger last: as long as it has them, the removal can be asked for again.
        self.index.drop_space(space).await?;
        Ok(self.store.drop_space(space).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_lasts_is_told_once() {
        let space = VectorSpace::from_name("picture/a@1");
        let mut losses = Losses::default();
        let told = [0, 3, 0, 3, 3, 3, 0, 2, 2].map(|lost| losses.are_news(&space, lost));
        assert_eq!(told, [false, false, false, false, true, false, false, false, true]);
    }
}
