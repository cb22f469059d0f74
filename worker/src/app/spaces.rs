//! Vector spaces: which there are, and how an index is made anew from the ledger.

use docent_pipelines::VectorSpace;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::config::IndexBackend;
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

/// Vectors written by one call.
const BATCH: u32 = 256;

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
        let shared = matches!(self.config.backends.vectors(), IndexBackend::Qdrant(_));
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

    /// Writes every vector of `space` that the ledger holds to the index. `told` is called with the number written so
    /// far. Answers that number; stops early if asked to.
    pub async fn rebuild(
        &self,
        space: &VectorSpace,
        stop: &CancellationToken,
        mut told: impl FnMut(u64),
    ) -> anyhow::Result<u64> {
        let (mut written, mut sequence) = (0, 0);
        while !stop.is_cancelled() {
            let page = self.store.vectors_after(space, sequence, BATCH).await?;
            let Some((last, _)) = page.last() else { break };
            sequence = *last;
            let records: Vec<_> = page.into_iter().map(|(_, record)| record).collect();
            self.index.upsert(&records).await?;
            written += records.len() as u64;
            told(written);
        }
        Ok(written)
    }

    /// Removes a space from index and ledger. Answers how many vectors the ledger had.
    pub async fn drop_space(&self, space: &VectorSpace) -> anyhow::Result<u64> {
        // The ledger last: as long as it has them, the removal can be asked for again.
        self.index.drop_space(space).await?;
        Ok(self.store.drop_space(space).await?)
    }
}
