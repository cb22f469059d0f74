//! Class probabilities for the whole picture.

mod efficientnet;

use crate::session::SessionOptions;
use crate::{Error, Network, Pack, Task, Tensor};

/// A network that tags.
pub type Tagger = dyn Network<Input = Tensor, Output = TagScores>;

/// What a tagger answers.
#[derive(Debug, Clone, PartialEq)]
pub struct TagScores {
    /// One probability per class, in the order of the model's vocabulary; they sum to 1.
    pub probabilities: Vec<f32>,
}

/// Loads the pack's tagger.
pub fn load(pack: &Pack, options: &SessionOptions) -> Result<Box<Tagger>, Error> {
    let entry = pack.model(Task::Tagging)?;
    match entry.architecture.as_str() {
        "efficientnet-lite" => Ok(Box::new(efficientnet::EfficientNetLite::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("efficientnet-lite")),
    }
}
