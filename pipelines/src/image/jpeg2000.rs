//! Decodes JPEG 2000, with the `hayro-jpeg2000` crate.

use docent_models::Picture;
use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};

use super::color::{self, Samples};
use super::light::Light;
use super::memory::Peak;
use super::{DecodeError, DecodeLimits, Decoded, Format, Need, Pixels};

const FORMAT: Format = Format::Jpeg2000;

fn failed(error: hayro_jpeg2000::error::DecodeError) -> DecodeError {
    let reason = error.to_string();
    let lower = reason.to_lowercase();
    if lower.contains("unexpected end") || lower.contains("eof") {
        DecodeError::Truncated { format: FORMAT, reason: "the file ends before the picture does".into() }
    } else if lower.contains("unsupported") {
        DecodeError::Feature { format: FORMAT, reason }
    } else {
        DecodeError::Corrupt { format: FORMAT, reason }
    }
}

fn settings(target: Option<(u32, u32)>) -> DecodeSettings {
    DecodeSettings { resolve_palette_indices: true, strict: true, target_resolution: target }
}

/// Decodes at a half, a quarter and so on, as long as the long side stays at the working size or more.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let whole = Image::new(bytes, &settings(None)).map_err(failed)?;
    let full = (whole.width(), whole.height());
    let (width, height) = (u64::from(full.0), u64::from(full.1));
    let long = width.max(height).max(1);
    let needed = limits.long_side(width, height);
    let working = u64::from(needed);
    let smaller = |side: u64| u32::try_from((side * working).div_ceil(long)).unwrap_or(u32::MAX);
    let target = (long > working).then(|| (smaller(width), smaller(height)));
    let mut scaled = (width, height);
    while target.is_some() && scaled.0.max(scaled.1) / 2 >= working {
        scaled = (scaled.0.div_ceil(2), scaled.1.div_ceil(2));
    }
    let pixels = scaled.0.saturating_mul(scaled.1);
    let samples = u64::from(whole.color_space().num_channels()) + u64::from(whole.has_alpha());
    // Coefficients are numbers of four bytes in the decoder's own memory and in its result.
    let held = pixels.saturating_mul(samples * 9).saturating_add(bytes.len() as u64);
    let need = Need { width, height, bytes: Peak::of(held).finished(scaled, needed, 1) };
    need.check(FORMAT, limits)?;

    let image = Image::new(bytes, &settings(target)).map_err(failed)?;
    let (pixels, profile) = unpack(&image)?;
    let samples = match (pixels.samples, image.has_alpha()) {
        (1, _) => Samples::Gray,
        (2, true) => Samples::GrayAlpha,
        (3, false) => Samples::Rgb,
        (4, true) => Samples::Rgba,
        (4, false) => Samples::Cmyk,
        (count, _) => {
            return Err(DecodeError::Feature { format: FORMAT, reason: format!("{count} color components") });
        }
    };
    let rgb = color::to_srgb(pixels.bytes, samples, profile.map(Light::Icc).as_ref());
    let picture = Picture::new(pixels.width as u32, pixels.height as u32, rgb);
    let picture =
        picture.map_err(|error| DecodeError::Corrupt { format: FORMAT, reason: error.to_string() })?;
    Ok(Decoded { full, ..Decoded::new(picture) })
}

/// Decodes a stream within another file, `most` pixels across and down at most.
pub(super) fn chunk(bytes: &[u8], (across, down): (u32, u32)) -> Result<Pixels, DecodeError> {
    let image = Image::new(bytes, &settings(None)).map_err(failed)?;
    if image.width() > across || image.height() > down {
        let reason = format!(
            "{} x {} pixels where there is room for {across} x {down}",
            image.width(),
            image.height()
        );
        return Err(DecodeError::Corrupt { format: FORMAT, reason });
    }
    unpack(&image).map(|(pixels, _)| pixels)
}

fn unpack(image: &Image<'_>) -> Result<(Pixels, Option<Vec<u8>>), DecodeError> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let samples = decoded.components().len();
    let bytes = decoded.data_u8();
    if bytes.len() != width * height * samples {
        return Err(DecodeError::Corrupt {
            format: FORMAT,
            reason: "its components have different sizes".into(),
        });
    }
    let profile = match image.color_space() {
        ColorSpace::Icc { profile, .. } => Some(profile.clone()),
        _ => None,
    };
    Ok((Pixels { width, height, samples, bytes }, profile))
}
