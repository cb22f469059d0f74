//! Bytes to an upright sRGB picture.
//!
//! Bytes come from anywhere. Every size is checked before memory is allocated. Every failure says what is wrong with the file,
//! in words an archivist can act on.

mod bmp;
mod color;
mod error;
mod format;
mod gif;
mod ifd;
mod jpeg;
mod jpeg2000;
mod light;
mod memory;
mod orientation;
mod png;
mod raster;
mod raw;
mod sniff;
mod tiff;
mod tolerated;
mod webp;

use std::panic;
use std::sync::Arc;

use docent_models::Picture;

pub use error::DecodeError;
pub use format::Format;
pub use sniff::{Content, SNIFF_BYTES, is_candidate, looks_like_picture_name, sniff};
pub use tolerated::Tolerated;

/// Limits for one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most pixels, width times height.
    pub max_pixels: u64,
    /// Most memory for one decoding, in bytes, estimated before it is allocated.
    pub max_memory_bytes: u64,
    /// Long side, in pixels, that the analyzers need: a JPEG is decoded at a half, a quarter or an eighth as long as
    /// it stays at least this large, and anything more than twice as large is reduced to it. Of a picture that is more than twice as
    /// long as wide, half of this is the short side that they need.
    pub working_side: u32,
}

impl DecodeLimits {
    /// The long side, in pixels, that the analyzers need of a picture of this shape: more than the working side of one that is more
    /// than twice as long as wide, so that a long screenshot can be read.
    fn long_side(&self, width: u64, height: u64) -> u32 {
        const LONGER: u64 = 8;
        let (long, short) = (width.max(height).max(1), width.min(height).max(1));
        let working = u64::from(self.working_side.max(1));
        let needed = working.saturating_mul(long) / short.saturating_mul(2);
        u32::try_from(needed.clamp(working, LONGER * working)).unwrap_or(self.working_side)
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 300_000_000, max_memory_bytes: 3 << 29, working_side: 2000 }
    }
}

/// A decoded picture.
#[derive(Debug, Clone)]
pub struct Image {
    picture: Arc<Picture>,
    width: u32,
    height: u32,
    format: Format,
    orientation: u8,
    tolerated: Vec<Tolerated>,
}

/// A decoder's result: the pixels as stored, and what is needed to show them correctly.
struct Decoded {
    /// Not upright, not yet sRGB if there is a profile.
    picture: Picture,
    /// Size in the file, not upright.
    full: (u32, u32),
    /// EXIF orientation, 1..=8.
    orientation: u8,
    tolerated: Vec<Tolerated>,
}

/// Pixels of a part of a picture: eight bits for each sample, pixel after pixel, row after row.
struct Pixels {
    width: usize,
    height: usize,
    /// Of a pixel.
    samples: usize,
    bytes: Vec<u8>,
}

impl Decoded {
    /// A picture that is as its file says.
    fn new(picture: Picture) -> Self {
        let full = (picture.width(), picture.height());
        Self { picture, full, orientation: 1, tolerated: Vec::new() }
    }
}

impl Image {
    /// Decodes `bytes`, whatever their name. GIF and WebP animations give their first frame, TIFF its first full picture.
    pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let format = recognize(bytes)?;
        // The decoders are others' work, and the bytes come from anywhere: a bug there is the end of this file only.
        let decoded = panic::catch_unwind(|| match format {
            Format::Jpeg => jpeg::decode(bytes, limits),
            Format::Tiff => tiff::decode(bytes, limits),
            Format::Jpeg2000 => jpeg2000::decode(bytes, limits),
            other => raster::decode(bytes, other, limits),
        })
        .unwrap_or(Err(DecodeError::Crashed { format }))?;
        let picture = orientation::upright(reduce(decoded.picture, limits), decoded.orientation);
        let (width, height) = match decoded.orientation {
            5..=8 => (decoded.full.1, decoded.full.0),
            _ => decoded.full,
        };
        let (orientation, tolerated) = (decoded.orientation, decoded.tolerated);
        Ok(Self { picture: Arc::new(picture), width, height, format, orientation, tolerated })
    }

    /// What is wrong with the file although its picture is whole.
    pub fn tolerated(&self) -> &[Tolerated] {
        &self.tolerated
    }

    /// The upright working picture; may be smaller than the file's.
    pub fn picture(&self) -> &Arc<Picture> {
        &self.picture
    }

    /// Width in pixels of the whole upright picture.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels of the whole upright picture.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// EXIF orientation of the file, 1 to 8: how its pixels were turned to stand upright.
    pub fn orientation(&self) -> u8 {
        self.orientation
    }

    /// What the file is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// A JPEG no larger than `max_side` in either direction.
    pub fn thumbnail(&self, max_side: u32) -> Result<Vec<u8>, DecodeError> {
        let failed = |error: &dyn std::fmt::Display| DecodeError::Corrupt {
            format: self.format,
            reason: error.to_string(),
        };
        let (width, height) = (self.picture.width(), self.picture.height());
        let scale = (f64::from(max_side.max(1)) / f64::from(width.max(height))).min(1.0);
        let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        let small = self.picture.resize(scaled(width), scaled(height)).map_err(|e| failed(&e))?;
        jpeg::encode(&small).map_err(|e| failed(&e))
    }
}

/// No analyzer looks closer than the working size, and a much larger picture costs more.
fn reduce(picture: Picture, limits: &DecodeLimits) -> Picture {
    let long = picture.width().max(picture.height());
    let needed = limits.long_side(picture.width().into(), picture.height().into());
    if u64::from(long) <= 2 * u64::from(needed) {
        return picture;
    }
    let scale = f64::from(needed) / f64::from(long);
    let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    picture.resize(scaled(picture.width()), scaled(picture.height())).unwrap_or(picture)
}

/// What decoding takes, by a file's own account.
struct Need {
    width: u64,
    height: u64,
    /// Of memory, at its peak.
    bytes: u64,
}

impl Need {
    /// Refuses sizes beyond the limits, and none at all.
    fn check(&self, format: Format, limits: &DecodeLimits) -> Result<(), DecodeError> {
        let Self { width, height, bytes } = *self;
        if width == 0 || height == 0 {
            return Err(DecodeError::ZeroSize { format, width, height });
        }
        if width.saturating_mul(height) > limits.max_pixels {
            return Err(DecodeError::TooManyPixels { width, height, limit: limits.max_pixels });
        }
        if bytes > limits.max_memory_bytes {
            return Err(DecodeError::TooMuchMemory { bytes, width, height, limit: limits.max_memory_bytes });
        }
        Ok(())
    }
}

/// The format of `bytes`, or why there is nothing to decode.
fn recognize(bytes: &[u8]) -> Result<Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    match sniff(bytes) {
        Content::Picture(format) => Ok(format),
        Content::Unsupported("PDF") if bytes.windows(8).any(|window| window == b"/Encrypt") => {
            Err(DecodeError::Encrypted("PDF"))
        }
        Content::Unsupported(name) => Err(DecodeError::Unsupported(name)),
        Content::Encrypted(name) => Err(DecodeError::Encrypted(name)),
        Content::Other(what) => Err(match sniff::beginning(bytes) {
            Some(format) => DecodeError::Truncated {
                format,
                reason: format!("the file ends after its first {} bytes", bytes.len()),
            },
            None => DecodeError::NotAPicture(what),
        }),
    }
}
