//! A second, closer look at large pictures: faces under about 2.5 % of the long side vanish on the detector's canvas, but
//! not without a trace.

use super::FaceDetection;
use crate::BoundingBox;
use crate::geometry::suppress;

/// Share of each side that a tile covers; two tiles overlap by a fifth.
const SHARE: f32 = 0.6;
/// Boxes that overlap more than this are one face.
const SAME_FACE_IOU: f32 = 0.35;
/// A box that ends this close, in pixels, to an edge inside the picture may be cut off by it.
const EDGE: f32 = 2.0;

/// Those of the picture's tiles in which one of `hints` lies.
pub fn promising_tiles(width: u32, height: u32, hints: &[[f32; 2]]) -> Vec<BoundingBox> {
    let inside = |tile: &BoundingBox, [x, y]: [f32; 2]| {
        (tile.x1..tile.x2).contains(&x) && (tile.y1..tile.y2).contains(&y)
    };
    let mut tiles = tiles(width, height);
    tiles.retain(|tile| hints.iter().any(|&hint| inside(tile, hint)));
    tiles
}

/// Four overlapping corner tiles with whole-pixel edges.
fn tiles(width: u32, height: u32) -> Vec<BoundingBox> {
    let (w, h) = (width as f32, height as f32);
    let (tw, th) = ((w * SHARE).round().max(1.0), (h * SHARE).round().max(1.0));
    let tile = |x1: f32, y1: f32| BoundingBox { x1, y1, x2: x1 + tw, y2: y1 + th };
    vec![tile(0.0, 0.0), tile(w - tw, 0.0), tile(0.0, h - th), tile(w - tw, h - th)]
}

/// Joins what was found in the whole picture with what was found in each tile (in pixels of the tile).
/// A face that touches an edge of its tile inside the picture is left to the neighboring tile.
pub fn merge_tiles(
    whole: Vec<FaceDetection>,
    tiles: Vec<(BoundingBox, Vec<FaceDetection>)>,
    width: u32,
    height: u32,
) -> Vec<FaceDetection> {
    let (width, height) = (width as f32, height as f32);
    let mut found = whole;
    for (tile, faces) in tiles {
        for FaceDetection { bbox: b, score } in faces {
            let cut = (tile.x1 > 0.0 && b.x1 < EDGE)
                || (tile.y1 > 0.0 && b.y1 < EDGE)
                || (tile.x2 < width && b.x2 > tile.width() - EDGE)
                || (tile.y2 < height && b.y2 > tile.height() - EDGE);
            if !cut {
                let bbox = BoundingBox {
                    x1: b.x1 + tile.x1,
                    y1: b.y1 + tile.y1,
                    x2: b.x2 + tile.x1,
                    y2: b.y2 + tile.y1,
                };
                found.push(FaceDetection { bbox: bbox.clamp(width, height), score });
            }
        }
    }
    merge_overlapping(found)
}

pub(super) fn merge_overlapping(found: Vec<FaceDetection>) -> Vec<FaceDetection> {
    suppress(found, |face| face.score, |stronger, weaker| stronger.bbox.iou(&weaker.bbox) > SAME_FACE_IOU)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, score: f32) -> FaceDetection {
        FaceDetection { bbox: BoundingBox { x1: x, y1: y, x2: x + 20.0, y2: y + 20.0 }, score }
    }

    #[test]
    fn tiles_cover_the_picture() {
        let tiles = tiles(1000, 500);
        assert_eq!(tiles[3], BoundingBox { x1: 400.0, y1: 200.0, x2: 1000.0, y2: 500.0 });
        for tile in tiles {
            assert_eq!((tile.width(), tile.height()), (600.0, 300.0));
        }
    }

    #[test]
    fn only_tiles_with_a_hint_promise_anything() {
        assert_eq!(promising_tiles(1000, 500, &[]), []);
        assert_eq!(promising_tiles(1000, 500, &[[50.0, 60.0], [20.0, 90.0]]), [tiles(1000, 500)[0]]);
        assert_eq!(promising_tiles(1000, 500, &[[500.0, 60.0]]), tiles(1000, 500)[..2]);
        assert_eq!(promising_tiles(1000, 500, &[[500.0, 250.0]]), tiles(1000, 500));
    }

    #[test]
    fn a_face_seen_twice_is_one_and_a_cut_one_is_none() {
        let all = tiles(1000, 500);
        let second = all[1];
        // At 450 in the picture: seen whole in the first tile; in the second it would start at its inner edge.
        let merged = merge_tiles(
            vec![face(450.0, 100.0, 0.7)],
            vec![
                (all[0], vec![face(450.0, 100.0, 0.9), face(579.0, 50.0, 0.8)]),
                (second, vec![face(1.0, 50.0, 0.8)]),
            ],
            1000,
            500,
        );
        assert_eq!(merged, [face(450.0, 100.0, 0.9)]);
    }
}
