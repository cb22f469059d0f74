//! mini-Xception, FER-2013: `pixel_values` `[N,1,64,64]` to `probabilities` `[N,7]`.

use std::sync::Arc;

use super::EmotionScore;
use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Tensor};

pub(super) struct MiniXception {
    session: Session,
    labels: Vec<Arc<str>>,
}

impl MiniXception {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        let labels = pack.read_text(entry, "labels")?.lines().map(Arc::from).collect();
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)?, labels })
    }
}

impl Network for MiniXception {
    type Input = Tensor;
    type Output = Vec<EmotionScore>;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Tensor]) -> Result<Vec<Vec<EmotionScore>>, Error> {
        let tensors: Vec<&Tensor> = batch.iter().collect();
        let outputs = self.session.run_batch(&tensors, "pixel_values", &["probabilities"])?;
        let score =
            |(label, &probability): (&Arc<str>, &f32)| EmotionScore { label: Arc::clone(label), probability };
        Ok((0..batch.len()).map(|i| self.labels.iter().zip(outputs[0].row(i)).map(score).collect()).collect())
    }
}
