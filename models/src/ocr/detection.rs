//! Where text is: the detection network of PP-OCR, `x` `[N,3,H,W]` to a probability for each pixel, `[N,1,H,W]`, and boxes made of
//! that. Constants and steps are those of PP-OCR (Apache-2.0), as its models were trained for them.

use super::components::components;
use super::rectangle::{Corners, Rectangle, distance};
use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{Error, InputSpec, ModelRef, Network, Pack, Picture, Prepared};

/// Sides of the network's input are multiples of this.
const MULTIPLE: u32 = 32;
/// Small pictures are enlarged up to so many times.
const MOST_ENLARGED: f32 = 2.0;
/// Pixels above this probability are text.
const TEXT: f32 = 0.3;
/// Most boxes of one picture.
const MAX_BOXES: usize = 1000;
/// Least short side of a box in pixels of the network's input, before and after it is grown.
const LEAST_SIDE: (f32, f32) = (3.0, 5.0);
/// Least mean probability inside of a box: below what is worth reading, as a first look at a small picture needs it.
const LEAST_SCORE: f32 = 0.4;
/// The network finds the core of a line; the line is larger by this, times area over perimeter.
const GROWTH: f32 = 1.6;
/// Least sides of a box in pixels of the picture.
const LEAST_SIDE_IN_PICTURE: f32 = 4.0;

/// Where a line of text is.
#[derive(Debug, Clone, PartialEq)]
pub struct TextBox {
    /// In pixels of the picture, inside it.
    pub corners: Corners,
    /// Mean probability of its pixels, 0.4..=1. From 0.5 on it is worth reading.
    pub score: f32,
    /// Its short side in pixels of the network's input.
    pub height_seen: f32,
}

/// Prepares a picture: its long side becomes `side`, or twice what it is where that is less, and both sides become multiples of
/// 32, each by itself.
pub fn prepare_detection(spec: &InputSpec, picture: &Picture, side: u32) -> Result<Prepared, Error> {
    let (width, height) = (picture.width(), picture.height());
    let ratio = (side as f32 / width.max(height) as f32).min(MOST_ENLARGED);
    let sized = |length: u32| {
        let multiples = ((length as f32 * ratio).floor() / MULTIPLE as f32).round_ties_even();
        (multiples as u32 * MULTIPLE).max(MULTIPLE)
    };
    InputSpec { width: sized(width), height: sized(height), ..spec.clone() }.prepare(picture)
}

pub(super) struct Detector {
    session: Session,
}

impl Detector {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        Ok(Self { session: Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)? })
    }
}

impl Network for Detector {
    type Input = Prepared;
    type Output = Vec<TextBox>;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    /// Pictures of different sizes have no common tensor, and the network gains nothing from batches: one after the other.
    fn run(&mut self, batch: &[Prepared]) -> Result<Vec<Vec<TextBox>>, Error> {
        let mut found = Vec::with_capacity(batch.len());
        for input in batch {
            let outputs = self.session.run_batch(&[&input.tensor], "x", &["fetch_name_0"])?;
            let map = &outputs[0];
            let [_, _, height, width] = map.shape[..] else {
                return Err(self.session.unexpected(format!("{:?} instead of [1, 1, H, W]", map.shape)));
            };
            found.push(boxes(&map.data, width, height, input));
        }
        Ok(found)
    }
}

/// Boxes around what is likely text, in pixels of the picture.
fn boxes(map: &[f32], width: usize, height: usize, input: &Prepared) -> Vec<TextBox> {
    let mask = spread(map, width);
    let parts = components(&mask, width, MAX_BOXES);
    parts
        .into_iter()
        .filter_map(|points| {
            let core = Rectangle::around(points)?;
            if core.short_side() < LEAST_SIDE.0 {
                return None;
            }
            let score = mean_inside(map, width, height, &core.corners());
            if score < LEAST_SCORE {
                return None;
            }
            let growth = core.length * core.breadth * GROWTH / (2.0 * (core.length + core.breadth));
            let grown = core.grown(growth);
            if grown.short_side() < LEAST_SIDE.1 {
                return None;
            }
            let (right, bottom) = (input.picture.0 as f32 - 1.0, input.picture.1 as f32 - 1.0);
            let corners = grown.corners().map(|[x, y]| {
                let (x, y) = input.to_picture(x, y);
                [x.round().clamp(0.0, right), y.round().clamp(0.0, bottom)]
            });
            let [top, left] =
                [distance(corners[0], corners[1]), distance(corners[0], corners[3])].map(f32::floor);
            (top.min(left) >= LEAST_SIDE_IN_PICTURE).then_some(TextBox {
                corners,
                score,
                height_seen: grown.short_side(),
            })
        })
        .collect()
}

/// What is text, spread to the pixels at the right and below.
fn spread(map: &[f32], width: usize) -> Vec<bool> {
    let mut mask: Vec<bool> = map.iter().map(|&probability| probability > TEXT).collect();
    for row in mask.chunks_exact_mut(width.max(1)) {
        for x in (1..row.len()).rev() {
            row[x] |= row[x - 1];
        }
    }
    for at in (width..mask.len()).rev() {
        mask[at] |= mask[at - width];
    }
    mask
}

/// The mean of the map inside of four corners, its edge included.
fn mean_inside(map: &[f32], width: usize, height: usize, corners: &Corners) -> f32 {
    let whole = corners
        .map(|[x, y]| [x.clamp(0.0, width as f32 - 1.0).floor(), y.clamp(0.0, height as f32 - 1.0).floor()]);
    let top = whole.iter().map(|p| p[1]).fold(f32::MAX, f32::min);
    let bottom = whole.iter().map(|p| p[1]).fold(0.0, f32::max);
    let (mut sum, mut count) = (0.0_f64, 0_usize);
    for y in top as usize..=bottom as usize {
        let (mut left, mut right) = (f32::MAX, f32::MIN);
        for (from, to) in whole.iter().zip(whole.iter().cycle().skip(1)) {
            // The part of the edge that this row of pixels touches.
            let (low, high) = (from[1].min(to[1]), from[1].max(to[1]));
            let (above, below) = (y as f32 - 0.5, y as f32 + 0.5);
            if below < low || above > high {
                continue;
            }
            let at = |row: f32| {
                let share =
                    if high > low { (row.clamp(low, high) - from[1]) / (to[1] - from[1]) } else { 0.0 };
                from[0] + (to[0] - from[0]) * share
            };
            let ends = if high > low { [at(above), at(below)] } else { [from[0], to[0]] };
            left = left.min(ends[0].min(ends[1]));
            right = right.max(ends[0].max(ends[1]));
        }
        if left <= right {
            let row = &map[y * width..][..width];
            let inside = &row[left.round() as usize..=(right.round() as usize).min(width - 1)];
            sum += inside.iter().map(|&p| f64::from(p)).sum::<f64>();
            count += inside.len();
        }
    }
    if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn prepared(picture: (u32, u32), scale: f32) -> Prepared {
        let tensor = Tensor { shape: vec![3, 1, 1], data: vec![0.0; 3].into() };
        Prepared { tensor, scale: (scale, scale), offset: (0.0, 0.0), picture }
    }

    #[test]
    fn a_band_of_probability_becomes_a_grown_box_in_the_picture() {
        let (width, height) = (64, 32);
        let mut map = vec![0.0; width * height];
        for y in 10..18 {
            map[y * width + 10..y * width + 50].fill(0.9);
        }
        let found = boxes(&map, width, height, &prepared((128, 64), 0.5));
        let [text] = &found[..] else { panic!("{found:?}") };
        // Spread by one, it is 40 by 8 between the middles of its outer pixels, and 5.33 larger on each side.
        assert_eq!(text.corners, [[9.0, 9.0], [111.0, 9.0], [111.0, 47.0], [9.0, 47.0]]);
        assert!(text.score > 0.7 && (text.height_seen - 18.67).abs() < 0.1, "{text:?}");
        // Weak or thin ones are none.
        let weak: Vec<f32> = map.iter().map(|p| p * 0.4).collect();
        assert_eq!(boxes(&weak, width, height, &prepared((128, 64), 0.5)), []);
        map[12 * width..].fill(0.0);
        assert_eq!(boxes(&map, width, height, &prepared((128, 64), 0.5)), []);
    }

    #[test]
    fn every_shape_is_prepared_in_multiples() {
        let spec = InputSpec {
            width: 1,
            height: 1,
            fit: crate::pixels::Fit::Squash,
            mean: [127.5; 3],
            std: [127.5; 3],
            channels: crate::pixels::Channels::Bgr,
        };
        for ((width, height), expected) in [
            ((384, 191), [3, 384, 768]),
            ((448, 172), [3, 352, 896]),
            ((300, 225), [3, 448, 608]),
            ((980, 620), [3, 608, 960]),
            ((1, 1), [3, 32, 32]),
            ((2000, 3), [3, 32, 960]),
        ] {
            let picture = Picture::new(width, height, vec![9; (width * height * 3) as usize]).expect("fits");
            let prepared = prepare_detection(&spec, &picture, 960).expect("is prepared");
            assert_eq!(prepared.tensor.shape, expected, "{width} x {height}");
        }
    }
}
