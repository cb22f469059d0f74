use crate::{Error, ModelRef};

/// One loaded model that answers batches.
///
/// An implementation holds a session and is driven by one thread at a time. Inputs arrive already prepared
/// (resized, normalized, tokenized), so that this preparation can happen elsewhere, in parallel.
pub trait Network: Send + 'static {
    /// One prepared input, for instance a `[C, H, W]` [`crate::Tensor`].
    type Input: Send + 'static;
    /// The decoded prediction for one input.
    type Output: Send + 'static;

    /// Which model, in which version, gives the answers.
    fn model(&self) -> &ModelRef;

    /// On what ONNX Runtime runs it, as in `CPUExecutionProvider`; `None` for what is run by something else.
    fn provider(&self) -> Option<&str> {
        None
    }

    /// Answers one output per input, in the order of the inputs. The answer for an input does not depend on
    /// its neighbors in the batch. An error concerns the whole batch; nothing was answered.
    /// The inputs are only borrowed, so that the caller can ask again for one at a time.
    fn run(&mut self, batch: &[Self::Input]) -> Result<Vec<Self::Output>, Error>;
}
