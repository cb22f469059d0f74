//! Decodes PNG, WebP, GIF and BMP, with the `image` crate.

use std::error::Error;
use std::io::Cursor;

use docent_models::Picture;
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::color::{self, Samples};
use super::memory::Peak;
use super::{DecodeError, DecodeLimits, Decoded, Format, Need, orientation};

/// Decodes the first picture of a file.
pub(super) fn decode(bytes: &[u8], format: Format, limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let kind = match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Tiff => ImageFormat::Tiff,
        Format::Png => ImageFormat::Png,
        Format::WebP => ImageFormat::WebP,
        Format::Gif => ImageFormat::Gif,
        Format::Bmp => ImageFormat::Bmp,
    };
    check_whole(bytes, format)?;
    let failed = |error: ImageError| failure(format, &error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
    let mut decoder_limits = Limits::default();
    decoder_limits.max_alloc = Some(limits.max_memory_bytes);
    reader.limits(decoder_limits.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    let (samples, deep) = match color {
        ColorType::L8 => (Samples::Gray, false),
        ColorType::L16 => (Samples::Gray, true),
        ColorType::La8 => (Samples::GrayAlpha, false),
        ColorType::La16 => (Samples::GrayAlpha, true),
        ColorType::Rgb8 => (Samples::Rgb, false),
        ColorType::Rgb16 => (Samples::Rgb, true),
        ColorType::Rgba8 => (Samples::Rgba, false),
        ColorType::Rgba16 => (Samples::Rgba, true),
        other => {
            return Err(DecodeError::Feature { format, reason: format!("samples of the kind {other:?}") });
        }
    };
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let profile = decoder.icc_profile().ok().flatten();
    let exif =
        decoder.exif_metadata().ok().flatten().or_else(|| late_exif(bytes, format).map(<[u8]>::to_vec));
    let orientation = exif.map_or(1, |exif| orientation::of_exif(&exif));

    let own = match format {
        Format::WebP => held_by_webp(bytes, color.has_alpha(), pixels),
        // A frame smaller than the canvas is decoded on its own.
        Format::Gif => pixels.saturating_mul(4),
        _ => 0,
    };
    let decoding = pixels.saturating_mul(color.bytes_per_pixel().into()).saturating_add(own);
    let peak = Peak::of(decoding).or(pixels.saturating_mul(samples.converted()));
    let (width64, height64) = (u64::from(width), u64::from(height));
    let peak = peak.finished((width64, height64), limits.working_side, orientation);
    Need { width: width64, height: height64, bytes: peak }.check(format, limits)?;
    decoder_limits.max_alloc = Some(limits.max_memory_bytes.saturating_sub(decoder.total_bytes()));
    decoder.set_limits(decoder_limits).map_err(failed)?;

    let mut buffer = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
    decoder.read_image(&mut buffer).map_err(failed)?;
    let buffer = if deep { color::narrow(buffer) } else { buffer };
    let rgb = color::to_srgb(buffer, samples, profile.as_deref());
    let picture = Picture::new(width, height, rgb)
        .map_err(|error| DecodeError::Corrupt { format, reason: error.to_string() })?;
    Ok(Decoded { picture, full: (width, height), orientation })
}

/// What the decoder of WebP holds beside its result: planes, which are half as many bytes again as pixels, four bytes for each
/// pixel without losses, as much for the opacity of a picture with losses, canvas and frame of an animation.
fn held_by_webp(bytes: &[u8], has_alpha: bool, pixels: u64) -> u64 {
    const ANIMATION: u8 = 0x02;
    let halves = match (bytes.get(12..16), bytes.get(20)) {
        (Some(b"VP8 "), _) => 4,
        (Some(b"VP8L"), _) => {
            if has_alpha {
                0
            } else {
                8
            }
        }
        (_, Some(flags)) if flags & ANIMATION != 0 => 21,
        _ => {
            if has_alpha {
                13
            } else {
                8
            }
        }
    };
    // The compressed picture is read as a whole.
    pixels.saturating_mul(halves).div_ceil(2).saturating_add(bytes.len() as u64)
}

/// Refuses files that are shorter than their header says, before memory is allocated for a large picture.
fn check_whole(bytes: &[u8], format: Format) -> Result<(), DecodeError> {
    let u32_at = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)) };
    let expected = match format {
        // RIFF: the size of what follows the first eight bytes.
        Format::WebP => u32_at(4).map(|size| u64::from(size) + 8),
        // Offset of the pixels, and rows of whole words, where nothing is compressed.
        Format::Bmp => (|| {
            let (offset, header) = (u32_at(10)?, u32_at(14)?);
            if header < 40 || !matches!(u32_at(30)?, 0 | 3) {
                return None;
            }
            let (width, height) = (u32_at(18)? as i32, u32_at(22)? as i32);
            let bits = u64::from(u32_at(28)? & 0xffff);
            let row = u64::from(width.unsigned_abs()).checked_mul(bits)?.div_ceil(32) * 4;
            row.checked_mul(height.unsigned_abs().into())?.checked_add(offset.into())
        })(),
        _ => None,
    };
    match expected {
        Some(expected) if expected > bytes.len() as u64 => Err(DecodeError::Truncated {
            format,
            reason: format!("the file has {} bytes of the {expected} that it announces", bytes.len()),
        }),
        _ => Ok(()),
    }
}

/// The EXIF chunk of a PNG that comes after the pixels, where the decoder no longer looks.
fn late_exif(bytes: &[u8], format: Format) -> Option<&[u8]> {
    let mut rest = if format == Format::Png { bytes.get(8..)? } else { return None };
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let end = length.checked_add(8)?;
        if rest.get(4..8)? == b"eXIf" {
            return rest.get(8..end);
        }
        rest = rest.get(end.checked_add(4)?..)?;
    }
}

/// An error of a decoder and all its causes, sorted by what they mean for the file.
pub(super) fn failure(format: Format, error: &(dyn Error + 'static)) -> DecodeError {
    let mut reason = error.to_string();
    let (mut ended, mut feature, mut limit) = (false, false, false);
    let mut cause = Some(error);
    while let Some(error) = cause {
        ended |= error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof);
        feature |= matches!(error.downcast_ref(), Some(ImageError::Unsupported(_)))
            || matches!(error.downcast_ref(), Some(tiff::TiffError::UnsupportedError(_)));
        limit |= matches!(error.downcast_ref(), Some(ImageError::Limits(_)))
            || matches!(error.downcast_ref(), Some(tiff::TiffError::LimitsExceeded));
        if !reason.contains(&error.to_string()) {
            reason = format!("{reason}: {error}");
        }
        cause = error.source();
    }
    let lower = reason.to_lowercase();
    ended |=
        ["unexpected end", "unexpected eof", "end of file", "failed to fill whole buffer", "no more data"]
            .iter()
            .any(|words| lower.contains(words));
    if ended {
        DecodeError::Truncated { format, reason: "the file ends before the picture does".into() }
    } else if limit {
        DecodeError::Feature { format, reason: format!("{reason} (decode.max_memory_bytes)") }
    } else if feature {
        DecodeError::Feature { format, reason }
    } else {
        DecodeError::Corrupt { format, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orientation_of_a_png_is_found_behind_its_pixels() {
        let chunk = |name: &[u8], content: &[u8]| {
            [&(content.len() as u32).to_be_bytes(), name, content, b"crc!"].concat()
        };
        let png = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IDAT", b"..."), chunk(b"eXIf", b"MM")].concat();
        assert_eq!(late_exif(&png, Format::Png), Some(&b"MM"[..]));
        assert_eq!(late_exif(&png[..png.len() - 5], Format::Png), None);
        assert_eq!(late_exif(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT", Format::Png), None);
    }
}
