//! Pictures and words as vectors in one space.

mod clip;

use std::sync::Arc;

use crate::manifest::ModelEntry;
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

/// Loads the pack's image encoder: the first in the manifest.
pub fn load_image(pack: &Pack, options: &SessionOptions) -> Result<Box<ImageEncoder>, Error> {
    load_image_entry(pack, pack.model(Task::ImageEmbedding)?, options)
}

/// Loads one of the pack's image encoders.
pub fn load_image_entry(
    pack: &Pack,
    entry: &ModelEntry,
    options: &SessionOptions,
) -> Result<Box<ImageEncoder>, Error> {
    match entry.architecture.as_str() {
        "clip" => Ok(Box::new(clip::ClipVision::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("clip")),
    }
}

/// Loads the pack's text encoder: the first in the manifest.
pub fn load_text(pack: &Pack, options: &SessionOptions) -> Result<Box<TextEncoder>, Error> {
    load_text_entry(pack, pack.model(Task::TextEmbedding)?, options)
}

/// Loads one of the pack's text encoders.
pub fn load_text_entry(
    pack: &Pack,
    entry: &ModelEntry,
    options: &SessionOptions,
) -> Result<Box<TextEncoder>, Error> {
    match entry.architecture.as_str() {
        "clip" => Ok(Box::new(clip::ClipText::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("clip")),
    }
}
