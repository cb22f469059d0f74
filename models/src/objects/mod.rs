//! Boxes of things.

pub(crate) mod centernet;

use std::sync::Arc;

use crate::session::SessionOptions;
use crate::{BoundingBox, Error, Network, Pack, Prepared, Task};

/// A network that finds things.
pub type ObjectDetector = dyn Network<Input = Prepared, Output = Vec<Detection>>;

/// One thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// What it is.
    pub label: Arc<str>,
    /// 0..=1; not a probability, 0.25 to 0.8 is usual. What it is worth depends on the label.
    pub score: f32,
    /// Where, in pixels of the picture, inside it.
    pub bbox: BoundingBox,
}

/// Loads the pack's object detector.
pub fn load(pack: &Pack, options: &SessionOptions) -> Result<Box<ObjectDetector>, Error> {
    let entry = pack.model(Task::ObjectDetection)?;
    match entry.architecture.as_str() {
        "centernet" => Ok(Box::new(centernet::CenterNet::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("centernet")),
    }
}
