//! A sentence from visual tokens.

mod beam;
mod optimum;

use std::sync::Arc;

use crate::session::SessionOptions;
use crate::{Error, Network, Pack, Task, Tensor};

/// A network that captions.
pub type Captioner = dyn Network<Input = CaptionRequest, Output = Caption>;

/// One picture to caption.
#[derive(Debug, Clone)]
pub struct CaptionRequest {
    /// The image encoder's `[tokens, width]`.
    pub tokens: Arc<Tensor>,
    /// How sentences are searched for.
    pub strategy: Strategy,
}

/// How a sentence is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Always the most probable next word.
    Greedy,
    /// The most probable of several sentences followed side by side.
    Beam {
        /// How many; 1 is greedy.
        width: usize,
    },
}

/// One sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// Capitalized, with a full stop; empty if the network had nothing to say.
    pub text: String,
    /// With the tokens that begin and end it.
    pub token_ids: Vec<u32>,
    /// Mean of the chosen tokens' log-probabilities, the end included; its exponential is the geometric mean of
    /// their probabilities.
    pub mean_log_probability: f32,
}

/// Loads the pack's captioner.
pub fn load(pack: &Pack, options: &SessionOptions) -> Result<Box<Captioner>, Error> {
    let entry = pack.model(Task::Captioning)?;
    match entry.architecture.as_str() {
        "optimum-decoder" => Ok(Box::new(optimum::OptimumDecoder::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("optimum-decoder")),
    }
}
