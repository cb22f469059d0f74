//! EfficientNet-lite, ImageNet-1k: `pixel_values` `[N,3,224,224]` to `logits` `[N,1000]`.

use super::TagScores;
use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Tensor};

pub(super) struct EfficientNetLite {
    session: Session,
}

impl EfficientNetLite {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)? })
    }
}

impl Network for EfficientNetLite {
    type Input = Tensor;
    type Output = TagScores;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Tensor]) -> Result<Vec<TagScores>, Error> {
        let tensors: Vec<&Tensor> = batch.iter().collect();
        let outputs = self.session.run_batch(&tensors, "pixel_values", &["logits"])?;
        let rows = (0..batch.len()).map(|i| TagScores { probabilities: softmax(outputs[0].row(i)) });
        Ok(rows.collect())
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
