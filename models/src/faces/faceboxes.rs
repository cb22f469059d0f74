//! FaceBoxes without its anchors: `pixel_values` `[N,3,H,W]` to `heads_32` `[N,105,H/32,W/32]`, `heads_64`
//! `[N,5,H/64,W/64]` and `heads_128` `[N,5,H/128,W/128]`; H and W are multiples of 128, and the longer one is the canvas's side. Of each cell's k anchors first k logits, then for each anchor
//! ty, tx, th, tw. Only the anchors of likely faces are made into boxes.

use super::tiles::merge_overlapping;
use super::{FaceDetection, FaceLook};
use crate::manifest::ModelEntry;
use crate::session::{Output, Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Prepared, Tensor};

/// Measured: finds 93 % of the faces at 4 false ones in 79 photographs (0.5: 97 %, 5).
const MIN_SCORE: f32 = 0.60;
/// From here on something small may be a face. Measured on 200 mosaics of 4 to 36 photographs each: of 617 faces that
/// only a closer look finds, 616 lie in a quarter of the picture where something reaches this (0.16: 607), as does 40 %
/// of the quarters of 60 photographs that have none (0.14: 57 %).
const MIN_HINT: f32 = 0.15;
/// Share of the picture's long side from which on a face is not small.
const SMALL: f32 = 0.06;

/// The anchors of one head, in fractions of the canvas from its cells.
struct Level {
    output: &'static str,
    /// Cells lie this many pixels apart …
    stride: f32,
    /// … and have anchors of these sizes, each on a grid of so many by so many places, columns first.
    anchors: &'static [(f32, usize)],
}

/// Small faces have anchors denser than the cells (Zhang et al. 2017, section 3.3).
const LEVELS: [Level; 3] = [
    Level { output: "heads_32", stride: 32.0, anchors: &[(32.0, 4), (64.0, 2), (128.0, 1)] },
    Level { output: "heads_64", stride: 64.0, anchors: &[(256.0, 1)] },
    Level { output: "heads_128", stride: 128.0, anchors: &[(512.0, 1)] },
];
/// What the network's answers were divided by in training.
const CENTER_VARIANCE: f32 = 10.0;
const SIZE_VARIANCE: f32 = 5.0;

/// An anchor: top, left, bottom and right in fractions of the canvas, clipped to it.
type Anchor = [f32; 4];

impl Level {
    /// The anchors of a cell in the order of its channels.
    fn anchors(&self, column: usize, row: usize, side: f32) -> impl Iterator<Item = Anchor> {
        let (x, y) = ((column as f32 + 0.5) * self.stride, (row as f32 + 0.5) * self.stride);
        self.anchors.iter().flat_map(move |&(size, places)| {
            (0..places * places).map(move |place| {
                let offset = |index: usize| ((index as f32 + 0.5) / places as f32 - 0.5) * size;
                let (x, y) = (x + offset(place / places), y + offset(place % places));
                let clip = |value: f32| (value / side).clamp(0.0, 1.0);
                let half = size / 2.0;
                [clip(y - half), clip(x - half), clip(y + half), clip(x + half)]
            })
        })
    }

    fn count(&self) -> usize {
        self.anchors.iter().map(|(_, places)| places * places).sum()
    }

    /// Score and box (left, top, right, bottom in fractions of the canvas) of every anchor whose score is at least
    /// `min_score`, cell by cell.
    fn faces(&self, head: &Plane<'_>, side: f32, min_score: f32) -> Vec<(f32, [f32; 4])> {
        let (cells, count) = (head.width * head.height, self.count());
        if head.values.len() != 5 * count * cells {
            return Vec::new();
        }
        let least = (min_score / (1.0 - min_score)).ln();
        let mut found = Vec::new();
        for cell in 0..cells {
            let value = |channel: usize| head.values[channel * cells + cell];
            if (0..count).all(|anchor| value(anchor) < least) {
                continue;
            }
            for (anchor, place) in self.anchors(cell % head.width, cell / head.width, side).enumerate() {
                if value(anchor) < least {
                    continue;
                }
                let shift = [0, 1, 2, 3].map(|part| value(count + 4 * anchor + part));
                found.push((1.0 / (1.0 + (-value(anchor)).exp()), decode(place, shift)));
            }
        }
        found
    }
}

/// The box that an anchor and what the network says of it make.
fn decode([top, left, bottom, right]: Anchor, [ty, tx, th, tw]: [f32; 4]) -> [f32; 4] {
    let axis = |low: f32, high: f32, shift: f32, stretch: f32| {
        let size = high - low;
        let center = shift / CENTER_VARIANCE * size + (low + high) / 2.0;
        let half = (stretch / SIZE_VARIANCE).exp() * size / 2.0;
        [(center - half).clamp(0.0, 1.0), (center + half).clamp(0.0, 1.0)]
    };
    let ([x1, x2], [y1, y2]) = (axis(left, right, tx, tw), axis(top, bottom, ty, th));
    [x1, y1, x2, y2]
}

/// A head of one picture.
struct Plane<'a> {
    values: &'a [f32],
    width: usize,
    height: usize,
}

/// Score and box of every anchor of one picture, of at least `min_score`.
pub(crate) fn faces(heads: &[Output], item: usize, side: f32, min_score: f32) -> Vec<(f32, [f32; 4])> {
    let of_level = |(level, head): (&Level, &Output)| match head.shape[..] {
        [_, _, height, width] => {
            level.faces(&Plane { values: head.row(item), width, height }, side, min_score)
        }
        _ => Vec::new(),
    };
    LEVELS.iter().zip(heads).flat_map(of_level).collect()
}

/// The graph's outputs.
pub(crate) const OUTPUTS: [&str; 3] = [LEVELS[0].output, LEVELS[1].output, LEVELS[2].output];

pub(super) struct FaceBoxes {
    session: Session,
}

impl FaceBoxes {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)? })
    }
}

impl Network for FaceBoxes {
    type Input = Prepared;
    type Output = FaceLook;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    fn run(&mut self, batch: &[Prepared]) -> Result<Vec<FaceLook>, Error> {
        // Pictures of one shape go together.
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&item| &batch[item].tensor.shape);
        let mut looks: Vec<(usize, FaceLook)> = Vec::with_capacity(batch.len());
        for alike in order.chunk_by(|&a, &b| batch[a].tensor.shape == batch[b].tensor.shape) {
            let tensors: Vec<&Tensor> = alike.iter().map(|&item| &batch[item].tensor).collect();
            let heads = self.session.run_batch(&tensors, "pixel_values", &OUTPUTS)?;
            looks
                .extend(alike.iter().enumerate().map(|(row, &item)| (item, look(&heads, row, &batch[item]))));
        }
        looks.sort_by_key(|(item, _)| *item);
        Ok(looks.into_iter().map(|(_, look)| look).collect())
    }
}

/// What is seen in the picture that is a row of the network's answer.
fn look(heads: &[Output], row: usize, input: &Prepared) -> FaceLook {
    let side = input.tensor.shape.iter().skip(1).max().copied().unwrap_or(0) as f32;
    let long = input.picture.0.max(input.picture.1) as f32;
    let (mut found, mut hints) = (Vec::new(), Vec::new());
    for (score, corners) in faces(heads, row, side, MIN_HINT) {
        let bbox = input.box_to_picture(corners.map(|corner| corner * side));
        if bbox.area() <= 0.0 {
            continue;
        }
        if bbox.width().max(bbox.height()) < SMALL * long {
            hints.push([(bbox.x1 + bbox.x2) / 2.0, (bbox.y1 + bbox.y2) / 2.0]);
        }
        if score >= MIN_SCORE {
            found.push(FaceDetection { bbox, score: score.min(1.0) });
        }
    }
    FaceLook { faces: merge_overlapping(found), hints }
}
