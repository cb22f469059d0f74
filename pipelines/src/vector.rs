//! Embeddings and the spaces they live in.

use std::fmt;

use docent_models::ModelRef;
use serde::{Deserialize, Serialize};

use crate::asset::{AssetId, derived_id};
use crate::suggestion::Region;

/// Vectors are comparable only within one space: one kind of embedding by one model version,
/// written `picture/joint@1` or `face/dlib-resnet@1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VectorSpace(String);

/// One vector of one asset, or of one region of it.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorRecord {
    /// 32 hexadecimal digits derived from space, asset and region: a repeated run overwrites.
    pub id: String,
    /// The asset it describes.
    pub asset: AssetId,
    /// The space it lives in.
    pub space: VectorSpace,
    /// The part of the picture it describes; `None` for the whole.
    pub region: Option<Region>,
    /// As many values as the space has dimensions.
    pub values: Vec<f32>,
}

impl VectorSpace {
    /// The space of whole pictures (and of words) by `model`. Unit vectors; similarity is the dot product.
    pub fn picture(model: &ModelRef) -> Self {
        Self(format!("picture/{model}"))
    }

    /// The space of faces by `model`.
    pub fn face(model: &ModelRef) -> Self {
        Self(format!("face/{model}"))
    }

    /// Whether its vectors describe parts of pictures, of which a picture has any number.
    pub fn is_of_parts(&self) -> bool {
        !self.0.starts_with("picture/")
    }

    /// A space by its stored name.
    pub fn from_name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The stored name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VectorSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VectorRecord {
    /// A record with its derived id.
    pub fn new(asset: AssetId, space: VectorSpace, region: Option<Region>, values: Vec<f32>) -> Self {
        let place = region.map_or_else(String::new, |r| format!("{},{},{},{}", r.x, r.y, r.width, r.height));
        let id = derived_id(&[space.as_str().as_bytes(), asset.as_str().as_bytes(), place.as_bytes()]);
        Self { id, asset, space, region, values }
    }
}

/// The product of two vectors; what one has more than the other is left out. For unit vectors it is their cosine, -1..=1.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums side by side, which the compiler turns into vector instructions.
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_product_is_the_product() {
        for length in [0, 1, 15, 16, 17, 384] {
            let a: Vec<f32> = (0..length).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..length).map(|i| (i as f32 * 0.11).cos()).collect();
            let plain: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-4);
        }
    }
}
