//! Decodes the first page of a TIFF, with the `tiff` crate.

use std::io::Cursor;

use docent_models::Picture;
use tiff::ColorType;
use tiff::decoder::{Decoder, Limits};
use tiff::tags::{SampleFormat, Tag};

use super::color::{self, Samples};
use super::memory::Peak;
use super::{DecodeError, DecodeLimits, Decoded, Format, Need, ifd, raster};

const FORMAT: Format = Format::Tiff;

/// How the samples of a page become those that [`color`] knows.
struct Page {
    samples: Samples,
    /// Stored samples of a pixel, including unused ones.
    stored: usize,
    bits: u8,
    /// Luma and chroma instead of red, green and blue.
    chroma: bool,
}

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    match ifd::palette_as_gray(bytes) {
        Some((gray, palette)) => pixels(&gray, Some(&palette), limits),
        None => pixels(bytes, None, limits),
    }
}

fn failed(error: tiff::TiffError) -> DecodeError {
    raster::failure(FORMAT, &error)
}

fn corrupt(reason: &str) -> DecodeError {
    DecodeError::Corrupt { format: FORMAT, reason: reason.to_owned() }
}

fn pixels(bytes: &[u8], palette: Option<&[u16]>, limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let mut decoder: Decoder<Cursor<&[u8]>> = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let page = page(decoder.colortype().map_err(failed)?)?;
    let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(failed)?.unwrap_or_default();
    if format.iter().any(|format| *format != SampleFormat::Uint.to_u16()) {
        return Err(DecodeError::Feature {
            format: FORMAT,
            reason: "samples that are no plain numbers".into(),
        });
    }
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten().unwrap_or(1);
    let need = need(&mut decoder, &page, palette.map(|_| bytes.len()), (limits, orientation));
    need.check(FORMAT, limits)?;

    let mut allowed = Limits::default();
    allowed.decoding_buffer_size = usize::try_from(limits.max_memory_bytes).unwrap_or(usize::MAX);
    allowed.intermediate_buffer_size = allowed.decoding_buffer_size;
    // Profiles of printers have megabytes.
    allowed.ifd_value_size = 16 << 20;
    decoder = decoder.with_limits(allowed);
    let profile = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let layout = decoder.image_buffer_layout().map_err(failed)?;
    let mut buffer = vec![0; layout.complete_len];
    decoder.read_image_bytes(&mut buffer).map_err(failed)?;

    let buffer = if layout.planes > 1 {
        interleave(&buffer, layout.plane_stride.map_or(0, |stride| stride.get()), page.stored, page.bits)?
    } else {
        buffer
    };
    let row = layout.row_stride.map_or(0, |stride| stride.get());
    let buffer = match page.bits {
        16 => color::narrow(buffer),
        8 => buffer,
        bits => unpack(&buffer, row, width as usize, bits, palette.is_none()),
    };
    let buffer = keep(buffer, page.stored, page.samples.per_pixel());
    let (buffer, samples) = match palette {
        Some(palette) => (look_up(&buffer, palette)?, Samples::Rgb),
        None if page.chroma => (full_range_to_rgb(buffer), page.samples),
        None => (buffer, page.samples),
    };
    if buffer.len() as u64 != pixels * samples.per_pixel() as u64 {
        return Err(corrupt("the samples do not add up to the picture"));
    }
    let rgb = color::to_srgb(buffer, samples, profile.as_deref());
    let picture = Picture::new(width, height, rgb).map_err(|error| corrupt(&error.to_string()))?;
    Ok(Decoded { picture, full: (width, height), orientation })
}

/// What decoding takes. `copied` is the length of a file that had to be copied for its palette.
fn need(
    decoder: &mut Decoder<Cursor<&[u8]>>,
    page: &Page,
    copied: Option<usize>,
    (limits, orientation): (&DecodeLimits, u8),
) -> Need {
    const JPEG: u16 = 7;
    const PLANES: u16 = 2;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (u64::from(width), u64::from(height));
    let pixels = width.saturating_mul(height);
    let bits = page.stored as u64 * u64::from(page.bits);
    let stored = width.saturating_mul(bits).div_ceil(8).saturating_mul(height);
    // Strips and tiles are read into their place, but those that are JPEGs: these are decoded on their own, and progressive
    // ones hold two bytes more for each sample.
    let mut decoding = stored;
    if decoder.find_tag_unsigned::<u16>(Tag::Compression).ok().flatten() == Some(JPEG) {
        let (across, down) = decoder.chunk_dimensions();
        let chunk = u64::from(across).saturating_mul(down.into()).saturating_mul(page.stored as u64);
        decoding = decoding.saturating_add(chunk.saturating_mul(3));
    }
    let mut peak = Peak::of(decoding);
    if decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).ok().flatten() == Some(PLANES) {
        peak = peak.or(stored.saturating_mul(2));
    }
    // As bytes: fewer bits are unpacked beside the packed ones, 16 become eight in place.
    let samples = if page.bits == 16 { stored / 2 } else { pixels.saturating_mul(page.stored as u64) };
    if page.bits < 8 {
        peak = peak.or(stored.saturating_add(samples));
    }
    if copied.is_some() || page.samples != Samples::Rgb {
        peak = peak.or(samples.saturating_add(pixels.saturating_mul(3)));
    }
    let bytes = peak.finished((width, height), limits.working_side, orientation);
    Need { width, height, bytes: bytes.saturating_add(copied.unwrap_or_default() as u64) }
}

fn page(color: ColorType) -> Result<Page, DecodeError> {
    let (samples, stored) = match color {
        ColorType::Gray(_) => (Samples::Gray, 1),
        ColorType::GrayA(_) => (Samples::GrayAlpha, 2),
        // Gray and what belongs to it, which nearly always is its opacity.
        ColorType::Multiband { num_samples: 2, .. } => (Samples::GrayAlpha, 2),
        ColorType::RGB(_) | ColorType::YCbCr(_) => (Samples::Rgb, 3),
        ColorType::RGBA(_) => (Samples::Rgba, 4),
        ColorType::CMYK(_) => (Samples::Cmyk, 4),
        // Inks are not laid over anything.
        ColorType::CMYKA(_) => (Samples::Cmyk, 5),
        other => return Err(unsupported(other)),
    };
    let bits = color.bit_depth();
    match (bits, samples) {
        (8 | 16, _) | (1 | 2 | 4, Samples::Gray) => {
            Ok(Page { samples, stored, bits, chroma: matches!(color, ColorType::YCbCr(_)) })
        }
        _ => Err(unsupported(color)),
    }
}

fn unsupported(color: ColorType) -> DecodeError {
    DecodeError::Feature { format: FORMAT, reason: format!("colors of the kind {color:?}") }
}

/// Plane after plane to pixel after pixel.
fn interleave(planes: &[u8], stride: usize, count: usize, bits: u8) -> Result<Vec<u8>, DecodeError> {
    let bytes = usize::from(bits).div_ceil(8);
    if bits < 8 || stride == 0 || planes.len() < stride * count {
        return Err(corrupt("the planes do not add up to the picture"));
    }
    let mut pixels = Vec::with_capacity(stride * count);
    for at in (0..stride).step_by(bytes) {
        for plane in 0..count {
            let start = plane * stride + at;
            pixels.extend_from_slice(&planes[start..start + bytes]);
        }
    }
    Ok(pixels)
}

/// Samples of fewer than eight bits, in rows of whole bytes, to bytes; stretched to 0..=255 if `gray`.
fn unpack(bytes: &[u8], row: usize, width: usize, bits: u8, gray: bool) -> Vec<u8> {
    let (most, per_byte) = ((1u16 << bits) - 1, usize::from(8 / bits));
    let factor = if gray { (255 / most) as u8 } else { 1 };
    let sample = |row: &[u8], x: usize| {
        let shift = 8 - usize::from(bits) * (x % per_byte + 1);
        ((row[x / per_byte] >> shift) & most as u8) * factor
    };
    let rows = bytes.chunks_exact(row.max(1));
    let mut samples = Vec::with_capacity(rows.len() * width.min(row * per_byte));
    for row in rows {
        samples.extend((0..width.min(row.len() * per_byte)).map(|x| sample(row, x)));
    }
    samples
}

/// The first `kept` of every `stored` samples.
fn keep(mut bytes: Vec<u8>, stored: usize, kept: usize) -> Vec<u8> {
    if kept < stored {
        let pixels = bytes.len() / stored;
        for pixel in 0..pixels {
            bytes.copy_within(pixel * stored..pixel * stored + kept, pixel * kept);
        }
        bytes.truncate(pixels * kept);
    }
    bytes
}

/// Indices to colors. `palette` holds all reds, then all greens, then all blues.
fn look_up(indices: &[u8], palette: &[u16]) -> Result<Vec<u8>, DecodeError> {
    let size = palette.len() / 3;
    // Some programs wrote bytes where there should be 16 bits.
    let shift = if palette.iter().all(|value| *value < 256) { 0 } else { 8 };
    let colors: Vec<[u8; 3]> =
        (0..size).map(|i| [0, 1, 2].map(|plane| (palette[plane * size + i] >> shift) as u8)).collect();
    let mut rgb = Vec::with_capacity(indices.len() * 3);
    for index in indices {
        let color = colors.get(usize::from(*index)).ok_or_else(|| corrupt("a color beyond its palette"))?;
        rgb.extend_from_slice(color);
    }
    Ok(rgb)
}

/// Luma and chroma of ITU-R BT.601 in full range, as JPEG has them, to red, green and blue.
fn full_range_to_rgb(mut bytes: Vec<u8>) -> Vec<u8> {
    for pixel in bytes.chunks_exact_mut(3) {
        let [y, cb, cr] = [f32::from(pixel[0]), f32::from(pixel[1]) - 128.0, f32::from(pixel[2]) - 128.0];
        let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
        pixel.copy_from_slice(&rgb.map(|value| value.round().clamp(0.0, 255.0) as u8));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_bytes_row_by_row() {
        assert_eq!(unpack(&[0b1010_0000, 0b0100_0000], 1, 3, 1, true), [255, 0, 255, 0, 255, 0]);
        assert_eq!(unpack(&[0x1f, 0x20], 2, 3, 4, false), [1, 15, 2]);
        assert_eq!(unpack(&[0b0011_1001], 1, 4, 2, true), [0, 255, 170, 85]);
    }

    #[test]
    fn planes_become_pixels() {
        assert_eq!(interleave(&[1, 2, 3, 4, 5, 6], 2, 3, 8).expect("adds up"), [1, 3, 5, 2, 4, 6]);
        assert_eq!(interleave(&[1, 2, 3, 4], 2, 2, 16).expect("adds up"), [1, 2, 3, 4]);
        assert!(interleave(&[1, 2, 3], 2, 2, 8).is_err());
        assert!(interleave(&[], 0, 3, 8).is_err());
    }

    #[test]
    fn palettes_of_bytes_and_of_words_are_understood() {
        assert_eq!(
            look_up(&[1, 0], &[0, 0xff00, 0, 0x8000, 0, 0]).expect("is in it"),
            [255, 128, 0, 0, 0, 0]
        );
        assert_eq!(look_up(&[1], &[0, 255, 0, 128, 0, 7]).expect("is in it"), [255, 128, 7]);
        assert!(look_up(&[2], &[0; 6]).is_err());
    }

    #[test]
    fn extra_samples_are_left_aside() {
        assert_eq!(keep(vec![1, 2, 3, 4, 9, 5, 6, 7, 8, 9], 5, 4), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
