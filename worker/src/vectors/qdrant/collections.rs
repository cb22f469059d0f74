//! One collection per vector space, made when the first vector comes.

use std::sync::PoisonError;
use std::time::Duration;

use docent_pipelines::VectorSpace;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    CollectionInfo, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, Distance, FieldType,
    VectorParamsBuilder,
};

use super::connection::Failure;
use super::points::ASSET;
use super::{QdrantIndex, names};

/// What a collection is known to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Values per vector.
    dimensions: usize,
    /// Whether the payload index on the asset is there.
    indexed: bool,
}

/// How long to wait, again and again, for a collection that exists and cannot be read yet, in milliseconds.
const UNREADABLE: [u64; 5] = [50, 100, 200, 400, 800];

impl QdrantIndex {
    pub(super) fn collection(&self, space: &VectorSpace) -> String {
        names::collection(&self.prefix, space)
    }

    /// The dimensions of `space`, if it exists.
    pub(super) async fn dimensions(&self, space: &VectorSpace) -> Result<Option<usize>, Failure> {
        if let Some(known) = self.known(space) {
            return Ok(Some(known.dimensions));
        }
        let Some(known) = self.look(space).await? else { return Ok(None) };
        self.remember(space, known);
        Ok(Some(known.dimensions))
    }

    /// Makes `space` ready to take vectors of `dimensions` values, and says how many values it really takes.
    ///
    /// Any number of processes may do this at once. Each makes sure of the payload index before it writes: an index
    /// that is built under a full collection takes long, and the server's graph is not linked for filters without it.
    pub(super) async fn prepare(&self, space: &VectorSpace, dimensions: usize) -> Result<usize, Failure> {
        if let Some(known) = self.known(space).filter(|known| known.indexed) {
            return Ok(known.dimensions);
        }
        let mut known = match self.look(space).await? {
            Some(known) => known,
            None => self.create(space, dimensions).await?,
        };
        if !known.indexed {
            let index =
                CreateFieldIndexCollectionBuilder::new(self.collection(space), ASSET, FieldType::Keyword)
                    .wait(true)
                    .build();
            self.connection.call(async |client| client.create_field_index(index).await).await?;
            known.indexed = true;
        }
        self.remember(space, known);
        Ok(known.dimensions)
    }

    async fn create(&self, space: &VectorSpace, dimensions: usize) -> Result<Known, Failure> {
        let params = VectorParamsBuilder::new(dimensions as u64, Distance::Dot);
        let create = CreateCollectionBuilder::new(self.collection(space)).vectors_config(params).build();
        let created = self.connection.call(async |client| client.create_collection(create).await).await;
        if let Err(failure) = created
            && !failure.is_there_already()
        {
            // Older servers have no code for what exists already.
            return self.look(space).await?.ok_or(failure);
        }
        // Another process may have created it a moment ago: then it has a name, and no shard to read from yet.
        let mut waits = UNREADABLE.iter();
        loop {
            let looked = self.look(space).await;
            let unreadable = match &looked {
                Ok(known) => known.is_none(),
                Err(failure) => failure.is_internal(),
            };
            match waits.next() {
                Some(wait) if unreadable => tokio::time::sleep(Duration::from_millis(*wait)).await,
                _ => return looked?.ok_or_else(|| Failure::new("the new collection cannot be read")),
            }
        }
    }

    /// What the server says about the collection of `space`.
    async fn look(&self, space: &VectorSpace) -> Result<Option<Known>, Failure> {
        let name = self.collection(space);
        let answer = self.connection.call(async |client| client.collection_info(name).await).await;
        match answer {
            Ok(answer) => match answer.result.as_ref().and_then(known) {
                Some(known) => Ok(Some(known)),
                None => Err(Failure::new(format!(
                    "the collection {} has not one vector per point compared by dot product; remove it",
                    self.collection(space)
                ))),
            },
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Spaces that have a collection, by name.
    pub(super) async fn list(&self) -> Result<Vec<VectorSpace>, Failure> {
        let answer = self.connection.call(async |client| client.list_collections().await).await?;
        let collections = answer.collections.iter();
        let mut spaces: Vec<_> =
            collections.filter_map(|collection| names::space(&self.prefix, &collection.name)).collect();
        spaces.sort();
        Ok(spaces)
    }

    fn known(&self, space: &VectorSpace) -> Option<Known> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).get(space).copied()
    }

    fn remember(&self, space: &VectorSpace, known: Known) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).insert(space.clone(), known);
    }

    /// After any failure nothing is taken for granted: the server may have come back without the collection.
    pub(super) fn forget(&self, space: &VectorSpace) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).remove(space);
    }
}

/// Nothing, if docent cannot use the collection.
fn known(info: &CollectionInfo) -> Option<Known> {
    let config = info.config.as_ref()?.params.as_ref()?.vectors_config.as_ref()?.config.as_ref()?;
    let Config::Params(params) = config else { return None };
    if params.distance() != Distance::Dot {
        return None;
    }
    let dimensions = usize::try_from(params.size).ok()?;
    Some(Known { dimensions, indexed: info.payload_schema.contains_key(ASSET) })
}
