//! Networks that several analyzers use. Each one runs at most once per picture.

use std::sync::Arc;

use docent_models::embedding::ImageEmbedding;
use docent_models::objects::Detection;
use docent_models::tagging::TagScores;
use docent_models::{InputSpec, ModelRef, Picture, Prepared, Tensor};
use tokio::sync::OnceCell;

use super::AnalyzerError;
use super::agreement::{Tags, Thresholds};
use crate::classes::ClassTags;
use crate::executor::{Limit, ModelHandle};

/// The networks behind [`Subject::objects`], `Subject::tags` and [`Subject::embedding`].
#[derive(Default)]
pub struct SharedNetworks {
    /// Finds things. Other analyzers ask it for people and animals.
    pub objects: Option<(InputSpec, ModelHandle<Prepared, Vec<Detection>>)>,
    /// When things are offered.
    pub thresholds: Thresholds,
    /// Names what the whole picture shows. Other analyzers ask it for animals.
    pub tagger: Option<Tagger>,
    /// Embeds the picture. The captioner reads its tokens.
    pub image: Option<(InputSpec, ModelHandle<Tensor, ImageEmbedding>)>,
}

/// The tagger with its vocabulary.
pub struct Tagger {
    /// How a picture is prepared.
    pub spec: InputSpec,
    /// The network.
    pub network: ModelHandle<Tensor, TagScores>,
    /// Its classes.
    pub vocabulary: ClassTags,
}

impl Tagger {
    /// Which model answers.
    pub fn model(&self) -> &ModelRef {
        self.network.model()
    }
}

/// Limits for single calls of networks. `None` means no limit.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// For all calls except Tesseract's.
    pub step: Option<Limit>,
    /// For Tesseract's calls.
    pub reading: Option<Limit>,
}

/// One picture under analysis.
pub struct Subject<'a> {
    /// Upright working picture.
    pub picture: &'a Arc<Picture>,
    /// How long single calls may take.
    pub limits: &'a Limits,
    networks: &'a SharedNetworks,
    // Failures are kept too: the same call would fail for the other analyzers as well.
    objects: OnceCell<Result<Option<Vec<Detection>>, AnalyzerError>>,
    tags: OnceCell<Result<Option<TagScores>, AnalyzerError>>,
    embedding: OnceCell<Result<Option<ImageEmbedding>, AnalyzerError>>,
}

impl<'a> Subject<'a> {
    /// A picture before any network has seen it.
    pub fn new(picture: &'a Arc<Picture>, networks: &'a SharedNetworks, limits: &'a Limits) -> Self {
        Self {
            picture,
            limits,
            networks,
            objects: OnceCell::new(),
            tags: OnceCell::new(),
            embedding: OnceCell::new(),
        }
    }

    /// The things in the picture; `None` if no detector is loaded.
    pub async fn objects(&self) -> Result<Option<&[Detection]>, AnalyzerError> {
        let Some((spec, handle)) = &self.networks.objects else { return Ok(None) };
        let limit = self.limits.step.as_ref();
        let detect = async || Ok(Some(handle.run_within(limit, spec.prepare(self.picture)?).await?));
        self.objects.get_or_init(detect).await.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// When things are offered.
    pub fn thresholds(&self) -> &'a Thresholds {
        &self.networks.thresholds
    }

    /// The tagger's answer for the whole picture; `None` if no tagger is loaded.
    pub(super) async fn tags(&self) -> Result<Option<Tags<'_>>, AnalyzerError> {
        let Some(tagger) = &self.networks.tagger else { return Ok(None) };
        let limit = self.limits.step.as_ref();
        let tag = async || {
            let input = tagger.spec.prepare(self.picture)?.tensor;
            Ok(Some(tagger.network.run_within(limit, input).await?))
        };
        let scores = self.tags.get_or_init(tag).await.as_ref().map_err(Clone::clone)?;
        Ok(scores
            .as_ref()
            .map(|scores| Tags { vocabulary: &tagger.vocabulary, probabilities: &scores.probabilities }))
    }

    /// The picture's vector and visual tokens; `None` if no encoder is loaded.
    pub async fn embedding(&self) -> Result<Option<&ImageEmbedding>, AnalyzerError> {
        let Some((spec, handle)) = &self.networks.image else { return Ok(None) };
        let limit = self.limits.step.as_ref();
        let embed = async || Ok(Some(handle.run_within(limit, spec.prepare(self.picture)?.tensor).await?));
        self.embedding.get_or_init(embed).await.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}
