//! The vector index answers "what lies near this vector". The ledger keeps the vectors themselves.
//!
//! Guarantees every implementation gives, checked by `tests/tests/vectors_conformance.rs`:
//! - Upserting a record twice is upserting it once; a record with the same id is overwritten.
//! - `search` answers by falling score, at most `k` neighbors, one per record, ties by record id.
//! - A filter is exact, however many assets it names: what comes back are the best of all records that pass it, and `k`
//!   of them if so many pass. Without a filter an index may search by a graph, which is nearly exact.
//! - A space that does not exist has no records; a vector of the wrong length is [`IndexError::Dimensions`]. An index
//!   cannot know whether a space was lost or never filled: the ledger can.

mod embedded;
mod qdrant;

use std::collections::HashSet;

use async_trait::async_trait;
use docent_pipelines::{AssetId, Region, VectorRecord, VectorSpace};
pub use embedded::{EmbeddedIndex, VectorSource};
pub use qdrant::{CLIENT_VERSION, QdrantIndex, QdrantOptions};

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
    /// The server refuses this key, this collection or every call of this kind. Waiting does not help: somebody has to
    /// mend it.
    #[error("{operation}: the vector index refuses")]
    Refused {
        /// What was attempted.
        operation: &'static str,
        /// Why, and what to do.
        #[source]
        source: anyhow::Error,
    },
    /// The index cannot store this record, now or later.
    #[error("{operation}: the vector index cannot store this: {reason}")]
    Unfit {
        /// What was attempted.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
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

impl IndexError {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The error and its cause in one line.
    pub fn sentence(&self) -> String {
        match self {
            Self::Unavailable { source, .. } | Self::Refused { source, .. } => format!("{self}: {source:#}"),
            Self::Unfit { .. } | Self::Dimensions { .. } => self.to_string(),
        }
    }
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
    /// Removes the records of these assets in `space`, except those in `keep`.
    async fn prune(&self, space: &VectorSpace, assets: &[AssetId], keep: &[&str]) -> Result<(), IndexError>;
    /// Removes the records of these assets from all spaces, and from this process's memory.
    async fn forget(&self, assets: &[AssetId]) -> Result<(), IndexError>;
    /// The assets of whose records this process keeps something in memory, in any order and maybe several times.
    async fn held(&self) -> Vec<AssetId> {
        Vec::new()
    }
    /// Removes a space with all its records. One that does not exist is removed already.
    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError>;
    /// Records in `space`.
    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError>;
    /// Whether the index can be reached now and lets this process in, as cheaply as that can be known.
    async fn ping(&self) -> Result<(), IndexError>;
    /// Whether a search without a filter misses nothing, and scores are those of [`docent_pipelines::vector::dot`] with the
    /// ledger's vectors, whatever the length of the query.
    fn is_exact(&self) -> bool {
        false
    }
}
