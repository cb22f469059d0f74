//! The landmark network of face-api: `pixel_values` `[N,3,112,112]` to `landmarks` `[N,68,2]`, as fractions of the crop.

use super::Landmarks;
use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{BoundingBox, Error, InputSpec, ModelRef, Network, Pack, Picture, Prepared, Tensor};

/// Cuts a square around a face and prepares it. The answer's points come out in pixels of `picture`.
pub fn prepare_landmarks(spec: &InputSpec, picture: &Picture, face: BoundingBox) -> Result<Prepared, Error> {
    let (square, (left, top)) = picture.square(face)?;
    let mut prepared = spec.prepare(&square)?;
    prepared.offset = (-left * prepared.scale.0, -top * prepared.scale.1);
    prepared.picture = (picture.width(), picture.height());
    Ok(prepared)
}

pub(super) struct FaceApiLandmarks {
    session: Session,
}

impl FaceApiLandmarks {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)? })
    }
}

impl Network for FaceApiLandmarks {
    type Input = Prepared;
    type Output = Landmarks;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Prepared]) -> Result<Vec<Landmarks>, Error> {
        let tensors: Vec<&Tensor> = batch.iter().map(|input| &input.tensor).collect();
        let outputs = self.session.run_batch(&tensors, "pixel_values", &["landmarks"])?;
        let decode = |(i, input): (usize, &Prepared)| {
            let [width, height] = [input.tensor.shape[2] as f32, input.tensor.shape[1] as f32];
            let mut points = [[0.0; 2]; 68];
            for (point, xy) in points.iter_mut().zip(outputs[0].row(i).chunks_exact(2)) {
                let (x, y) = input.to_picture(xy[0] * width, xy[1] * height);
                *point = [x, y];
            }
            Landmarks(points)
        };
        Ok(batch.iter().enumerate().map(decode).collect())
    }
}
