//! One collection per vector space, made when the first vector comes.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use docent_pipelines::VectorSpace;
use qdrant_client::Qdrant;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    CollectionInfo, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, Datatype, Distance,
    FieldType, VectorParams, VectorParamsBuilder,
};

use super::fault::Failure;
use super::points::ASSET;
use super::{QdrantIndex, names};

/// What a collection is known to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Values per vector.
    dimensions: usize,
    /// Whether the payload index on the asset is there.
    indexed: bool,
    /// When it was looked at.
    seen: Instant,
}

/// How long to wait, again and again, for a collection that exists and cannot be read yet, in milliseconds.
const UNREADABLE: [u64; 5] = [50, 100, 200, 400, 800];

/// The longest name that Qdrant takes.
const MAX_NAME: usize = 255;

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
            let ask = |client: Arc<Qdrant>| {
                let index = index.clone();
                async move { client.create_field_index(index).await }
            };
            self.connection.call(ask).await?;
            known.indexed = true;
        }
        self.remember(space, known);
        Ok(known.dimensions)
    }

    async fn create(&self, space: &VectorSpace, dimensions: usize) -> Result<Known, Failure> {
        let params = VectorParamsBuilder::new(dimensions as u64, Distance::Dot).datatype(Datatype::Float32);
        let create = CreateCollectionBuilder::new(self.collection(space)).vectors_config(params).build();
        let ask = |client: Arc<Qdrant>| {
            let create = create.clone();
            async move { client.create_collection(create).await }
        };
        if let Err(failure) = self.connection.call(ask).await
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
                Err(failure) => failure.is_stumble(),
            };
            match waits.next() {
                Some(wait) if unreadable => tokio::time::sleep(Duration::from_millis(*wait)).await,
                _ => {
                    return looked?.ok_or_else(|| Failure::unavailable("the new collection cannot be read"));
                }
            }
        }
    }

    /// What the server says about the collection of `space`.
    async fn look(&self, space: &VectorSpace) -> Result<Option<Known>, Failure> {
        let name = self.collection(space);
        if name.len() > MAX_NAME {
            return Err(Failure::refused(format!(
                "the collection of space {space} would have a name of {} characters, and Qdrant takes {MAX_NAME}: shorten \
                 the id of its model in the manifest",
                name.len()
            )));
        }
        let name = &name;
        let seen = Instant::now();
        let answer = self.connection.call(|client| async move { client.collection_info(name).await }).await;
        match answer {
            Ok(answer) => {
                let info = answer.result.unwrap_or_default();
                let params = usable(&info).map_err(|reason| {
                    Failure::refused(format!(
                        "the collection {name} {reason}. docent needs one vector for each point, of 32-bit floats, compared by \
                         dot product: remove the collection, and `docent vectors rebuild` makes a new one"
                    ))
                })?;
                let dimensions = usize::try_from(params.size).unwrap_or(usize::MAX);
                Ok(Some(Known { dimensions, indexed: info.payload_schema.contains_key(ASSET), seen }))
            }
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Spaces that have a collection, by name.
    pub(super) async fn list(&self) -> Result<Vec<VectorSpace>, Failure> {
        let answer = self.connection.call(|client| async move { client.list_collections().await }).await?;
        let collections = answer.collections.iter();
        let mut spaces: Vec<_> =
            collections.filter_map(|collection| names::space(&self.prefix, &collection.name)).collect();
        spaces.sort();
        Ok(spaces)
    }

    fn known(&self, space: &VectorSpace) -> Option<Known> {
        let known = self.spaces.lock().unwrap_or_else(PoisonError::into_inner).get(space).copied();
        known.filter(|known| known.seen.elapsed() < self.trust)
    }

    fn remember(&self, space: &VectorSpace, known: Known) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).insert(space.clone(), known);
    }

    /// After any failure nothing is taken for granted: the server may have come back without the collection.
    pub(super) fn forget(&self, space: &VectorSpace) {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).remove(space);
    }
}

/// What the vectors of a collection are, or why docent cannot use it: it gives scores of its own to other kinds.
fn usable(info: &CollectionInfo) -> Result<&VectorParams, String> {
    let params = info.config.as_ref().and_then(|config| config.params.as_ref());
    let config = params.and_then(|params| params.vectors_config.as_ref()?.config.as_ref());
    let Some(Config::Params(params)) = config else {
        return Err("has no vectors, or named ones".to_owned());
    };
    if params.distance() != Distance::Dot {
        return Err(format!("compares by {}", params.distance().as_str_name()));
    }
    if !matches!(params.datatype(), Datatype::Default | Datatype::Float32) {
        return Err(format!("keeps vectors as {}", params.datatype().as_str_name()));
    }
    if params.multivector_config.is_some() {
        return Err("has several vectors for each point".to_owned());
    }
    Ok(params)
}
