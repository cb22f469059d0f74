//! The expression of a face.

mod mini_xception;

use std::sync::Arc;

use crate::session::SessionOptions;
use crate::{BoundingBox, Error, InputSpec, Network, Pack, Picture, Task, Tensor};

/// A network that reads expressions.
pub type EmotionClassifier = dyn Network<Input = Tensor, Output = Vec<EmotionScore>>;

/// One expression's probability.
#[derive(Debug, Clone, PartialEq)]
pub struct EmotionScore {
    /// `angry`, `disgust`, `fear`, `happy`, `sad`, `surprise` or `neutral`.
    pub label: Arc<str>,
    /// 0..=1; all of a face sum to 1.
    pub probability: f32,
}

/// Cuts a square around a face and prepares it.
pub fn prepare(spec: &InputSpec, picture: &Picture, face: BoundingBox) -> Result<Tensor, Error> {
    Ok(spec.prepare(&picture.square(face)?.0)?.tensor)
}

/// Loads the pack's classifier.
pub fn load(pack: &Pack, options: &SessionOptions) -> Result<Box<EmotionClassifier>, Error> {
    let entry = pack.model(Task::Emotion)?;
    match entry.architecture.as_str() {
        "mini-xception" => Ok(Box::new(mini_xception::MiniXception::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("mini-xception")),
    }
}
