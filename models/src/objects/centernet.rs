//! CenterNet without its peak picking: `pixel_values` `[N,3,S,S]` to `heat` `[N,C,S/4,S/4]`, logits of the classes, and
//! `box` `[N,4,S/4,S/4]`, distances from a cell's corner to the left, top, right and bottom edge in canvas pixels.
//!
//! Peaks are picked here: of a million cells a handful is above the threshold, and the graph would sort them all.

use std::sync::Arc;

use super::Detection;
use crate::geometry::suppress;
use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Prepared, Tensor};

/// Below what is offered: a face that stands on a likely person is one, and on a likely animal is none.
const MIN_SCORE: f32 = 0.25;
/// As many peaks are looked at, the strongest first, as the original graph gave.
const MOST_PEAKS: usize = 100;
/// Canvas pixels from one cell to the next.
const STRIDE: f32 = 4.0;
/// Boxes of one class that overlap more than this are one thing.
const SAME_CLASS_IOU: f32 = 0.5;
/// Boxes of different classes that overlap more than this are one thing, seen twice: a dog's close-up gives a cat and a person
/// as well. From 0.6 to 0.7 nothing changes.
const SAME_PLACE_IOU: f32 = 0.65;

pub(super) struct CenterNet {
    session: Session,
    labels: Vec<Arc<str>>,
}

impl CenterNet {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        let labels = pack.read_text(entry, "labels")?.lines().map(Arc::from).collect();
        let session = Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)?;
        Ok(Self { session, labels })
    }

    fn decode(&self, heads: &Heads<'_>, input: &Prepared) -> Vec<Detection> {
        let found = heads
            .peaks(MIN_SCORE)
            .into_iter()
            .filter_map(|peak| {
                let label = Arc::clone(self.labels.get(peak.class)?);
                let bbox = input.box_to_picture(peak.corners);
                (bbox.area() > 0.0).then_some(Detection { label, score: peak.score.min(1.0), bbox })
            })
            .collect();
        merge(found)
    }
}

/// What the graph answers for one picture: planes of `width` by `height` cells.
pub(crate) struct Heads<'a> {
    /// One plane for each class.
    pub heat: &'a [f32],
    /// Four planes.
    pub edges: &'a [f32],
    pub width: usize,
    pub height: usize,
}

/// A cell that is the strongest of its neighborhood in its class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    pub class: usize,
    /// 0..=1.
    pub score: f32,
    /// Left, top, right and bottom, in canvas pixels; may lie outside.
    pub corners: [f32; 4],
}

impl Heads<'_> {
    /// Peaks of at least `min_score`, the strongest first, at most [`MOST_PEAKS`].
    pub fn peaks(&self, min_score: f32) -> Vec<Peak> {
        let cells = self.width * self.height;
        if cells == 0 || self.edges.len() != 4 * cells {
            return Vec::new();
        }
        // Comparing logits spares a million exponentials.
        let least = (min_score / (1.0 - min_score)).ln();
        let mut found: Vec<(f32, usize, usize)> = Vec::new();
        for (class, plane) in self.heat.chunks_exact(cells).enumerate() {
            for (row, values) in plane.chunks_exact(self.width).enumerate() {
                if !values.iter().any(|&value| value >= least) {
                    continue;
                }
                let candidates = values.iter().enumerate().filter(|(_, value)| **value >= least);
                let peaks = candidates.filter(|&(column, &value)| self.is_peak(plane, column, row, value));
                found.extend(peaks.map(|(column, &value)| (value, class, row * self.width + column)));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(MOST_PEAKS);
        found.into_iter().map(|(logit, class, cell)| self.peak(logit, class, cell)).collect()
    }

    /// Whether nothing around the cell is stronger.
    fn is_peak(&self, plane: &[f32], column: usize, row: usize, value: f32) -> bool {
        let (left, right) = (column.saturating_sub(1), (column + 1).min(self.width - 1));
        (row.saturating_sub(1)..=(row + 1).min(self.height - 1)).all(|row| {
            plane[row * self.width + left..=row * self.width + right].iter().all(|&near| near <= value)
        })
    }

    fn peak(&self, logit: f32, class: usize, cell: usize) -> Peak {
        let cells = self.width * self.height;
        let (x, y) = ((cell % self.width) as f32 * STRIDE, (cell / self.width) as f32 * STRIDE);
        let edge = |side: usize| self.edges[side * cells + cell];
        Peak {
            class,
            score: 1.0 / (1.0 + (-logit).exp()),
            corners: [x - edge(0), y - edge(1), x + edge(2), y + edge(3)],
        }
    }
}

fn merge(found: Vec<Detection>) -> Vec<Detection> {
    suppress(
        found,
        |detection| detection.score,
        |stronger, weaker| {
            let iou = stronger.bbox.iou(&weaker.bbox);
            iou > if stronger.label == weaker.label { SAME_CLASS_IOU } else { SAME_PLACE_IOU }
        },
    )
}

impl Network for CenterNet {
    type Input = Prepared;
    type Output = Vec<Detection>;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Prepared]) -> Result<Vec<Vec<Detection>>, Error> {
        let tensors: Vec<&Tensor> = batch.iter().map(|input| &input.tensor).collect();
        let outputs = self.session.run_batch(&tensors, "pixel_values", &["heat", "box"])?;
        let [heat, edges] = &outputs[..] else { return Ok(Vec::new()) };
        let &[_, 4, height, width] = &edges.shape[..] else {
            return Err(self.session.unexpected(format!("boxes of the shape {:?}", edges.shape)));
        };
        let decode = |(i, input): (usize, &Prepared)| {
            self.decode(&Heads { heat: heat.row(i), edges: edges.row(i), width, height }, input)
        };
        Ok(batch.iter().enumerate().map(decode).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoundingBox;

    #[test]
    fn peaks_are_the_strongest_of_their_neighborhood() {
        // Two classes on 4 x 3 cells; all boxes reach 1, 2, 3 and 4 pixels far.
        let low = -5.0;
        let mut heat = vec![low; 24];
        heat[0] = 1.0; // a corner
        heat[1] = 0.5; // its weaker neighbor
        heat[12 + 11] = 0.0; // the opposite corner, of the other class
        heat[12 + 5] = -2.0; // too weak
        let edges: Vec<f32> = [1.0, 2.0, 3.0, 4.0].iter().flat_map(|&edge| [edge; 12]).collect();
        let heads = Heads { heat: &heat, edges: &edges, width: 4, height: 3 };
        let peaks = heads.peaks(0.3);
        assert_eq!(peaks.iter().map(|peak| peak.class).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(peaks[0].corners, [-1.0, -2.0, 3.0, 4.0]);
        assert_eq!(peaks[1].corners, [12.0 - 1.0, 8.0 - 2.0, 12.0 + 3.0, 8.0 + 4.0]);
        assert!((peaks[0].score - 0.731_058_6).abs() < 1e-6 && (peaks[1].score - 0.5).abs() < 1e-6);
        assert_eq!(Heads { heat: &[], edges: &[], width: 0, height: 0 }.peaks(0.3).len(), 0);
    }

    fn detection(label: &str, score: f32, x1: f32) -> Detection {
        Detection { label: label.into(), score, bbox: BoundingBox { x1, y1: 0.0, x2: x1 + 100.0, y2: 100.0 } }
    }

    fn labels(found: Vec<Detection>) -> Vec<String> {
        merge(found).iter().map(|d| d.label.to_string()).collect()
    }

    #[test]
    fn a_cat_is_not_a_dog_as_well() {
        assert_eq!(labels(vec![detection("dog", 0.33, 2.0), detection("cat", 0.44, 0.0)]), ["cat"]);
        assert_eq!(labels(vec![detection("dog", 0.33, 40.0), detection("cat", 0.44, 0.0)]), ["cat", "dog"]);
        assert_eq!(labels(vec![detection("person", 0.33, 2.0), detection("dog", 0.44, 0.0)]), ["dog"]);
    }

    #[test]
    fn one_thing_is_reported_once() {
        assert_eq!(labels(vec![detection("car", 0.5, 0.0), detection("car", 0.6, 20.0)]), ["car"]);
        assert_eq!(labels(vec![detection("car", 0.5, 0.0), detection("car", 0.6, 80.0)]), ["car", "car"]);
    }
}
