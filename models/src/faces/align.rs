//! Turns a face upright, to the size and place the embedder was trained on.

use super::Landmarks;
use crate::geometry::Similarity;
use crate::{BoundingBox, Error, InputSpec, Picture, Tensor};

/// Corners of the eyes and the base of the nose among the 68 points …
const POINTS: [usize; 5] = [45, 42, 36, 39, 33];
/// … and where dlib's 5-point model puts them in a unit square, before its padding of a quarter on each side.
const TEMPLATE: [[f32; 2]; 5] =
    [[0.85957, 0.21350], [0.64606, 0.22897], [0.12058, 0.21373], [0.33409, 0.22906], [0.49011, 0.62780]];
const PADDING: f32 = 0.25;
/// Bilinear sampling sees 2 x 2 pixels: when shrinking by more than this, the picture is reduced first.
const MOST_SHRINKING: f32 = 2.0;

/// The face with these landmarks as an upright chip, prepared for the embedder.
pub fn align(spec: &InputSpec, picture: &Picture, landmarks: &Landmarks) -> Result<Tensor, Error> {
    let side = spec.width as f32;
    let target = TEMPLATE.map(|[x, y]| {
        [(x + PADDING) / (1.0 + 2.0 * PADDING) * side, (y + PADDING) / (1.0 + 2.0 * PADDING) * side]
    });
    let points = POINTS.map(|i| landmarks.0[i]);
    let fit = Similarity::fit(&points, &target)
        .ok_or_else(|| Error::Input("the landmarks of a face coincide".to_owned()))?;
    let chip = if fit.scale() * MOST_SHRINKING < 1.0 {
        let (reduced, mapped) = reduce(picture, &points, fit.scale() * MOST_SHRINKING)?;
        let fit = Similarity::fit(&mapped, &target)
            .ok_or_else(|| Error::Input("the landmarks of a face coincide".to_owned()))?;
        warp(&reduced, &fit, spec.width)?
    } else {
        warp(picture, &fit, spec.width)?
    };
    Ok(spec.prepare(&chip)?.tensor)
}

/// The surroundings of `points` at `scale`, and the points there.
fn reduce(picture: &Picture, points: &[[f32; 2]; 5], scale: f32) -> Result<(Picture, [[f32; 2]; 5]), Error> {
    let min = |axis: usize| points.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min);
    let max = |axis: usize| points.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max);
    // The chip reaches about one and a half point spreads beyond the points, more when turned.
    let margin = 3.0 * (max(0) - min(0)).max(max(1) - min(1));
    let area =
        BoundingBox { x1: min(0) - margin, y1: min(1) - margin, x2: max(0) + margin, y2: max(1) + margin };
    let area = area.clamp(picture.width() as f32, picture.height() as f32);
    let (left, top) = (area.x1.round(), area.y1.round());
    let cut = picture.crop(area)?;
    let shrink = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let reduced = cut.resize(shrink(cut.width()), shrink(cut.height()))?;
    let (sx, sy) =
        (reduced.width() as f32 / cut.width() as f32, reduced.height() as f32 / cut.height() as f32);
    Ok((reduced, points.map(|[x, y]| [(x - left) * sx, (y - top) * sy])))
}

/// Samples `picture` bilinearly so that `fit` maps it onto a square of `side`; black outside.
fn warp(picture: &Picture, fit: &Similarity, side: u32) -> Result<Picture, Error> {
    let back = fit.inverse();
    let (width, height) = (picture.width() as i64, picture.height() as i64);
    let pixel = |x: i64, y: i64, c: usize| -> f32 {
        if x < 0 || y < 0 || x >= width || y >= height {
            return 0.0;
        }
        f32::from(picture.rgb()[(y * width + x) as usize * 3 + c])
    };
    let mut rgb = Vec::with_capacity((side * side * 3) as usize);
    for y in 0..side {
        for x in 0..side {
            let [u, v] = back.apply([x as f32, y as f32]);
            let (u0, v0) = (u.floor(), v.floor());
            let (du, dv) = (u - u0, v - v0);
            let (u0, v0) = (u0 as i64, v0 as i64);
            for c in 0..3 {
                let top = pixel(u0, v0, c) * (1.0 - du) + pixel(u0 + 1, v0, c) * du;
                let bottom = pixel(u0, v0 + 1, c) * (1.0 - du) + pixel(u0 + 1, v0 + 1, c) * du;
                rgb.push((top * (1.0 - dv) + bottom * dv).round() as u8);
            }
        }
    }
    Picture::new(side, side, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::{Channels, Fit};

    #[test]
    fn a_turned_face_gives_the_same_chip() {
        let spec = InputSpec {
            width: 150,
            height: 150,
            fit: Fit::Squash,
            mean: [0.0; 3],
            std: [1.0; 3],
            channels: Channels::Rgb,
        };
        // A smooth pattern, and the same pattern turned by a quarter.
        let value = |x: f32, y: f32| (127.0 + 60.0 * (x / 40.0).sin() + 60.0 * (y / 25.0).cos()) as u8;
        let draw = |at: &dyn Fn(f32, f32) -> u8| {
            let rgb = (0..400 * 400).flat_map(|i| [at((i % 400) as f32, (i / 400) as f32); 3]).collect();
            Picture::new(400, 400, rgb).expect("is a picture")
        };
        let straight = draw(&value);
        let turned = draw(&|x, y| value(y, 399.0 - x));
        let mut points = Landmarks([[0.0; 2]; 68]);
        for (i, [x, y]) in POINTS.iter().zip(TEMPLATE) {
            points.0[*i] = [100.0 + 120.0 * x, 120.0 + 120.0 * y];
        }
        let turned_points = Landmarks(points.0.map(|[x, y]| [399.0 - y, x]));
        let a = align(&spec, &straight, &points).expect("is aligned");
        let b = align(&spec, &turned, &turned_points).expect("is aligned");
        let mean: f32 =
            a.data.iter().zip(b.data.iter()).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.data.len() as f32;
        assert!(mean < 2.0, "the chips differ by {mean} on average");
    }
}
