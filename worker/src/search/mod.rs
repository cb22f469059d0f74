//! Finds assets by words, by likeness, or by a picture that is not in the archive.

mod asked;
mod fusion;
mod nearest;
mod texts;
mod weak;

use std::sync::Arc;

pub use asked::Unasked;
use docent_models::embedding::{self, ImageEmbedding};
use docent_models::manifest::ModelEntry;
use docent_models::session::SessionOptions;
use docent_models::{InputSpec, Pack, Task, Tensor};
use docent_pipelines::executor::{DynNetwork, ExecutorError, ExecutorOptions, ModelHandle};
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::{AssetId, Image, VectorSpace};
pub use fusion::{By, ByWords, Match, Matches, by_words};
pub use nearest::{Question, nearest};
use serde::Serialize;
pub use texts::Excerpt;
use tokio::sync::OnceCell;

use crate::store::{AssetFilter, Catalog, StoreError, Wanted};
use crate::telemetry;
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

/// What was found, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Hits {
    /// The assets.
    pub hits: Vec<Hit>,
    /// Whether these are all that were asked for. Otherwise the filter passes too few of the nearest assets: what is here
    /// is right, and more would pass further away.
    pub complete: bool,
    /// Hits with a lower score are weak: chance gives such scores to pictures that do not fit. `None` if that is not known.
    pub weak_from: Option<f32>,
}

impl From<Vec<Hit>> for Hits {
    fn from(hits: Vec<Hit>) -> Self {
        Self { hits, complete: true, weak_from: None }
    }
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
    /// The ledger has vectors and the index none of them.
    #[error("the vector index has lost the vectors of {space}")]
    Lost {
        /// Their space.
        space: VectorSpace,
    },
    /// Texts cannot be searched for these words.
    #[error(transparent)]
    Unasked(#[from] Unasked),
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

/// Loads ONNX Runtime.
pub type Start = Arc<dyn Fn() -> Result<(), docent_models::Error> + Send + Sync>;

/// What a search is built from.
pub struct SearchOptions {
    /// What has to be done before the first network is loaded.
    pub start: Start,
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
    encoders: Vec<Encoder>,
}

/// An image encoder and the text encoder of the same space.
struct Encoder {
    space: VectorSpace,
    image: ModelEntry,
    text: Option<ModelEntry>,
    words: OnceCell<ModelHandle<String, Vec<f32>>>,
    pictures: OnceCell<(InputSpec, ModelHandle<Tensor, ImageEmbedding>)>,
}

/// The longest query, in characters; the text encoder reads the first 64 tokens anyway.
const MAX_WORDS: usize = 2000;

/// Texts that are read at once.
const TOGETHER: usize = 32;

impl Search {
    /// A search over `catalog` and `index` with the models of `pack`.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        index: Arc<dyn VectorIndex>,
        pack: Arc<Pack>,
        options: SearchOptions,
    ) -> Self {
        let of = |task| pack.models().filter(move |entry| entry.task == task);
        let mut texts = of(Task::TextEmbedding);
        // They belong together in the order of the manifest.
        let encoders = of(Task::ImageEmbedding).map(|image| Encoder {
            space: VectorSpace::picture(&image.model_ref()),
            image: image.clone(),
            text: texts.next().cloned(),
            words: OnceCell::new(),
            pictures: OnceCell::new(),
        });
        let encoders = encoders.collect();
        drop(texts);
        Self { catalog, index, pack, options, encoders }
    }

    /// The space that is searched: the first of the manifest's, or an older one while that has more vectors.
    pub async fn space(&self) -> Result<VectorSpace, SearchError> {
        Ok(self.encoder().await?.space.clone())
    }

    async fn encoder(&self) -> Result<&Encoder, SearchError> {
        let (first, older) = self.encoders.split_first().ok_or_else(|| {
            let missing = self.pack.model(Task::ImageEmbedding);
            SearchError::NoModel(missing.err().map_or_else(String::new, |error| error.to_string()))
        })?;
        if older.is_empty() {
            return Ok(first);
        }
        let counts = self.catalog.counts(&Wanted::new()).await?.vectors;
        let count = |encoder: &Encoder| counts.get(encoder.space.as_str()).copied().unwrap_or(0);
        Ok(older
            .iter()
            .fold(first, |best, encoder| if count(encoder) > count(best) { encoder } else { best }))
    }

    /// The `k` assets nearest to `words`, best first.
    pub async fn by_words(&self, words: &str, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        let encoder = self.encoder().await?;
        let query = self.reader(encoder).await?.run(words.chars().take(MAX_WORDS).collect()).await?;
        let mut found = self.nearest(encoder, &query, k, filter, None).await?;
        if !found.hits.is_empty() {
            found.weak_from = weak::weak_from(&*self.catalog, &*self.index, &encoder.space, &query).await?;
        }
        Ok(found)
    }

    /// The network that reads words for an encoder's space.
    async fn reader<'a>(
        &'a self,
        encoder: &'a Encoder,
    ) -> Result<&'a ModelHandle<String, Vec<f32>>, SearchError> {
        let load = || async {
            let text = encoder.text.clone().ok_or_else(|| {
                SearchError::NoModel(format!("a text encoder for {}", encoder.image.model_ref()))
            })?;
            let (pack, session) = (Arc::clone(&self.pack), self.options.session.clone());
            self.load(text.max_batch, move || embedding::load_text_entry(&pack, &text, &session)).await
        };
        encoder.words.get_or_try_init(load).await
    }

    /// The vectors of some words in the searched space, each of unit length.
    pub async fn vectors_of(&self, words: Vec<String>) -> Result<Vec<Vec<f32>>, SearchError> {
        let reader = self.reader(self.encoder().await?).await?;
        let mut vectors = Vec::with_capacity(words.len());
        // As many at once as fill the network's batches on every core.
        for words in words.chunks(TOGETHER) {
            let read = words.iter().map(|words| reader.run(words.chars().take(MAX_WORDS).collect()));
            vectors.extend(futures_util::future::try_join_all(read).await?);
        }
        Ok(vectors)
    }

    /// The networks of the searched space: that of pictures, and that of words if there is one.
    pub async fn networks(&self) -> Result<(&ModelEntry, Option<&ModelEntry>), SearchError> {
        let encoder = self.encoder().await?;
        Ok((&encoder.image, encoder.text.as_ref()))
    }

    /// The languages that words are understood in, by their BCP 47 tags, as the manifest says; none where it does not.
    pub async fn languages(&self) -> Result<Vec<String>, SearchError> {
        Ok(self.encoder().await?.text.as_ref().map_or_else(Vec::new, |text| text.languages.clone()))
    }

    /// The `k` records of the searched space with the largest products with `weights`, and these products; `None` if the index does
    /// not answer that exactly.
    pub(crate) async fn by_weights(
        &self,
        weights: &[f32],
        k: usize,
    ) -> Result<Option<Vec<Neighbor>>, SearchError> {
        if !self.index.is_exact() {
            return Ok(None);
        }
        let space = &self.encoder().await?.space;
        Ok(Some(self.index.search(space, weights, k, None).await?))
    }

    /// The `k` assets most like `asset`, which is itself left out.
    pub async fn by_asset(
        &self,
        asset: &AssetId,
        k: usize,
        filter: &AssetFilter,
    ) -> Result<Hits, SearchError> {
        let encoder = self.encoder().await?;
        let query = self
            .catalog
            .vector(asset, &encoder.space)
            .await?
            .ok_or_else(|| SearchError::NotAnalyzed { asset: asset.clone() })?;
        self.nearest(encoder, &query, k, filter, Some(asset)).await
    }

    /// The `k` assets most like the picture in `bytes`, which need not be in the archive.
    pub async fn by_picture(
        &self,
        bytes: Vec<u8>,
        k: usize,
        filter: &AssetFilter,
    ) -> Result<Hits, SearchError> {
        let encoder = self.encoder().await?;
        let (spec, handle) = encoder
            .pictures
            .get_or_try_init(|| async {
                let image = encoder.image.clone();
                let spec = image.input.clone().ok_or_else(|| {
                    SearchError::NoModel("the image encoder's manifest entry has no input".to_owned())
                })?;
                let (pack, session) = (Arc::clone(&self.pack), self.options.session.clone());
                let load = move || embedding::load_image_entry(&pack, &image, &session);
                Ok::<_, SearchError>((spec, self.load(1, load).await?))
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
        self.nearest(encoder, &query, k, filter, None).await
    }

    /// Whether the index can be reached now.
    pub async fn ping(&self) -> Result<(), SearchError> {
        Ok(self.index.ping().await?)
    }

    async fn load<I: Send + 'static, O: Send + 'static>(
        &self,
        max_batch: usize,
        load: impl Fn() -> Result<Box<DynNetwork<I, O>>, docent_models::Error> + Send + Sync + 'static,
    ) -> Result<ModelHandle<I, O>, SearchError> {
        let start = Arc::clone(&self.options.start);
        tokio::task::spawn_blocking(move || {
            start()?;
            // Queries come one by one; the words of a vocabulary come together.
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let options = ExecutorOptions { sessions: cores.min(4), max_batch, inbox: 64 };
            let handle = ModelHandle::spawn("search", options, load)?;
            if let Some(provider) = handle.provider() {
                telemetry::session(handle.model(), provider);
            }
            telemetry::batch(handle.model(), handle.max_batch());
            Ok(handle)
        })
        .await
        .map_err(|error| SearchError::Model(error.to_string()))?
        .map_err(|error: docent_models::Error| match error {
            docent_models::Error::Provider { .. } => SearchError::Model(error.to_string()),
            _ => SearchError::NoModel(error.to_string()),
        })
    }

    /// Whether the index has nothing of what the ledger has.
    async fn is_lost(&self, space: &VectorSpace) -> Result<bool, SearchError> {
        Ok(self.index.count(space).await? == 0 && !self.catalog.vectors_after(space, 0, 1).await?.is_empty())
    }

    async fn nearest(
        &self,
        encoder: &Encoder,
        query: &[f32],
        k: usize,
        filter: &AssetFilter,
        except: Option<&AssetId>,
    ) -> Result<Hits, SearchError> {
        let question = Question { space: &encoder.space, vector: query, k, filter, except };
        let found = nearest(&*self.catalog, &*self.index, question).await?;
        if found.hits.is_empty() && self.is_lost(&encoder.space).await? {
            return Err(SearchError::Lost { space: encoder.space.clone() });
        }
        Ok(found)
    }
}
