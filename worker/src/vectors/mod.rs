//! The vector index answers "what lies near this vector". The ledger keeps the vectors themselves.
//!
//! Guarantees every implementation gives, checked by `tests/tests/vectors_conformance.rs`:
//! - Upserting a record twice is upserting it once; a record with the same id is overwritten.
//! - `search` answers by falling score, at most `k` neighbors, one per record, ties by record id.
//! - A filter is exact: if at least `k` records pass it, `k` neighbors come back.
//! - A space that does not exist has no records; a vector of the wrong length is [`IndexError::Dimensions`].

mod embedded;
mod qdrant;

use std::collections::HashSet;

use async_trait::async_trait;
use docent_pipelines::{AssetId, Region, VectorRecord, VectorSpace};
pub use embedded::{EmbeddedIndex, VectorSource};
pub use qdrant::{QdrantIndex, QdrantOptions};

/// One answer of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbor {
    /// Id of the vector record.
    pub record: String,
    /// The asset it belongs to.
    pub asset: AssetId,
    /// The part of the picture it describes.
    pub region: Option<Region>,
    /// Dot product; for unit vectors the cosine, -1..=1.
    pub score: f32,
}

/// What can go wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The index cannot be reached or read now.
    #[error("{operation}: the vector index is unavailable")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: anyhow::Error,
    },
    /// A vector does not fit its space.
    #[error("vector of {got} values in space {space}, which has {expected}")]
    Dimensions {
        /// The space.
        space: VectorSpace,
        /// Its dimensions.
        expected: usize,
        /// The vector's.
        got: usize,
    },
}

/// An index over all vector spaces.
#[async_trait]
pub trait VectorIndex: Send + Sync {
    /// Inserts or overwrites records.
    async fn upsert(&self, records: &[VectorRecord]) -> Result<(), IndexError>;
    /// The `k` nearest records to `query` in `space`, among the assets in `only` where given.
    async fn search(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError>;
    /// Removes the records of an asset in `space`, except those in `keep`.
    async fn prune(&self, space: &VectorSpace, asset: &AssetId, keep: &[&str]) -> Result<(), IndexError>;
    /// Removes a space with all its records. One that does not exist is removed already.
    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError>;
    /// Removes every record of an asset.
    async fn delete(&self, asset: &AssetId) -> Result<(), IndexError>;
    /// Records in `space`.
    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError>;
    /// Whether the index can be reached now, as cheaply as that can be known.
    async fn ping(&self) -> Result<(), IndexError>;
}
