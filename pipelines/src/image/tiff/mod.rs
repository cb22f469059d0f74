//! Decodes the picture of a TIFF: its full picture, where there are reduced copies of it.
//!
//! The directory, the layout of samples and their meaning are read here, because files in archives use all of it. Crates unpack
//! the strips: `weezl`, `flate2`, `ruzstd`, `hayro-ccitt`, `hayro-jpeg2000`, `image-webp`, and libjpeg-turbo.

mod chunks;
mod codec;
mod meaning;
mod page;
mod samples;

use docent_models::Picture;

use super::color;
use super::light::Light;
use super::memory::Peak;
use super::{DecodeError, DecodeLimits, Decoded, Format, Need};
use page::{Colors, Compression, Numbers, Page, corrupt};

const FORMAT: Format = Format::Tiff;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let page = Page::read(bytes)?;
    if page.compression == Compression::OldJpeg
        && let Some(file) = chunks::old_jpeg(&page)
    {
        let decoded = super::jpeg::decode(file, limits).map_err(|error| error.within(FORMAT))?;
        return Ok(Decoded { orientation: page.orientation, ..decoded });
    }
    need(&page, limits).check(FORMAT, limits)?;
    let samples = samples::read(&page)?;
    let (bytes, kind) = meaning::explain(&page, samples)?;
    let rgb =
        color::to_srgb(bytes, kind, page.profile().map(|profile| Light::Icc(profile.to_vec())).as_ref());
    let picture = Picture::new(page.width, page.height, rgb).map_err(|error| corrupt(error.to_string()))?;
    Ok(Decoded { full: (page.width, page.height), orientation: page.orientation, ..Decoded::new(picture) })
}

/// EXIF's orientation, 1..=8.
pub(super) fn orientation(bytes: &[u8]) -> Result<u8, DecodeError> {
    Ok(Page::read(bytes)?.orientation)
}

/// What decoding takes.
fn need(page: &Page<'_>, limits: &DecodeLimits) -> Need {
    let (width, height) = (u64::from(page.width), u64::from(page.height));
    let pixels = width.saturating_mul(height);
    let kept = page.kept() as u64;
    let result = match page.numbers {
        Numbers::Unsigned => pixels.saturating_mul(kept),
        // They are held as they are until the least and the most of them are known.
        Numbers::Signed | Numbers::Float => pixels.saturating_mul(kept * 5),
    };
    let across = u64::from(page.chunk.0);
    let chunk = across.saturating_mul(page.chunk.1.into());
    let stored = chunk.saturating_mul(page.stored as u64);
    let unpacked = match page.compression {
        Compression::None if !page.reversed => 0,
        // Progressive ones hold two bytes more for each sample.
        Compression::Jpeg | Compression::OldJpeg => stored.saturating_mul(3),
        // Coefficients are numbers of four bytes, and the result is made of a copy.
        Compression::Jpeg2000 => stored.saturating_mul(10),
        Compression::WebP => stored.saturating_mul(4),
        _ => stored.saturating_mul(page.bits.into()).div_ceil(8),
    };
    let mut peak = Peak::of(result.saturating_add(unpacked));
    let srgb =
        matches!(page.colors, Colors::Rgb | Colors::YCbCr(_) | Colors::Lab { .. }) && page.alpha.is_none();
    if !srgb {
        peak = peak.or(pixels.saturating_mul(kept + 3));
    }
    let needed = limits.long_side(width, height);
    Need { width, height, bytes: peak.finished((width, height), needed, page.orientation) }
}
