//! dlib's face recognition network: `pixel_values` `[N,3,150,150]` to `embedding` `[N,128]`.

use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Tensor};

pub(super) struct DlibResnet {
    session: Session,
}

impl DlibResnet {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)? })
    }
}

impl Network for DlibResnet {
    type Input = Tensor;
    type Output = Vec<f32>;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Tensor]) -> Result<Vec<Vec<f32>>, Error> {
        let tensors: Vec<&Tensor> = batch.iter().collect();
        let outputs = self.session.run_batch(&tensors, "pixel_values", &["embedding"])?;
        Ok((0..batch.len()).map(|i| outputs[0].row(i).to_vec()).collect())
    }
}
