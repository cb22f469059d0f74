//! Exact search over vectors in memory; the ledger is where they come from and where they last.
//!
//! A space is read from the ledger when it is first searched, and before each search whatever was written since is
//! read as well, by this process or by another. An upsert therefore has nothing to do: the same vectors are recorded
//! in the ledger before the job is done, and an ingest that nobody searches keeps none of them in memory.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use docent_pipelines::{AssetId, Region, VectorRecord, VectorSpace};
use tokio::sync::Mutex as AsyncMutex;

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
}

/// The embedded index.
pub struct EmbeddedIndex {
    source: Arc<dyn VectorSource>,
    spaces: Mutex<HashMap<VectorSpace, Arc<AsyncMutex<Arc<Space>>>>>,
}

/// All vectors of one space, in one piece of memory.
#[derive(Default, Clone)]
struct Space {
    dimensions: usize,
    values: Vec<f32>,
    rows: Vec<Row>,
    places: HashMap<String, usize>,
    sequence: i64,
}

#[derive(Clone)]
struct Row {
    record: String,
    asset: AssetId,
    region: Option<Region>,
}

/// Vectors read from the ledger at once.
const PAGE: u32 = 4096;

impl EmbeddedIndex {
    /// An index over what `source` holds; reads nothing yet.
    pub fn new(source: Arc<dyn VectorSource>) -> Self {
        Self { source, spaces: Mutex::default() }
    }

    /// The spaces that were searched so far.
    fn opened(&self) -> HashMap<VectorSpace, Arc<AsyncMutex<Arc<Space>>>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The space as it is in the ledger now.
    async fn current(&self, name: &VectorSpace) -> Result<Arc<Space>, IndexError> {
        let space = {
            let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(spaces.entry(name.clone()).or_default())
        };
        // One reader at a time; the others find everything read.
        let mut space = space.lock().await;
        loop {
            let page = self
                .source
                .vectors_after(name, space.sequence, PAGE)
                .await
                .map_err(|source| IndexError::Unavailable { operation: "read vectors", source })?;
            if page.is_empty() {
                return Ok(Arc::clone(&space));
            }
            // Copied only while somebody still searches the former state.
            let target = Arc::make_mut(&mut space);
            for (sequence, record) in page {
                target.sequence = sequence;
                target.insert(name, record)?;
            }
        }
    }
}

impl Space {
    fn insert(&mut self, name: &VectorSpace, record: VectorRecord) -> Result<(), IndexError> {
        if self.rows.is_empty() {
            self.dimensions = record.values.len();
        }
        if record.values.len() != self.dimensions {
            return Err(IndexError::Dimensions {
                space: name.clone(),
                expected: self.dimensions,
                got: record.values.len(),
            });
        }
        let row = Row { record: record.id.clone(), asset: record.asset, region: record.region };
        match self.places.get(&record.id) {
            Some(&place) => {
                self.values[place * self.dimensions..][..self.dimensions].copy_from_slice(&record.values);
                self.rows[place] = row;
            }
            None => {
                self.places.insert(record.id, self.rows.len());
                self.values.extend_from_slice(&record.values);
                self.rows.push(row);
            }
        }
        Ok(())
    }

    /// Keeps some rows, in their order.
    fn retain(&mut self, keep: impl Fn(&Row) -> bool) {
        if self.rows.iter().all(&keep) {
            return;
        }
        let former = std::mem::take(self);
        (self.dimensions, self.sequence) = (former.dimensions, former.sequence);
        for (values, row) in former.values.chunks_exact(former.dimensions).zip(former.rows) {
            if keep(&row) {
                self.places.insert(row.record.clone(), self.rows.len());
                self.values.extend_from_slice(values);
                self.rows.push(row);
            }
        }
    }

    fn search(&self, query: &[f32], k: usize, only: Option<&HashSet<AssetId>>) -> Vec<Neighbor> {
        // The smallest of the best on top, ready to be pushed out.
        let mut best: BinaryHeap<Reverse<(Score, Reverse<&str>, usize)>> = BinaryHeap::new();
        if k == 0 || self.dimensions == 0 {
            return Vec::new();
        }
        for (place, (values, row)) in self.values.chunks_exact(self.dimensions).zip(&self.rows).enumerate() {
            if only.is_some_and(|only| !only.contains(&row.asset)) {
                continue;
            }
            let candidate = Reverse((Score(dot(values, query)), Reverse(row.record.as_str()), place));
            if best.len() < k {
                best.push(candidate);
            } else if best.peek().is_some_and(|worst| candidate < *worst) {
                best.pop();
                best.push(candidate);
            }
        }
        let neighbor = |Reverse((Score(score), _, place)): Reverse<(Score, Reverse<&str>, usize)>| {
            let Row { record, asset, region } = self.rows[place].clone();
            Neighbor { record, asset, region, score }
        };
        best.into_sorted_vec().into_iter().map(neighbor).collect()
    }
}

/// Ordered by value; NaN is the worst.
#[derive(Clone, Copy, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let number = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
        number(self.0).total_cmp(&number(other.0))
    }
}

/// Several sums side by side, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
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
        let current = self.current(space).await?;
        if current.rows.is_empty() {
            return Ok(Vec::new());
        }
        if query.len() != current.dimensions {
            return Err(IndexError::Dimensions {
                space: space.clone(),
                expected: current.dimensions,
                got: query.len(),
            });
        }
        let (query, only) = (query.to_vec(), only.cloned());
        tokio::task::spawn_blocking(move || current.search(&query, k, only.as_ref()))
            .await
            .map_err(|error| IndexError::Unavailable { operation: "search vectors", source: error.into() })
    }

    async fn prune(&self, space: &VectorSpace, asset: &AssetId, keep: &[&str]) -> Result<(), IndexError> {
        if let Some(space) = self.opened().remove(space) {
            Arc::make_mut(&mut *space.lock().await)
                .retain(|row| row.asset != *asset || keep.contains(&row.record.as_str()));
        }
        Ok(())
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError> {
        if let Some(space) = self.opened().remove(space) {
            Arc::make_mut(&mut *space.lock().await).retain(|_| false);
        }
        Ok(())
    }

    async fn delete(&self, asset: &AssetId) -> Result<(), IndexError> {
        for space in self.opened().into_values() {
            Arc::make_mut(&mut *space.lock().await).retain(|row| row.asset != *asset);
        }
        Ok(())
    }

    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError> {
        Ok(self.current(space).await?.rows.len() as u64)
    }

    async fn ping(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_dot_product_is_the_dot_product() {
        for length in [0, 1, 15, 16, 17, 384] {
            let a: Vec<f32> = (0..length).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..length).map(|i| (i as f32 * 0.11).cos()).collect();
            let plain: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-4);
        }
    }
}
