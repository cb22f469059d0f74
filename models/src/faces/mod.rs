//! Faces: where they are, how they are turned, whose they may be.

mod align;
mod dlib_resnet;
pub(crate) mod faceboxes;
mod landmarks;
mod tiles;

pub use align::align;
pub use landmarks::prepare_landmarks;
pub use tiles::{merge_tiles, promising_tiles};

use crate::session::SessionOptions;
use crate::{BoundingBox, Error, Network, Pack, Prepared, Task, Tensor};

/// A network that finds faces.
pub type FaceDetector = dyn Network<Input = Prepared, Output = FaceLook>;
/// A network that finds the points of a face; its input comes from [`prepare_landmarks`].
pub type LandmarkFinder = dyn Network<Input = Prepared, Output = Landmarks>;
/// A network that embeds an aligned face, made by [`align`]. 128 values, not normalized; the same person lies within
/// a Euclidean distance of about 0.6.
pub type FaceEmbedder = dyn Network<Input = Tensor, Output = Vec<f32>>;

/// What one look at a picture says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaceLook {
    /// The faces.
    pub faces: Vec<FaceDetection>,
    /// Centers, in pixels of the picture, of what may be small faces: a closer look would tell.
    pub hints: Vec<[f32; 2]>,
}

/// One face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceDetection {
    /// Where, in pixels of the picture, inside it.
    pub bbox: BoundingBox,
    /// Probability, 0..=1.
    pub score: f32,
}

/// 68 points of a face in pixels of the picture, in the order of the 300-W annotation: 0-16 jaw, 17-26 brows,
/// 27-35 nose, 36-41 the eye at the left of the picture, 42-47 the eye at its right, 48-67 mouth.
#[derive(Debug, Clone, PartialEq)]
pub struct Landmarks(pub [[f32; 2]; 68]);

/// Loads the pack's face detector.
pub fn load_detector(pack: &Pack, options: &SessionOptions) -> Result<Box<FaceDetector>, Error> {
    let entry = pack.model(Task::FaceDetection)?;
    match entry.architecture.as_str() {
        "faceboxes" => Ok(Box::new(faceboxes::FaceBoxes::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("faceboxes")),
    }
}

/// Loads the pack's landmark finder.
pub fn load_landmarks(pack: &Pack, options: &SessionOptions) -> Result<Box<LandmarkFinder>, Error> {
    let entry = pack.model(Task::FaceLandmarks)?;
    match entry.architecture.as_str() {
        "face-api-landmarks" => Ok(Box::new(landmarks::FaceApiLandmarks::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("face-api-landmarks")),
    }
}

/// Loads the pack's face embedder.
pub fn load_embedder(pack: &Pack, options: &SessionOptions) -> Result<Box<FaceEmbedder>, Error> {
    let entry = pack.model(Task::FaceEmbedding)?;
    match entry.architecture.as_str() {
        "dlib-resnet" => Ok(Box::new(dlib_resnet::DlibResnet::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("dlib-resnet")),
    }
}
