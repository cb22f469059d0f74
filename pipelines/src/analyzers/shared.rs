//! Networks whose answer more than one analyzer needs, run at most once per picture.

use std::sync::Arc;

use docent_models::embedding::ImageEmbedding;
use docent_models::objects::Detection;
use docent_models::{InputSpec, Picture, Prepared, Tensor};
use tokio::sync::OnceCell;

use super::AnalyzerError;
use crate::executor::ModelHandle;

/// The networks behind [`Subject::objects`] and [`Subject::embedding`].
#[derive(Default)]
pub struct SharedNetworks {
    /// Finds things; the tags analyzer asks whether people are among them.
    pub objects: Option<(InputSpec, ModelHandle<Prepared, Vec<Detection>>)>,
    /// Embeds the picture; its tokens are what the captioner reads.
    pub image: Option<(InputSpec, ModelHandle<Tensor, ImageEmbedding>)>,
}

/// One picture under analysis.
pub struct Subject<'a> {
    /// Upright working picture.
    pub picture: &'a Arc<Picture>,
    networks: &'a SharedNetworks,
    objects: OnceCell<Option<Vec<Detection>>>,
    embedding: OnceCell<Option<ImageEmbedding>>,
}

impl<'a> Subject<'a> {
    /// A picture nothing is known of yet.
    pub fn new(picture: &'a Arc<Picture>, networks: &'a SharedNetworks) -> Self {
        Self { picture, networks, objects: OnceCell::new(), embedding: OnceCell::new() }
    }

    /// The things in the picture; `None` if no detector is loaded.
    pub async fn objects(&self) -> Result<Option<&[Detection]>, AnalyzerError> {
        let Some((spec, handle)) = &self.networks.objects else { return Ok(None) };
        let detect = async || Ok(Some(handle.run(spec.prepare(self.picture)?).await?));
        Ok(self.objects.get_or_try_init(detect).await.map_err(|e: AnalyzerError| e)?.as_deref())
    }

    /// The picture's vector and visual tokens; `None` if no encoder is loaded.
    pub async fn embedding(&self) -> Result<Option<&ImageEmbedding>, AnalyzerError> {
        let Some((spec, handle)) = &self.networks.image else { return Ok(None) };
        let embed = async || Ok(Some(handle.run(spec.prepare(self.picture)?.tensor).await?));
        Ok(self.embedding.get_or_try_init(embed).await.map_err(|e: AnalyzerError| e)?.as_ref())
    }
}
