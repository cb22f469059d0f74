//! Finds assets by words, by likeness, or by a picture that is not in the archive.

use std::path::PathBuf;
use std::sync::Arc;

use docent_models::embedding::{self, ImageEmbedding};
use docent_models::session::SessionOptions;
use docent_models::{InputSpec, Pack, Task, Tensor};
use docent_pipelines::executor::{DynNetwork, ExecutorError, ExecutorOptions, ModelHandle};
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::{AssetId, Image, VectorSpace};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::store::{AssetFilter, Catalog, StoreError};
use crate::vectors::{IndexError, Neighbor, VectorIndex};

/// One asset that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The asset.
    pub asset_id: AssetId,
    /// One of its places.
    pub uri: String,
    /// Cosine of the angle to the query, -1..=1. Between words and pictures 0.2 to 0.5 is a good match.
    pub score: f32,
}

/// Why nothing could be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The models for it are not there.
    #[error("search needs a model that is not installed: {0}")]
    NoModel(String),
    /// The asset has no vector yet.
    #[error("asset {asset} has no embedding yet")]
    NotAnalyzed {
        /// The asset.
        asset: AssetId,
    },
    /// The picture to search by cannot be used.
    #[error("read the picture to search by: {0}")]
    Picture(String),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A network.
    #[error("embed the query: {0}")]
    Model(String),
}

impl From<ExecutorError> for SearchError {
    fn from(error: ExecutorError) -> Self {
        Self::Model(error.to_string())
    }
}

/// What a search is built from.
pub struct SearchOptions {
    /// ONNX Runtime's library, if it is not to be searched for.
    pub onnxruntime: Option<PathBuf>,
    /// Threads per call.
    pub session: SessionOptions,
    /// Limits for pictures to search by.
    pub decode: DecodeLimits,
}

/// Searches the space that pictures share with words. Networks are loaded when they are first needed.
pub struct Search {
    catalog: Arc<dyn Catalog>,
    index: Arc<dyn VectorIndex>,
    pack: Arc<Pack>,
    options: SearchOptions,
    words: OnceCell<ModelHandle<String, Vec<f32>>>,
    pictures: OnceCell<(InputSpec, ModelHandle<Tensor, ImageEmbedding>)>,
}

/// Neighbors asked of the index beyond `k`, because one may be of an asset that was removed meanwhile.
const SPARE: usize = 8;
/// The longest query, in characters; the text encoder reads the first 64 tokens anyway.
const MAX_WORDS: usize = 2000;

impl Search {
    /// A search over `catalog` and `index` with the models of `pack`.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        index: Arc<dyn VectorIndex>,
        pack: Arc<Pack>,
        options: SearchOptions,
    ) -> Self {
        Self { catalog, index, pack, options, words: OnceCell::new(), pictures: OnceCell::new() }
    }

    /// The `k` assets nearest to `words`, best first.
    pub async fn by_words(
        &self,
        words: &str,
        k: usize,
        filter: &AssetFilter,
    ) -> Result<Vec<Hit>, SearchError> {
        let handle = self
            .words
            .get_or_try_init(|| async {
                let (pack, session) = (Arc::clone(&self.pack), self.options.session);
                self.load(move || embedding::load_text(&pack, &session)).await
            })
            .await?;
        let query = handle.run(words.chars().take(MAX_WORDS).collect()).await?;
        self.nearest(&query, k, filter, None).await
    }

    /// The `k` assets most like `asset`, which is itself left out.
    pub async fn by_asset(
        &self,
        asset: &AssetId,
        k: usize,
        filter: &AssetFilter,
    ) -> Result<Vec<Hit>, SearchError> {
        let query = self
            .catalog
            .vector(asset, &self.space()?)
            .await?
            .ok_or_else(|| SearchError::NotAnalyzed { asset: asset.clone() })?;
        self.nearest(&query, k, filter, Some(asset)).await
    }

    /// The `k` assets most like the picture in `bytes`, which need not be in the archive.
    pub async fn by_picture(
        &self,
        bytes: Vec<u8>,
        k: usize,
        filter: &AssetFilter,
    ) -> Result<Vec<Hit>, SearchError> {
        let (spec, handle) = self
            .pictures
            .get_or_try_init(|| async {
                let spec = self.entry()?.input.clone().ok_or_else(|| {
                    SearchError::NoModel("the image encoder's manifest entry has no input".to_owned())
                })?;
                let (pack, session) = (Arc::clone(&self.pack), self.options.session);
                Ok::<_, SearchError>((spec, self.load(move || embedding::load_image(&pack, &session)).await?))
            })
            .await?;
        let (spec, limits) = (spec.clone(), self.options.decode.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            let image = Image::decode(&bytes, &limits).map_err(|e| SearchError::Picture(e.to_string()))?;
            spec.prepare(image.picture()).map_err(|e| SearchError::Picture(e.to_string()))
        })
        .await
        .map_err(|e| SearchError::Picture(e.to_string()))??;
        let query = handle.run(prepared.tensor).await?.vector;
        self.nearest(&query, k, filter, None).await
    }

    /// Whether the index can be reached now.
    pub async fn ping(&self) -> Result<(), SearchError> {
        Ok(self.index.ping().await?)
    }

    fn entry(&self) -> Result<&docent_models::manifest::ModelEntry, SearchError> {
        self.pack.model(Task::ImageEmbedding).map_err(|error| SearchError::NoModel(error.to_string()))
    }

    fn space(&self) -> Result<VectorSpace, SearchError> {
        Ok(VectorSpace::picture(&self.entry()?.model_ref()))
    }

    async fn load<I: Send + 'static, O: Send + 'static>(
        &self,
        load: impl Fn() -> Result<Box<DynNetwork<I, O>>, docent_models::Error> + Send + Sync + 'static,
    ) -> Result<ModelHandle<I, O>, SearchError> {
        let library = self.options.onnxruntime.clone();
        tokio::task::spawn_blocking(move || {
            docent_models::session::init_runtime(library.as_deref())?;
            ModelHandle::spawn("search", ExecutorOptions { sessions: 1, max_batch: 8, inbox: 64 }, load)
        })
        .await
        .map_err(|error| SearchError::Model(error.to_string()))?
        .map_err(|error| SearchError::NoModel(error.to_string()))
    }

    async fn nearest(
        &self,
        query: &[f32],
        k: usize,
        filter: &AssetFilter,
        except: Option<&AssetId>,
    ) -> Result<Vec<Hit>, SearchError> {
        let only = match filter.is_empty() {
            true => None,
            false => Some(self.catalog.matching(filter).await?),
        };
        let neighbors = self.index.search(&self.space()?, query, k + SPARE, only.as_ref()).await?;
        let ids: Vec<AssetId> = neighbors.iter().map(|neighbor| neighbor.asset.clone()).collect();
        let mut rows: std::collections::HashMap<AssetId, String> = self
            .catalog
            .assets(&ids)
            .await?
            .into_iter()
            .filter_map(|row| Some((row.asset_id, row.uris.into_iter().next()?)))
            .collect();
        Ok(neighbors
            .into_iter()
            .filter(|Neighbor { asset, .. }| Some(asset) != except)
            .filter_map(|Neighbor { asset, score, .. }| {
                let uri = rows.remove(&asset)?;
                Some(Hit { asset_id: asset, uri, score })
            })
            .take(k)
            .collect())
    }
}
