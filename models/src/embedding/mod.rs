//! Pictures and words as vectors in one space.

mod clip;

use std::sync::Arc;

use crate::session::SessionOptions;
use crate::{Error, Network, Pack, Task, Tensor};

/// A network that embeds pictures.
pub type ImageEncoder = dyn Network<Input = Tensor, Output = ImageEmbedding>;
/// A network that embeds words; it tokenizes them itself. Unit vectors.
pub type TextEncoder = dyn Network<Input = String, Output = Vec<f32>>;

/// What an image encoder answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageEmbedding {
    /// Unit vector; the dot product with another one is their similarity.
    pub vector: Vec<f32>,
    /// `[tokens, width]`: what a captioner reads.
    pub tokens: Arc<Tensor>,
}

/// Loads the pack's image encoder.
pub fn load_image(pack: &Pack, options: &SessionOptions) -> Result<Box<ImageEncoder>, Error> {
    let entry = pack.model(Task::ImageEmbedding)?;
    match entry.architecture.as_str() {
        "clip" => Ok(Box::new(clip::ClipVision::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("clip")),
    }
}

/// Loads the pack's text encoder.
pub fn load_text(pack: &Pack, options: &SessionOptions) -> Result<Box<TextEncoder>, Error> {
    let entry = pack.model(Task::TextEmbedding)?;
    match entry.architecture.as_str() {
        "clip" => Ok(Box::new(clip::ClipText::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("clip")),
    }
}
