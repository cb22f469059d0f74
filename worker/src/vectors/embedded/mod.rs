//! Search over all vectors in memory; the ledger is where they come from and where they last.
//!
//! A space is read from the ledger when it is first searched, and before each search whatever was written since is
//! read as well, by this process or by another. An upsert therefore has nothing to do: the same vectors are recorded
//! in the ledger before the job is done, and an ingest that nobody searches keeps none of them in memory.
//!
//! In memory are codes, a byte for each value. A search compares the query with all of them and takes those that may be
//! among the nearest, given how far codes can be off; the ledger gives the values of these few, which rank them. So what
//! is answered, score, order and region, is what the ledger holds. A candidate that it does not hold any more was
//! written again or removed meanwhile: it leaves the index, what is new comes in, and the search is repeated.

mod candidates;
mod codes;
mod ids;
mod score;
mod space;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use docent_pipelines::vector::dot;
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use tokio::sync::Mutex as AsyncMutex;

use self::candidates::Candidate;
use self::codes::Query;
use self::ids::{Ids, digits, number};
use self::score::Score;
use self::space::{Space, Vectors};
use super::{IndexError, Neighbor, VectorIndex};

/// Where the embedded index reads vectors from: the ledger, seen through the composition root.
#[async_trait]
pub trait VectorSource: Send + Sync {
    /// Vectors of `space` in the order of their sequence numbers, after `sequence`. A vector that is written again
    /// gets a new number.
    async fn vectors_after(
        &self,
        space: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>>;

    /// The vectors of `space` with these sequence numbers, in any order; without those that were written again or
    /// removed.
    async fn vectors_at(
        &self,
        space: &VectorSpace,
        sequences: &[i64],
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>>;
}

/// The embedded index.
pub struct EmbeddedIndex {
    source: Arc<dyn VectorSource>,
    spaces: Mutex<HashMap<VectorSpace, Arc<AsyncMutex<Space>>>>,
}

/// Vectors read from the ledger at once.
const PAGE: usize = 4096;

impl EmbeddedIndex {
    /// An index over what `source` holds; reads nothing yet.
    pub fn new(source: Arc<dyn VectorSource>) -> Self {
        Self { source, spaces: Mutex::default() }
    }

    /// The spaces that were searched so far.
    fn opened(&self) -> HashMap<VectorSpace, Arc<AsyncMutex<Space>>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The space as it is in the ledger now.
    async fn current(&self, name: &VectorSpace) -> Result<Vectors, IndexError> {
        let space = {
            let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(spaces.entry(name.clone()).or_default())
        };
        // One reader at a time; the others find everything read.
        let mut space = space.lock().await;
        loop {
            let page = self
                .source
                .vectors_after(name, space.sequence, PAGE as u32)
                .await
                .map_err(|source| IndexError::Unavailable { operation: "read vectors", source })?;
            if page.is_empty() {
                return Ok(space.vectors());
            }
            for (sequence, record) in page {
                space.sequence = sequence;
                space.insert(sequence, &record)?;
            }
        }
    }

    /// All candidates with their exact scores, and those that the ledger does not have any more.
    async fn compare(
        &self,
        space: &VectorSpace,
        query: &[f32],
        mut candidates: Vec<Candidate>,
    ) -> Result<(Vec<Neighbor>, Vec<Candidate>), IndexError> {
        // In the order in which they lie in the ledger.
        candidates.sort_unstable_by_key(|candidate| candidate.sequence);
        let mut neighbors = Vec::with_capacity(candidates.len());
        let mut outdated = Vec::new();
        for page in candidates.chunks(PAGE) {
            let sequences: Vec<i64> = page.iter().map(|candidate| candidate.sequence).collect();
            let found = self
                .source
                .vectors_at(space, &sequences)
                .await
                .map_err(|source| IndexError::Unavailable { operation: "compare vectors", source })?;
            if found.len() < page.len() {
                let there: HashSet<i64> = found.iter().map(|(sequence, _)| *sequence).collect();
                outdated.extend(page.iter().filter(|candidate| !there.contains(&candidate.sequence)));
            }
            neighbors.extend(found.into_iter().map(|(_, record)| Neighbor {
                score: dot(&record.values, query),
                record: record.id,
                asset: record.asset,
                region: record.region,
            }));
        }
        Ok((neighbors, outdated))
    }
}

#[async_trait]
impl VectorIndex for EmbeddedIndex {
    async fn upsert(&self, _records: &[VectorRecord]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn search(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        let only: Option<Ids> =
            only.map(|only| only.iter().filter_map(|asset| number(asset.as_str())).collect());
        let wanted = Arc::new((Query::new(query), only));
        loop {
            let vectors = self.current(space).await?;
            if vectors.len() == 0 {
                return Ok(Vec::new());
            }
            if query.len() != vectors.dimensions() {
                return Err(IndexError::Dimensions {
                    space: space.clone(),
                    expected: vectors.dimensions(),
                    got: query.len(),
                });
            }
            if k == 0 {
                return Ok(Vec::new());
            }
            let wanted = Arc::clone(&wanted);
            let scan = move || vectors.candidates(&wanted.0, k, wanted.1.as_ref());
            let candidates = tokio::task::spawn_blocking(scan).await.map_err(|error| {
                IndexError::Unavailable { operation: "search vectors", source: error.into() }
            })?;
            let (mut neighbors, outdated) = self.compare(space, query, candidates).await?;
            if outdated.is_empty() {
                neighbors.sort_unstable_by(|a, b| {
                    (Reverse(Score(a.score)), &a.record).cmp(&(Reverse(Score(b.score)), &b.record))
                });
                neighbors.truncate(k);
                return Ok(neighbors);
            }
            if let Some(space) = self.opened().remove(space) {
                space.lock().await.remove_outdated(&outdated);
            }
        }
    }

    async fn prune(&self, space: &VectorSpace, assets: &[AssetId], keep: &[&str]) -> Result<(), IndexError> {
        if let Some(space) = self.opened().remove(space) {
            let keep: Ids = keep.iter().filter_map(|id| number(id)).collect();
            let assets: Ids = assets.iter().filter_map(|asset| number(asset.as_str())).collect();
            let mut space = space.lock().await;
            space.remove(|row| assets.contains(&row.asset) && !keep.contains(&row.record));
        }
        Ok(())
    }

    async fn forget(&self, assets: &[AssetId]) -> Result<(), IndexError> {
        for space in self.opened().into_keys() {
            self.prune(&space, assets, &[]).await?;
        }
        Ok(())
    }

    async fn held(&self) -> Vec<AssetId> {
        let mut held = Vec::new();
        for space in self.opened().into_values() {
            held.extend(space.lock().await.assets().map(digits).filter_map(|id| AssetId::try_from(id).ok()));
        }
        held
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError> {
        if let Some(space) = self.opened().remove(space) {
            space.lock().await.clear();
        }
        Ok(())
    }

    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError> {
        Ok(self.current(space).await?.len() as u64)
    }

    async fn ping(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn is_exact(&self) -> bool {
        true
    }
}
