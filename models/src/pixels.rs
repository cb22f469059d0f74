//! Pictures, tensors, and the way from one to the other.

use std::fmt;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::Deserialize;

use crate::buffer::Buffer;
use crate::{BoundingBox, Error};

/// An upright 8-bit sRGB picture: interleaved RGB rows without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// One `[C, H, W]` float tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Dimensions without the batch, for instance `[3, 224, 224]`.
    pub shape: Vec<usize>,
    /// `shape` product many values.
    pub data: Buffer,
}

/// A tensor and the way back: `x_picture = (x_model - offset_x) / scale_x`.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What the network sees.
    pub tensor: Tensor,
    /// Model pixels per picture pixel, horizontally and vertically.
    pub scale: (f32, f32),
    /// Where the picture's top left corner lies on the model's canvas, in model pixels.
    pub offset: (f32, f32),
    /// Width and height of the picture the tensor was made from; decoded boxes are clamped to it.
    pub picture: (u32, u32),
}

/// How a picture becomes a network's input; part of the manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Canvas width in pixels.
    pub width: u32,
    /// Canvas height in pixels.
    pub height: u32,
    /// How the picture is fitted into the canvas.
    pub fit: Fit,
    /// Subtracted from each 0..=255 channel value, in the order of `channels`.
    pub mean: [f32; 3],
    /// Divides the difference.
    pub std: [f32; 3],
    /// Channel order of the tensor.
    #[serde(default)]
    pub channels: Channels,
}

/// How a picture is fitted into a network's canvas. Every resize is antialiased.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fit {
    /// The whole picture, aspect ratio ignored (bilinear).
    Squash,
    /// The short side becomes `short_side` (bicubic), then the center is cut out.
    CenterCrop {
        /// Length of the short side after the resize.
        short_side: u32,
    },
    /// Scaled to fit (bilinear) and pasted onto a canvas of `fill`.
    Letterbox {
        /// In the middle of the canvas, or at its top left.
        centered: bool,
        /// Value of the uncovered canvas, 0..=255, before normalization.
        fill: u8,
        /// The canvas ends where the picture does, at the next multiple of so many pixels: for networks of convolutions
        /// alone, which answer there as they would with the rest of the canvas. 0: it is always whole. Not for pictures
        /// in the middle.
        #[serde(default)]
        trim: u32,
    },
}

/// Channel order of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel, 0.2989 R + 0.5870 G + 0.1140 B; `mean[0]` and `std[0]` apply.
    Gray,
}

impl Picture {
    /// Wraps `rgb`, which must hold exactly `width * height * 3` bytes of a picture with at least one pixel.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, Error> {
        if width == 0 || height == 0 || rgb.len() as u64 != u64::from(width) * u64::from(height) * 3 {
            return Err(Error::Input(format!(
                "{} bytes are not a {width} x {height} RGB picture",
                rgb.len()
            )));
        }
        Ok(Self { width, height, rgb })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Interleaved RGB, `width * height * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The whole picture at another size, antialiased (bilinear).
    pub fn resize(&self, width: u32, height: u32) -> Result<Self, Error> {
        let whole = (0.0, 0.0, f64::from(self.width), f64::from(self.height));
        resample(self, whole, width, height, FilterType::Bilinear)
    }

    /// The pixels inside `area`, whose edges are rounded inwards to the picture.
    pub fn crop(&self, area: BoundingBox) -> Result<Self, Error> {
        let clamp = |v: f32, most: u32| (v.round().max(0.0) as u32).min(most);
        let (x1, x2) = (clamp(area.x1, self.width), clamp(area.x2, self.width));
        let (y1, y2) = (clamp(area.y1, self.height), clamp(area.y2, self.height));
        let mut rgb = Vec::with_capacity(x2.saturating_sub(x1) as usize * y2.saturating_sub(y1) as usize * 3);
        for y in y1..y2 {
            let row = y as usize * self.width as usize;
            if x2 > x1 {
                rgb.extend_from_slice(&self.rgb[(row + x1 as usize) * 3..(row + x2 as usize) * 3]);
            }
        }
        Self::new(x2.saturating_sub(x1), y2.saturating_sub(y1), rgb)
    }

    /// A square around the middle of `area`, as wide as its longer side; black where it leaves the picture.
    pub fn square(&self, area: BoundingBox) -> Result<(Self, (f32, f32)), Error> {
        let side = area.width().max(area.height()).round().clamp(1.0, MAX_SQUARE);
        let left = ((area.x1 + area.x2 - side) / 2.0).round();
        let top = ((area.y1 + area.y2 - side) / 2.0).round();
        let side = side as usize;
        let mut rgb = vec![0; side * side * 3];
        for y in 0..side {
            let from_y = top as i64 + y as i64;
            if from_y < 0 || from_y >= i64::from(self.height) {
                continue;
            }
            let first = (left as i64).clamp(0, i64::from(self.width));
            let last = (left as i64 + side as i64).clamp(first, i64::from(self.width));
            let from = (from_y * i64::from(self.width) + first) as usize * 3;
            let to = (y * side + (first - left as i64) as usize) * 3;
            let length = (last - first) as usize * 3;
            if length > 0 {
                rgb[to..to + length].copy_from_slice(&self.rgb[from..from + length]);
            }
        }
        Ok((Self::new(side as u32, side as u32, rgb)?, (left, top)))
    }
}

/// Squares are cut around faces; a larger one than any picture in work is an invalid box.
const MAX_SQUARE: f32 = 16_384.0;

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}

impl InputSpec {
    /// Fits `picture` into the canvas and normalizes it.
    pub fn prepare(&self, picture: &Picture) -> Result<Prepared, Error> {
        let (width, height) = (f64::from(picture.width), f64::from(picture.height));
        let (canvas_w, canvas_h) = (f64::from(self.width), f64::from(self.height));
        let mut canvas = (self.width, self.height);
        let (fitted, scale, offset, fill) = match self.fit {
            Fit::Squash => {
                let fitted = picture.resize(self.width, self.height)?;
                (fitted, (canvas_w / width, canvas_h / height), (0.0, 0.0), 0)
            }
            Fit::CenterCrop { short_side } => {
                // Cutting before the resize gives the same pixels and spares the rest of a panorama.
                let scale = f64::from(short_side) / width.min(height);
                // The cut is laid on whole pixels of the resized picture, as the training's was.
                let (full_w, full_h) = ((width * scale).round().max(1.0), (height * scale).round().max(1.0));
                let (unit_x, unit_y) = (width / full_w, height / full_h);
                let (x, w) = cut(full_w, canvas_w, unit_x);
                let (y, h) = cut(full_h, canvas_h, unit_y);
                let area = (x, y, w, h);
                let fitted = resample(picture, area, self.width, self.height, FilterType::CatmullRom)?;
                (fitted, (canvas_w / w, canvas_h / h), (-x * canvas_w / w, -y * canvas_h / h), 0)
            }
            Fit::Letterbox { centered, fill, trim } => {
                let k = (canvas_w / width).min(canvas_h / height);
                let w = ((width * k).round().max(1.0) as u32).min(self.width);
                let h = ((height * k).round().max(1.0) as u32).min(self.height);
                let fitted = picture.resize(w, h)?;
                if trim > 0 && !centered {
                    let end = |side: u32, canvas: u32| side.div_ceil(trim).saturating_mul(trim).min(canvas);
                    canvas = (end(w, self.width), end(h, self.height));
                }
                let middle =
                    |canvas: u32, side: u32| if centered { f64::from((canvas - side) / 2) } else { 0.0 };
                (fitted, (k, k), (middle(self.width, w), middle(self.height, h)), fill)
            }
        };
        // A letterboxed picture starts at its offset; any other covers the canvas.
        let corner = match self.fit {
            Fit::Letterbox { .. } => (offset.0 as u32, offset.1 as u32),
            _ => (0, 0),
        };
        Ok(Prepared {
            tensor: self.tensor(&fitted, canvas, corner, fill),
            scale: (scale.0 as f32, scale.1 as f32),
            offset: (offset.0 as f32, offset.1 as f32),
            picture: (picture.width, picture.height),
        })
    }

    /// The same, with the whole canvas for every picture, so that all inputs have one shape.
    pub fn untrimmed(mut self) -> Self {
        if let Fit::Letterbox { trim, .. } = &mut self.fit {
            *trim = 0;
        }
        self
    }

    /// `fitted` on a canvas of `fill`, normalized, as `[C, H, W]`.
    fn tensor(&self, fitted: &Picture, canvas: (u32, u32), corner: (u32, u32), fill: u8) -> Tensor {
        let canvas = Canvas::new(canvas, fitted, corner);
        let normalize = |value: f32, channel: usize| (value - self.mean[channel]) / self.std[channel];
        if self.channels == Channels::Gray {
            let mut data = Buffer::stale(canvas.plane());
            canvas.fill(&mut data, normalize(f32::from(fill), 0), |value, p| {
                let gray = 0.2989 * f32::from(p[0]) + 0.5870 * f32::from(p[1]) + 0.1140 * f32::from(p[2]);
                *value = normalize(gray, 0);
            });
            return Tensor { shape: vec![1, canvas.height, canvas.width], data };
        }
        let mut data = Buffer::stale(3 * canvas.plane());
        for (c, plane) in data.chunks_exact_mut(canvas.plane()).enumerate() {
            let table: [f32; 256] = std::array::from_fn(|value| normalize(value as f32, c));
            let from = if self.channels == Channels::Bgr { 2 - c } else { c };
            canvas.fill(plane, table[usize::from(fill)], |value, pixel| {
                *value = table[usize::from(pixel[from])];
            });
        }
        Tensor { shape: vec![3, canvas.height, canvas.width], data }
    }
}

/// Where a fitted picture lies on a model's canvas.
struct Canvas<'a> {
    width: usize,
    height: usize,
    /// The fitted picture's rows …
    rgb: &'a [u8],
    row: usize,
    /// … and the part of the canvas that they cover: left, top, width, height.
    covered: [usize; 4],
}

impl<'a> Canvas<'a> {
    fn new(canvas: (u32, u32), fitted: &'a Picture, corner: (u32, u32)) -> Self {
        let (width, height) = (canvas.0 as usize, canvas.1 as usize);
        let (x, y) = (corner.0 as usize, corner.1 as usize);
        let covered =
            [x, y, (fitted.width as usize).min(width - x), (fitted.height as usize).min(height - y)];
        Self { width, height, rgb: &fitted.rgb, row: fitted.width as usize * 3, covered }
    }

    fn plane(&self) -> usize {
        self.width * self.height
    }

    /// Writes every value of a plane once: those of the picture by `value`, all others as `outside`.
    fn fill(&self, plane: &mut [f32], outside: f32, value: impl Fn(&mut f32, &[u8])) {
        let [x, y, w, h] = self.covered;
        let (above, rest) = plane.split_at_mut(y * self.width);
        let (beside, below) = rest.split_at_mut(h * self.width);
        above.fill(outside);
        below.fill(outside);
        for (target, row) in beside.chunks_exact_mut(self.width).zip(self.rgb.chunks_exact(self.row)) {
            target[..x].fill(outside);
            target[x + w..].fill(outside);
            for (target, pixel) in target[x..x + w].iter_mut().zip(row.chunks_exact(3)) {
                value(target, pixel);
            }
        }
    }
}

impl Prepared {
    /// A point of the model's canvas in pixels of the picture.
    pub fn to_picture(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.offset.0) / self.scale.0, (y - self.offset.1) / self.scale.1)
    }

    /// A box of the model's canvas in pixels of the picture, clamped to it.
    pub fn box_to_picture(&self, corners: [f32; 4]) -> BoundingBox {
        let (x1, y1) = self.to_picture(corners[0], corners[1]);
        let (x2, y2) = self.to_picture(corners[2], corners[3]);
        BoundingBox { x1, y1, x2, y2 }.clamp(self.picture.0 as f32, self.picture.1 as f32)
    }
}

/// Start and length of the middle `canvas` of `full` pixels, in picture pixels of which each takes `unit`.
fn cut(full: f64, canvas: f64, unit: f64) -> (f64, f64) {
    let canvas = canvas.min(full);
    (((full - canvas) / 2.0).floor() * unit, canvas * unit)
}

/// `area` (left, top, width, height) of `picture` at another size. The filter's support grows when it shrinks.
fn resample(
    picture: &Picture,
    area: (f64, f64, f64, f64),
    width: u32,
    height: u32,
    filter: FilterType,
) -> Result<Picture, Error> {
    let failed =
        |error: &dyn fmt::Display| Error::Input(format!("resize {picture:?} to {width} x {height}: {error}"));
    if width == 0 || height == 0 {
        return Err(failed(&"nothing would be left"));
    }
    let whole = (0.0, 0.0, f64::from(picture.width), f64::from(picture.height));
    if area == whole && (width, height) == (picture.width, picture.height) {
        return Ok(picture.clone());
    }
    let step = |picture: &Picture, area: (f64, f64, f64, f64), width: u32| {
        // Typed: the untyped images bring the code for every kind of pixel, which takes minutes to compile.
        let source = TypedImageRef::<U8x3>::from_buffer(picture.width, picture.height, &picture.rgb)
            .map_err(|e| failed(&e))?;
        let mut rgb = vec![0; width as usize * height as usize * 3];
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut rgb).map_err(|e| failed(&e))?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(filter))
            .crop(area.0, area.1, area.2, area.3)
            .use_alpha(false);
        Resizer::new().resize_typed(&source, &mut target, &options).map_err(|e| failed(&e))?;
        Picture::new(width, height, rgb)
    };
    if area == whole {
        return step(picture, area, width);
    }
    // A part of a picture is resized along one axis at a time. Along both, fast_image_resize (6.1) keeps too few columns
    // between its passes for some sizes and reads beyond them: it takes the first and the last window for the outermost
    // ones, and windows lose weights that happen to be zero. The order is its own, and so are the pixels.
    let (x, y, w, h) = area;
    let reach = (REACH * (w / f64::from(width)).max(1.0)).ceil() + 1.0;
    let left = (x - reach).floor().max(0.0);
    let right = (x + w + reach).ceil().min(f64::from(picture.width));
    let columns = step(picture, (left, y, right - left, h), (right - left) as u32)?;
    step(&columns, (x - left, 0.0, w, f64::from(height)), width)
}

/// Source pixels on either side that the widest filter in use looks at, for each target pixel's worth of them.
const REACH: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(fit: Fit) -> InputSpec {
        InputSpec { width: 8, height: 8, fit, mean: [0.0; 3], std: [1.0; 3], channels: Channels::Rgb }
    }

    /// Found by a picture of this size that ended the process: see `resample`.
    #[test]
    fn parts_of_all_sizes_are_resized() {
        let crop = InputSpec { width: 224, height: 224, ..spec(Fit::CenterCrop { short_side: 257 }) };
        for width in (90..700).chain([5000]) {
            for height in [100, 201, 303, 640] {
                let picture = Picture::new(width, height, vec![200; (width * height * 3) as usize]);
                let prepared = crop.prepare(&picture.expect("fits")).expect("is prepared");
                assert!(prepared.tensor.data.iter().all(|v| (*v - 200.0).abs() < 1.5), "{width} x {height}");
            }
        }
    }

    fn gradient(width: u32, height: u32) -> Picture {
        let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 7]).collect();
        Picture::new(width, height, rgb).expect("is a picture")
    }

    #[test]
    fn a_letterbox_is_centered_filled_and_reversible() {
        let prepared = spec(Fit::Letterbox { centered: true, fill: 127, trim: 0 })
            .prepare(&gradient(16, 8))
            .expect("is prepared");
        assert_eq!(prepared.offset, (0.0, 2.0));
        assert_eq!(prepared.tensor.data[0], 127.0);
        assert_eq!(prepared.tensor.data[2 * 64 + 2 * 8], 7.0);
        assert_eq!(prepared.to_picture(8.0, 6.0), (16.0, 8.0));
    }

    #[test]
    fn a_trimmed_canvas_ends_where_the_picture_does() {
        let fit = Fit::Letterbox { centered: false, fill: 9, trim: 3 };
        let shape = |spec: InputSpec, width, height| {
            spec.prepare(&gradient(width, height)).expect("is prepared").tensor.shape
        };
        // Of 8 pixels: a half is 4 of them, which ends at 6; more than the canvas there is not.
        assert_eq!(shape(spec(fit.clone()), 16, 8), [3, 6, 8]);
        assert_eq!(shape(spec(fit.clone()), 8, 16), [3, 8, 6]);
        assert_eq!(shape(spec(fit.clone()), 16, 15), [3, 8, 8]);
        assert_eq!(shape(spec(fit.clone()), 160, 1), [3, 3, 8]);
        assert_eq!(shape(spec(fit.clone()).untrimmed(), 16, 8), [3, 8, 8]);
        let prepared = spec(fit).prepare(&gradient(16, 8)).expect("is prepared");
        let blue = &prepared.tensor.data[2 * 6 * 8..];
        assert_eq!((blue[3 * 8], blue[4 * 8]), (7.0, 9.0));
    }

    #[test]
    fn extreme_shapes_are_prepared_by_every_fit() {
        for (width, height) in [(1, 1), (50_000, 1), (1, 50_000)] {
            let picture =
                Picture::new(width, height, vec![9; (width * height * 3) as usize]).expect("is a picture");
            for fit in [
                Fit::Squash,
                Fit::CenterCrop { short_side: 9 },
                Fit::Letterbox { centered: false, fill: 0, trim: 0 },
            ] {
                let tensor = spec(fit).prepare(&picture).expect("is prepared").tensor;
                assert_eq!(tensor.data.len(), 3 * 64);
                assert_eq!(tensor.data[0], 9.0);
            }
        }
    }

    #[test]
    fn blue_comes_first_where_the_network_wants_it() {
        let bgr = InputSpec { channels: Channels::Bgr, ..spec(Fit::Squash) };
        assert_eq!(bgr.prepare(&gradient(8, 8)).expect("is prepared").tensor.data[0], 7.0);
    }

    #[test]
    fn squares_leave_the_picture_in_black() {
        let area = BoundingBox { x1: -2.0, y1: -2.0, x2: 2.0, y2: 2.0 };
        let (square, corner) = gradient(8, 8).square(area).expect("is cut");
        assert_eq!((square.width(), square.height(), corner), (4, 4, (-2.0, -2.0)));
        assert_eq!(&square.rgb()[..3], &[0, 0, 0]);
        assert_eq!(&square.rgb()[(2 * 4 + 2) * 3..][..3], &[0, 0, 7]);
    }
}
