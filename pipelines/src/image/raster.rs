//! Decodes PNG, WebP, GIF and BMP, with the `image` crate.

use std::borrow::Cow;
use std::error::Error;
use std::io::Cursor;

use docent_models::Picture;
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::color::{self, Samples};
use super::light::Light;
use super::memory::Peak;
use super::{DecodeError, DecodeLimits, Decoded, Format, Need, Tolerated, bmp, gif, png, webp};

/// What a file says about its picture, and what a decoder gets.
pub(super) struct Container<'a> {
    /// The file, or a mended copy.
    pub(super) bytes: Cow<'a, [u8]>,
    /// EXIF orientation, 1..=8.
    pub(super) orientation: u8,
    pub(super) light: Option<Light>,
    pub(super) tolerated: Vec<Tolerated>,
    /// Blue comes first, and colors are multiplied with their opacity.
    pub(super) apple: bool,
}

impl<'a> Container<'a> {
    /// A file that says nothing.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.into(), orientation: 1, light: None, tolerated: Vec::new(), apple: false }
    }
}

/// Decodes the first picture of a file.
pub(super) fn decode(bytes: &[u8], format: Format, limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let (kind, container) = match format {
        Format::Png => (ImageFormat::Png, png::read(bytes)),
        Format::WebP => (ImageFormat::WebP, webp::read(bytes)?),
        Format::Gif => (ImageFormat::Gif, gif::read(bytes)),
        _ => (ImageFormat::Bmp, bmp::read(bytes)?),
    };
    let Container { bytes, orientation, light, mut tolerated, apple } = container;
    let failed = |error: ImageError| failure(format, &error);
    let mut reader = ImageReader::with_format(Cursor::new(&*bytes), kind);
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
    let own = match format {
        Format::WebP => held_by_webp(&bytes, color.has_alpha(), pixels),
        // A frame smaller than the canvas is decoded on its own.
        Format::Gif => pixels.saturating_mul(4),
        _ => 0,
    };
    let copied = if matches!(bytes, Cow::Owned(_)) { bytes.len() as u64 } else { 0 };
    let decoding = pixels.saturating_mul(color.bytes_per_pixel().into()).saturating_add(own);
    let peak = Peak::of(decoding).or(pixels.saturating_mul(samples.converted()));
    let (width64, height64) = (u64::from(width), u64::from(height));
    let peak = peak
        .finished((width64, height64), limits.long_side(width64, height64), orientation)
        .saturating_add(copied);
    Need { width: width64, height: height64, bytes: peak }.check(format, limits)?;
    decoder_limits.max_alloc = Some(limits.max_memory_bytes.saturating_sub(decoder.total_bytes()));
    decoder.set_limits(decoder_limits).map_err(failed)?;

    let mut buffer = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
    decoder.read_image(&mut buffer).map_err(failed)?;
    let mut buffer = if deep { color::narrow(buffer) } else { buffer };
    let (quads, _) = buffer.as_chunks_mut::<4>();
    if apple && samples == Samples::Rgba {
        quads.iter_mut().for_each(|[blue, _, red, _]| std::mem::swap(blue, red));
        color::divide(&mut buffer, 4);
    } else if apple && samples == Samples::Rgb {
        buffer.as_chunks_mut::<3>().0.iter_mut().for_each(|[blue, _, red]| std::mem::swap(blue, red));
    } else if format == Format::Bmp && samples == Samples::Rgba && quads.iter().all(|pixel| pixel[3] == 0) {
        // Programs that know no opacity leave zeros there.
        quads.iter_mut().for_each(|pixel| pixel[3] = 255);
        tolerated.push(Tolerated::NothingOpaque);
    }
    let rgb = color::to_srgb(buffer, samples, light.as_ref());
    let picture = Picture::new(width, height, rgb)
        .map_err(|error| DecodeError::Corrupt { format, reason: error.to_string() })?;
    Ok(Decoded { picture, full: (width, height), orientation, tolerated })
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

/// An error of a decoder and all its causes, sorted by what they mean for the file.
fn failure(format: Format, error: &(dyn Error + 'static)) -> DecodeError {
    let mut reason = error.to_string();
    let (mut ended, mut feature, mut limit) = (false, false, false);
    let mut cause = Some(error);
    while let Some(error) = cause {
        ended |= error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof);
        feature |= matches!(error.downcast_ref(), Some(ImageError::Unsupported(_)));
        limit |= matches!(error.downcast_ref(), Some(ImageError::Limits(_)));
        if !reason.contains(&error.to_string()) {
            reason = format!("{reason}: {error}");
        }
        cause = error.source();
    }
    let lower = reason.to_lowercase();
    ended |= [
        "unexpected end",
        "unexpected eof",
        "end of file",
        "failed to fill whole buffer",
        "no more data",
        "insufficientinput",
    ]
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
