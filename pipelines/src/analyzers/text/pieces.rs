//! Tall pictures in pieces: as a whole they would be reduced until nothing can be read. Wide pictures stay whole, because lines run
//! along them, and are looked at more closely.

use docent_models::ocr::TextBox;
use docent_models::{BoundingBox, Picture};

/// From this ratio of its sides on a picture is long …
const LONG: f32 = 2.0;
/// … and needs pieces if its long side has more pixels than a look …
const LOOK: f32 = 960.0;
/// … and is looked at in pieces of this ratio …
const PIECE: f32 = 1.5;
/// … that overlap by this share of the short side.
const OVERLAP: f32 = 0.25;
/// At most so many pieces; of a longer picture they are longer.
const MOST: usize = 12;
/// Two boxes that cover each other so much are one line.
const SAME: f32 = 0.5;

/// A part of a tall picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    /// The part.
    pub place: BoundingBox,
    /// From where to where, from the top down, lines are its own.
    own: (f32, f32),
}

/// By how much a look must be closer at a wide picture, so that the area of what is looked at stays the same.
pub(super) fn closer(width: u32, height: u32) -> f32 {
    const MOST: f32 = 2.0;
    (width as f32 / height as f32 / LONG).sqrt().clamp(1.0, MOST)
}

/// The pieces of a picture of this size; one that is the whole picture if it is not tall.
pub(super) fn pieces(width: u32, height: u32) -> Vec<Piece> {
    let (width, height) = (width as f32, height as f32);
    let count = if height < LONG * width || height <= LOOK {
        1
    } else {
        let step = (PIECE - OVERLAP) * width;
        (((height - OVERLAP * width) / step).ceil() as usize).clamp(1, MOST)
    };
    let overlap = if count == 1 { 0.0 } else { OVERLAP * width };
    let length = (height - overlap) / count as f32 + overlap;
    (0..count)
        .map(|at| {
            let start = at as f32 * (length - overlap);
            let end = (start + length).min(height);
            let own = (
                if at == 0 { 0.0 } else { start + overlap / 2.0 },
                if at + 1 == count { f32::MAX } else { end - overlap / 2.0 },
            );
            Piece { place: BoundingBox { x1: 0.0, y1: start, x2: width, y2: end }, own }
        })
        .collect()
}

impl Piece {
    /// The part of the picture.
    pub fn cut(&self, picture: &Picture) -> Result<Picture, docent_models::Error> {
        picture.crop(self.place)
    }

    /// Adds boxes of this piece to those of the whole picture: those whose middle is its own, and no line twice.
    pub fn add(&self, found: Vec<TextBox>, all: &mut Vec<TextBox>) {
        let top = self.place.y1.round();
        for mut text in found {
            text.corners = text.corners.map(|[x, y]| [x, y + top]);
            let around = around(&text);
            let is_own = (self.own.0..self.own.1).contains(&((around.y1 + around.y2) / 2.0));
            if is_own && !all.iter().any(|other| self::around(other).iou(&around) > SAME) {
                all.push(text);
            }
        }
    }
}

fn around(text: &TextBox) -> BoundingBox {
    let across = |axis: usize| text.corners.iter().map(move |corner| corner[axis]);
    let least = |axis| across(axis).fold(f32::MAX, f32::min);
    let most = |axis| across(axis).fold(f32::MIN, f32::max);
    BoundingBox { x1: least(0), y1: least(1), x2: most(0), y2: most(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_wide_and_small_pictures_are_one_piece() {
        for (width, height) in [(1500, 1000), (1000, 1500), (1000, 1999), (9000, 900), (300, 900), (1, 1)] {
            let [piece] = pieces(width, height)[..] else { panic!("more pieces of {width} x {height}") };
            let whole = BoundingBox { x1: 0.0, y1: 0.0, x2: width as f32, y2: height as f32 };
            assert_eq!(piece.place, whole);
        }
        assert_eq!(
            (closer(100, 400), closer(200, 100), closer(800, 100), closer(9000, 10)),
            (1.0, 1.0, 2.0, 2.0)
        );
    }

    #[test]
    fn pieces_cover_a_tall_picture_and_share_no_line() {
        for (width, height) in [(1080, 4500), (1080, 40_000), (10, 5000)] {
            let pieces = pieces(width, height);
            assert!(pieces.len() > 1 && pieces.len() <= MOST);
            let mut all = Vec::new();
            // A line at every height, as each piece sees it.
            let lines = 200;
            for piece in &pieces {
                let (start, end) = (piece.place.y1.round(), piece.place.y2);
                for line in 0..lines {
                    let at = (line as f32 + 0.5) / lines as f32 * height as f32;
                    let (from, to) = (at - 2.0 - start, at + 2.0 - start);
                    if from >= 0.0 && to <= end - start {
                        let corners = [[1.0, from], [8.0, from], [8.0, to], [1.0, to]];
                        piece.add(vec![TextBox { corners, score: 0.9, height_seen: 20.0 }], &mut all);
                    }
                }
            }
            assert_eq!(all.len(), lines, "{width} x {height}");
        }
    }
}
