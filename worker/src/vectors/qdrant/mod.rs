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
mod diagnosis;
mod fault;
mod names;
mod options;
mod points;
mod ranking;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
pub use connection::CLIENT_VERSION;
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
pub use options::QdrantOptions;
use qdrant_client::Qdrant;
use qdrant_client::qdrant::{DeletePointsBuilder, PointStruct, UpdateStatus, UpsertPointsBuilder};

use self::collections::Known;
use self::connection::Connection;
use self::fault::Failure;
use self::ranking::Wanted;
use super::{IndexError, Neighbor, VectorIndex};

/// Most points written by one call.
const BATCH: usize = 256;
/// Most assets whose points are removed by one call.
const PRUNED: usize = 1024;

/// The index in a Qdrant server. It may be away for any time: calls fail until it is back.
///
/// Without a filter the server may search by its graph, which is nearly exact; with a filter it compares what passes,
/// however much that is: see `ranking.rs`.
/// A vector can be found when [`VectorIndex::upsert`] has returned.
pub struct QdrantIndex {
    connection: Connection,
    prefix: String,
    trust: Duration,
    spaces: Mutex<HashMap<VectorSpace, Known>>,
}

impl QdrantIndex {
    /// The index that `options` describe. Connects when it is first used; fails only if they cannot be right.
    pub fn connect(options: QdrantOptions) -> Result<Self, IndexError> {
        let connection = Connection::new(&options)
            .map_err(|source| IndexError::Refused { operation: "set up Qdrant", source })?;
        Ok(Self { connection, prefix: options.prefix, trust: options.trust, spaces: Mutex::default() })
    }

    /// Spaces that have a collection, by name.
    pub async fn spaces(&self) -> Result<Vec<VectorSpace>, IndexError> {
        self.list().await.map_err(|failure| failure.during("list vector spaces"))
    }

    /// Makes sure that `space` takes `records`, which are not empty.
    async fn expect(&self, space: &VectorSpace, records: &[&VectorRecord]) -> Result<(), IndexError> {
        const OPERATION: &str = "upsert vectors";
        let first = records.first().map_or(0, |record| record.values.len());
        let expected = self.prepare(space, first).await.map_err(|failure| failure.during(OPERATION))?;
        let mut wrong = records.iter().filter(|record| record.values.len() != expected);
        let Some(one) = wrong.next() else { return Ok(()) };
        let got = one.values.len();
        if wrong.count() + 1 < records.len() {
            return Err(IndexError::Dimensions { space: space.clone(), expected, got });
        }
        let failure = Failure::refused(format!(
            "the collection {} takes vectors of {expected} values, and the model of {space} gives {got}: give the model \
             another version, or remove the collection, and `docent vectors rebuild` makes a new one",
            self.collection(space)
        ));
        Err(failure.during(OPERATION))
    }

    /// Writes to a collection that exists.
    async fn write(&self, space: &VectorSpace, records: &[&VectorRecord]) -> Result<(), Failure> {
        for batch in records.chunks(BATCH) {
            let points: Vec<PointStruct> =
                batch.iter().map(|record| points::point(record)).collect::<Result<_, _>>()?;
            let upsert = UpsertPointsBuilder::new(self.collection(space), points).wait(true).build();
            let ask = |client: Arc<Qdrant>| {
                let upsert = upsert.clone();
                async move { client.upsert_points(upsert).await }
            };
            let answer = self.connection.call(ask).await?;
            finished(answer.result.map(|result| result.status()))?;
        }
        Ok(())
    }

    /// The nearest, if `space` exists and `query` fits it as far as is known.
    async fn found(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Result<Vec<Neighbor>, Failure>, IndexError> {
        let expected = match self.dimensions(space).await {
            Ok(Some(expected)) => expected,
            Ok(None) => return Ok(Ok(Vec::new())),
            Err(failure) => return Ok(Err(failure)),
        };
        if query.len() != expected {
            return Err(IndexError::Dimensions { space: space.clone(), expected, got: query.len() });
        }
        if k == 0 {
            return Ok(Ok(Vec::new()));
        }
        let collection = self.collection(space);
        Ok(self.nearest(&Wanted { collection: &collection, query, k }, only).await)
    }

    /// Removes points of some assets from one space, except some.
    async fn clear(&self, space: &VectorSpace, assets: &[AssetId], keep: &[&str]) -> Result<(), Failure> {
        let delete = DeletePointsBuilder::new(self.collection(space))
            .points(points::of_assets_except(assets, keep))
            .wait(true)
            .build();
        let ask = |client: Arc<Qdrant>| {
            let delete = delete.clone();
            async move { client.delete_points(delete).await }
        };
        match self.connection.call(ask).await {
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
        status => Err(Failure::unavailable(format!("the write is not finished: {status:?}"))),
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
        // All are looked at before any is written. After any failure nothing is taken for granted: the server may have
        // come back with other collections.
        for (space, records) in &spaces {
            self.expect(space, records).await.inspect_err(|_| self.forget(space))?;
        }
        for (space, records) in spaces {
            let mut written = self.write(space, &records).await;
            if written.as_ref().is_err_and(|failure| failure.is_missing() || failure.is_unfit()) {
                // Dropped, or another of its name, since it was last seen.
                self.forget(space);
                self.expect(space, &records).await.inspect_err(|_| self.forget(space))?;
                written = self.write(space, &records).await;
            }
            written.map_err(|failure| {
                self.forget(space);
                failure.during("upsert vectors")
            })?;
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
        let mut found = self.found(space, query, k, only).await;
        let outdated = match &found {
            Ok(found) => found.as_ref().is_err_and(|failure| failure.is_missing() || failure.is_unfit()),
            Err(_) => true,
        };
        if outdated {
            // Dropped, or another of its name, since it was last seen.
            self.forget(space);
            found = self.found(space, query, k, only).await;
        }
        match found? {
            Ok(found) => Ok(found),
            Err(failure) if failure.is_missing() => Ok(Vec::new()),
            Err(failure) => {
                self.forget(space);
                Err(failure.during("search vectors"))
            }
        }
    }

    async fn prune(&self, space: &VectorSpace, assets: &[AssetId], keep: &[&str]) -> Result<(), IndexError> {
        for assets in assets.chunks(PRUNED) {
            self.clear(space, assets, keep).await.map_err(|failure| failure.during("delete vectors"))?;
        }
        Ok(())
    }

    async fn forget(&self, assets: &[AssetId]) -> Result<(), IndexError> {
        // Whatever models they came from, and whether or not the ledger knows these.
        for space in self.spaces().await? {
            self.prune(&space, assets, &[]).await?;
        }
        Ok(())
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError> {
        self.forget(space);
        let name = &self.collection(space);
        match self.connection.call(|client| async move { client.delete_collection(name).await }).await {
            Err(failure) if !failure.is_missing() => Err(failure.during("remove a vector space")),
            _ => Ok(()),
        }
    }

    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError> {
        match self.points(&self.collection(space)).await {
            Err(failure) if failure.is_missing() => Ok(0),
            count => count.map_err(|failure| failure.during("count vectors")),
        }
    }

    async fn ping(&self) -> Result<(), IndexError> {
        // Any name does: whether it exists is not what is asked.
        let name = names::collection(&self.prefix, &VectorSpace::from_name(""));
        self.connection.ping(&name).await.map_err(|failure| failure.during("reach Qdrant"))
    }
}
