//! A Qdrant server as the vector index: many workers write to it, many processes search it.
//!
//! Filters: the ledger alone knows tags, paths, states and owners, and resolves them to assets; their ids are what is
//! pushed down to the server. A copy of them in the payload would save that list, but it would be wrong from each
//! decision or move until the copy had followed, and the filter no longer exact.
//!
//! Models: a space is named by its model's version, so vectors of a new model fill a new collection beside the old
//! one. Searches ask for the space of the model at hand; [`QdrantIndex::spaces`] and [`QdrantIndex::drop_space`] remove
//! the old one when nobody does so with its model any more.

mod collections;
mod connection;
mod names;
mod options;
mod points;
mod ranking;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
pub use options::QdrantOptions;
use qdrant_client::qdrant::{DeletePointsBuilder, PointStruct, UpdateStatus, UpsertPointsBuilder};

use self::collections::Known;
use self::connection::{Connection, Failure};
use self::ranking::Wanted;
use super::{IndexError, Neighbor, VectorIndex};

/// Most points written by one call.
const BATCH: usize = 256;

/// The index in a Qdrant server. It may be away for any time: calls fail until it is back.
///
/// Without a filter the server may search by its graph, which is nearly exact; with a filter it compares what passes.
/// A vector can be found when [`VectorIndex::upsert`] has returned.
pub struct QdrantIndex {
    connection: Connection,
    prefix: String,
    spaces: Mutex<HashMap<VectorSpace, Known>>,
}

impl QdrantIndex {
    /// The index that `options` describe. Connects when it is first used; fails only if they cannot be right.
    pub fn connect(options: QdrantOptions) -> Result<Self, IndexError> {
        let connection = Connection::new(&options)
            .map_err(|source| IndexError::Unavailable { operation: "set up Qdrant", source })?;
        Ok(Self { connection, prefix: options.prefix, spaces: Mutex::default() })
    }

    /// Spaces that have a collection, by name.
    pub async fn spaces(&self) -> Result<Vec<VectorSpace>, IndexError> {
        self.list().await.map_err(|failure| failure.during("list vector spaces"))
    }

    /// Writes to a collection that exists.
    async fn write(&self, space: &VectorSpace, records: &[&VectorRecord]) -> Result<(), Failure> {
        for batch in records.chunks(BATCH) {
            let points: Vec<PointStruct> =
                batch.iter().map(|record| points::point(record)).collect::<Result<_, _>>()?;
            let upsert = UpsertPointsBuilder::new(self.collection(space), points).wait(true).build();
            let answer =
                self.connection.call(|client| async move { client.upsert_points(upsert).await }).await?;
            finished(answer.result.map(|result| result.status()))?;
        }
        Ok(())
    }

    /// Removes an asset's points from one space, except some.
    async fn clear(&self, space: &VectorSpace, asset: &AssetId, keep: &[&str]) -> Result<(), Failure> {
        let delete = DeletePointsBuilder::new(self.collection(space))
            .points(points::of_asset_except(asset, keep))
            .wait(true)
            .build();
        match self.connection.call(|client| async move { client.delete_points(delete).await }).await {
            Ok(answer) => finished(answer.result.map(|result| result.status())),
            Err(failure) if failure.is_missing() => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

/// A write that was waited for is finished, or at least will not be lost.
fn finished(status: Option<UpdateStatus>) -> Result<(), Failure> {
    match status {
        Some(UpdateStatus::Completed | UpdateStatus::Acknowledged) => Ok(()),
        status => Err(Failure::new(format!("the write is not finished: {status:?}"))),
    }
}

impl fmt::Debug for QdrantIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QdrantIndex")
            .field("endpoint", &self.connection.endpoint())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl VectorIndex for QdrantIndex {
    async fn upsert(&self, records: &[VectorRecord]) -> Result<(), IndexError> {
        let mut spaces: BTreeMap<&VectorSpace, Vec<&VectorRecord>> = BTreeMap::new();
        for record in records {
            spaces.entry(&record.space).or_default().push(record);
        }
        let failed = |space: &VectorSpace, failure: Failure| {
            self.forget(space);
            failure.during("upsert vectors")
        };
        // All are looked at before any is written.
        for (&space, records) in &spaces {
            let first = records.first().map_or(0, |record| record.values.len());
            let expected = self.prepare(space, first).await.map_err(|failure| failed(space, failure))?;
            if let Some(wrong) = records.iter().find(|record| record.values.len() != expected) {
                let (space, got) = (space.clone(), wrong.values.len());
                return Err(IndexError::Dimensions { space, expected, got });
            }
        }
        for (space, records) in spaces {
            let mut written = self.write(space, &records).await;
            if written.as_ref().is_err_and(Failure::is_missing) {
                // Dropped since it was last seen.
                self.forget(space);
                let first = records.first().map_or(0, |record| record.values.len());
                written = match self.prepare(space, first).await {
                    Ok(_) => self.write(space, &records).await,
                    Err(failure) => Err(failure),
                };
            }
            written.map_err(|failure| failed(space, failure))?;
        }
        Ok(())
    }

    async fn search(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        let failed = |failure: Failure| {
            self.forget(space);
            failure.during("search vectors")
        };
        let Some(expected) = self.dimensions(space).await.map_err(failed)? else { return Ok(Vec::new()) };
        if query.len() != expected {
            return Err(IndexError::Dimensions { space: space.clone(), expected, got: query.len() });
        }
        if k == 0 {
            return Ok(Vec::new());
        }
        let collection = self.collection(space);
        match self.nearest(&Wanted { collection: &collection, query, k }, only).await {
            Err(failure) if failure.is_missing() => {
                self.forget(space);
                Ok(Vec::new())
            }
            found => found.map_err(failed),
        }
    }

    async fn prune(&self, space: &VectorSpace, asset: &AssetId, keep: &[&str]) -> Result<(), IndexError> {
        self.clear(space, asset, keep).await.map_err(|failure| failure.during("delete vectors"))
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError> {
        self.forget(space);
        let name = self.collection(space);
        match self.connection.call(|client| async move { client.delete_collection(name).await }).await {
            Err(failure) if !failure.is_missing() => Err(failure.during("remove a vector space")),
            _ => Ok(()),
        }
    }

    async fn delete(&self, asset: &AssetId) -> Result<(), IndexError> {
        for space in self.spaces().await? {
            self.clear(&space, asset, &[]).await.map_err(|failure| failure.during("delete vectors"))?;
        }
        Ok(())
    }

    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError> {
        match self.size(&self.collection(space)).await {
            Err(failure) if failure.is_missing() => Ok(0),
            count => count.map_err(|failure| failure.during("count vectors")),
        }
    }

    async fn ping(&self) -> Result<(), IndexError> {
        self.connection.ping().await.map_err(|failure| failure.during("reach Qdrant"))
    }
}
