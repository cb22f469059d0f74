//! A line of text, cut out of its picture and turned level, as the recognition network wants it.

use super::rectangle::{Corners, size};
use crate::{Error, InputSpec, Picture, Tensor};

/// Widths are multiples of this, so that strips meet others of their width.
const MULTIPLE: u32 = 64;
/// Longer lines are squeezed: 85 times as long as high, which no line of print is. Memory grows with the width.
const MAX_WIDTH: u32 = 4096;
/// So much higher than wide it is turned: letters of a line stand beside each other.
const UPRIGHT: f32 = 1.5;
/// Higher lines are cut out at half of their size or less, as they are reduced to 48 rows anyway.
const MAX_HEIGHT: u32 = 192;
/// Of the bicubic kernel (Keys 1981; the value that OpenCV uses).
const SHARPNESS: f32 = -0.75;

/// A prepared line, `[3, 48, W]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Strip {
    pub(super) tensor: Tensor,
    /// Width of the line by its height.
    pub(super) aspect: f32,
}

/// Cuts out what lies between `corners` and prepares it. `spec` has the height of the network's input.
pub fn prepare_strip(spec: &InputSpec, picture: &Picture, corners: &Corners) -> Result<Strip, Error> {
    let line = cut(picture, corners)?;
    let aspect = line.width() as f32 / line.height() as f32;
    let own = ((spec.height as f32 * aspect).ceil().max(1.0) as u32).min(MAX_WIDTH);
    let width = own.next_multiple_of(MULTIPLE);
    let level = line.resize(own, spec.height)?;
    // Beside the line is gray, which is 0.
    let mut data = crate::buffer::Buffer::stale(3 * (spec.height * width) as usize);
    let (own, width) = (own as usize, width as usize);
    for (channel, plane) in data.chunks_exact_mut(spec.height as usize * width).enumerate() {
        // Blue comes first.
        let from = 2 - channel;
        let table: [f32; 256] =
            std::array::from_fn(|value| (value as f32 - spec.mean[channel]) / spec.std[channel]);
        for (row, pixels) in plane.chunks_exact_mut(width).zip(level.rgb().chunks_exact(own * 3)) {
            let (covered, beside) = row.split_at_mut(own);
            for (value, pixel) in covered.iter_mut().zip(pixels.chunks_exact(3)) {
                *value = table[usize::from(pixel[from])];
            }
            beside.fill(0.0);
        }
    }
    let tensor = Tensor { shape: vec![3, spec.height as usize, width], data };
    Ok(Strip { tensor, aspect })
}

/// What lies between four corners, as a level picture.
fn cut(picture: &Picture, corners: &Corners) -> Result<Picture, Error> {
    let (width, height) = size(corners);
    if width == 0 || height == 0 {
        return Err(Error::Input(format!("a line of text of {width} x {height} pixels")));
    }
    // Whole divisors: what is taken is reduced from pixels, not from between them.
    let divisor = height.min(width).div_ceil(MAX_HEIGHT).max(1);
    let (width, height) = ((width / divisor).max(1), (height / divisor).max(1));
    let source;
    let (picture, corners) = if divisor == 1 {
        (picture, *corners)
    } else {
        let part = |length: u32| length.div_ceil(divisor).max(1);
        source = picture.resize(part(picture.width()), part(picture.height()))?;
        let scale = [
            source.width() as f32 / picture.width() as f32,
            source.height() as f32 / picture.height() as f32,
        ];
        (&source, corners.map(|[x, y]| [x * scale[0], y * scale[1]]))
    };
    let map = Perspective::onto(&corners);
    let is_upright = height as f32 >= UPRIGHT * width as f32;
    let (columns, rows) = if is_upright { (height, width) } else { (width, height) };
    let mut rgb = Vec::with_capacity((columns * rows * 3) as usize);
    for row in 0..rows {
        for column in 0..columns {
            // Turned counterclockwise: the first row is the last column.
            let (x, y) = if is_upright { (width - 1 - row, column) } else { (column, row) };
            let [x, y] = map.apply(x as f32 / width as f32, y as f32 / height as f32);
            rgb.extend(bicubic(picture, x, y));
        }
    }
    Picture::new(columns, rows, rgb)
}

/// From the unit square onto four corners (Heckbert 1989, 2.2.3).
struct Perspective {
    x: [f32; 3],
    y: [f32; 3],
    w: [f32; 2],
}

impl Perspective {
    fn onto(corners: &Corners) -> Self {
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = corners.map(|corner| corner.map(f64::from));
        let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
        let (dx1, dx2, dy1, dy2) = (x1 - x2, x3 - x2, y1 - y2, y3 - y2);
        let area = dx1 * dy2 - dx2 * dy1;
        // Corners on one line have no inside; what is cut out then is any part of it.
        let (g, h) = if area == 0.0 {
            (0.0, 0.0)
        } else {
            ((sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area)
        };
        Self {
            x: [x1 - x0 + g * x1, x3 - x0 + h * x3, x0].map(|v| v as f32),
            y: [y1 - y0 + g * y1, y3 - y0 + h * y3, y0].map(|v| v as f32),
            w: [g as f32, h as f32],
        }
    }

    fn apply(&self, u: f32, v: f32) -> [f32; 2] {
        let w = self.w[0] * u + self.w[1] * v + 1.0;
        [(self.x[0] * u + self.x[1] * v + self.x[2]) / w, (self.y[0] * u + self.y[1] * v + self.y[2]) / w]
    }
}

/// The color at a place between pixels; beyond the edges the last pixel goes on.
fn bicubic(picture: &Picture, x: f32, y: f32) -> [u8; 3] {
    let (width, height) = (picture.width() as i32, picture.height() as i32);
    // A place at infinity, of corners that are none, is the picture's corner.
    let [x, y] = [x, y].map(|v| if v.is_finite() { v.clamp(-1e6, 1e6) } else { 0.0 });
    let (left, top) = (x.floor(), y.floor());
    let (across, down) = (weights(x - left), weights(y - top));
    let mut sum = [0.0_f32; 3];
    for (j, wy) in down.iter().enumerate() {
        let row = (top as i32 + j as i32 - 1).clamp(0, height - 1) as usize * width as usize;
        for (i, wx) in across.iter().enumerate() {
            let column = (left as i32 + i as i32 - 1).clamp(0, width - 1) as usize;
            let pixel = &picture.rgb()[(row + column) * 3..][..3];
            for (sum, &value) in sum.iter_mut().zip(pixel) {
                *sum += wx * wy * f32::from(value);
            }
        }
    }
    // `as` clamps to 0..=255.
    sum.map(|value| value.round() as u8)
}

fn weights(t: f32) -> [f32; 4] {
    let a = SHARPNESS;
    let far = |d: f32| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    let near = |d: f32| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pixels::{Channels, Fit};

    fn spec() -> InputSpec {
        let (mean, std) = ([127.5; 3], [127.5; 3]);
        InputSpec { width: 320, height: 48, fit: Fit::Squash, mean, std, channels: Channels::Bgr }
    }

    /// Each pixel tells where it is: red its column, green its row.
    fn places(width: u32, height: u32) -> Picture {
        let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 0]).collect();
        Picture::new(width, height, rgb).expect("is a picture")
    }

    #[test]
    fn level_parts_are_copied_and_upright_ones_turned() {
        let picture = places(100, 80);
        let level = cut(&picture, &[[10.0, 20.0], [40.0, 20.0], [40.0, 30.0], [10.0, 30.0]]).expect("is cut");
        assert_eq!((level.width(), level.height()), (30, 10));
        assert_eq!(&level.rgb()[..6], &[10, 20, 0, 11, 20, 0]);
        let upright =
            cut(&picture, &[[10.0, 20.0], [20.0, 20.0], [20.0, 50.0], [10.0, 50.0]]).expect("is cut");
        assert_eq!((upright.width(), upright.height()), (30, 10));
        // Reading from the top down along the right edge.
        assert_eq!(&upright.rgb()[..6], &[19, 20, 0, 19, 21, 0]);
    }

    #[test]
    fn a_tilted_line_becomes_level() {
        let picture = places(200, 200);
        // 50 along (0.8, 0.6), 10 across.
        let line = cut(&picture, &[[50.0, 50.0], [90.0, 80.0], [84.0, 88.0], [44.0, 58.0]]).expect("is cut");
        assert_eq!((line.width(), line.height()), (50, 10));
        let middle = &line.rgb()[(5 * 50 + 25) * 3..][..2];
        assert!(middle[0].abs_diff(67) <= 1 && middle[1].abs_diff(69) <= 1, "{middle:?}");
    }

    #[test]
    fn widths_are_multiples_and_beside_the_line_is_gray() {
        let picture = places(200, 100);
        let strip = prepare_strip(&spec(), &picture, &[[0.0, 0.0], [100.0, 0.0], [100.0, 48.0], [0.0, 48.0]]);
        let strip = strip.expect("is prepared");
        assert_eq!(strip.tensor.shape, [3, 48, 128]);
        // Red is the last plane.
        assert_eq!(strip.tensor.data[2 * 48 * 128 + 100..][..28], [0.0; 28]);
        assert_eq!(strip.tensor.data[2 * 48 * 128 + 51], (51.0 - 127.5) / 127.5);
    }

    #[test]
    fn the_longest_line_is_bounded() {
        let picture = places(40_000, 4);
        let corners = [[0.0, 0.0], [39_999.0, 0.0], [39_999.0, 3.0], [0.0, 3.0]];
        let strip = prepare_strip(&spec(), &picture, &corners).expect("is prepared");
        assert_eq!(strip.tensor.shape, [3, 48, 4096]);
    }

    proptest! {
        #[test]
        fn no_corners_make_it_panic(corners in prop::array::uniform4(prop::array::uniform2(-5.0_f32..205.0))) {
            let whole = corners.map(|corner| corner.map(f32::round));
            if let Ok(strip) = prepare_strip(&spec(), &places(200, 100), &whole) {
                prop_assert!(strip.tensor.data.iter().all(|v| v.abs() <= 1.0));
            }
        }
    }
}
