//! What a directory says about its picture (TIFF 6.0, and the tags that Adobe and libtiff added).

use super::super::ifd::{Directory, Source};
use super::super::{DecodeError, Format};

const FORMAT: Format = Format::Tiff;

const NEW_SUBFILE_TYPE: u16 = 254;
const SUBFILE_TYPE: u16 = 255;
const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
pub(super) const STRIP_OFFSETS: u16 = 273;
const ORIENTATION: u16 = 274;
const SAMPLES_PER_PIXEL: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
const MAX_SAMPLE_VALUE: u16 = 281;
const PLANAR_CONFIGURATION: u16 = 284;
pub(super) const T4_OPTIONS: u16 = 292;
const PREDICTOR: u16 = 317;
const COLOR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;
const INK_SET: u16 = 332;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
pub(super) const JPEG_TABLES: u16 = 347;
pub(super) const JPEG_FILE: u16 = 513;
pub(super) const JPEG_FILE_LENGTH: u16 = 514;
const YCBCR_COEFFICIENTS: u16 = 529;
const YCBCR_SUBSAMPLING: u16 = 530;
const REFERENCE_BLACK_WHITE: u16 = 532;
const ICC_PROFILE: u16 = 34675;

/// Directories that are looked at for the picture: pyramids and scans have more pages, and none of them comes first.
const DIRECTORIES: usize = 32;
/// Profiles of printers have megabytes; nothing sensible has more.
const PROFILE: usize = 16 << 20;

/// How the strips or tiles are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Modified Huffman without line ends, each row in bytes of its own.
    FaxRows,
    Fax3,
    Fax4,
    Lzw,
    OldJpeg,
    Jpeg,
    Deflate,
    PackBits,
    Jpeg2000,
    Zstandard,
    WebP,
}

/// What the numbers of a sample are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    Unsigned,
    Signed,
    Float,
}

/// What the samples of a pixel are, apart from extra ones.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Colors {
    Gray {
        white_is_zero: bool,
    },
    Rgb,
    /// All reds, then all greens, then all blues.
    Palette(Vec<u16>),
    /// 0 is no ink.
    Cmyk,
    YCbCr(Luma),
    /// CIE L*a*b* in D50; `signed` are a* and b* around 0, otherwise around 128.
    Lab {
        signed: bool,
    },
}

/// How luma and chroma are stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Luma {
    /// Shares of red, green and blue in the luma.
    pub(super) shares: [f32; 3],
    /// Black and white of luma, zero and most of both chromas.
    pub(super) reference: [f32; 6],
    /// Pixels across and down that share their chroma.
    pub(super) subsampling: (usize, usize),
}

/// A sample that says how opaque its pixel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alpha {
    /// Which sample of the pixel.
    pub(super) at: usize,
    /// Whether the colors are already multiplied with it.
    pub(super) associated: bool,
}

/// One picture of a file.
pub(super) struct Page<'a> {
    pub(super) source: Source<'a>,
    pub(super) directory: Directory<'a>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) compression: Compression,
    pub(super) colors: Colors,
    pub(super) alpha: Option<Alpha>,
    /// Samples of a pixel, with extra ones.
    pub(super) stored: usize,
    /// Bits of a sample, 1..=64.
    pub(super) bits: u8,
    pub(super) numbers: Numbers,
    /// The value of white, where it is not the largest of `bits`.
    pub(super) white: Option<u32>,
    /// Each sample in a plane of its own.
    pub(super) planar: bool,
    /// The first pixel of a byte is in its lowest bit.
    pub(super) reversed: bool,
    /// 1 none, 2 differences, 3 differences of the bytes of floating-point numbers.
    pub(super) predictor: u64,
    pub(super) tiled: bool,
    /// Width and height of a strip or tile; of the last strip there may be less.
    pub(super) chunk: (u32, u32),
    /// 1..=8.
    pub(super) orientation: u8,
}

pub(super) fn corrupt(reason: impl Into<String>) -> DecodeError {
    DecodeError::Corrupt { format: FORMAT, reason: reason.into() }
}

pub(super) fn feature(reason: impl Into<String>) -> DecodeError {
    DecodeError::Feature { format: FORMAT, reason: reason.into() }
}

/// The directory of the picture: the first that is neither a reduced copy nor a mask of another.
fn picture(source: Source<'_>) -> Option<Directory<'_>> {
    let first = source.first()?;
    let mut seen = Vec::new();
    let mut next = Some(first);
    while let Some(directory) = next.filter(|directory| !seen.contains(&directory.place())) {
        let reduced = directory.number(NEW_SUBFILE_TYPE).is_some_and(|bits| bits & 0b101 != 0)
            || directory.number(SUBFILE_TYPE) == Some(2);
        if !reduced && directory.has(IMAGE_WIDTH) {
            return Some(directory);
        }
        seen.push(directory.place());
        next = if seen.len() < DIRECTORIES { directory.next() } else { None };
    }
    Some(first)
}

impl<'a> Page<'a> {
    /// Reads the tags of the picture in `bytes`. Reads no pixels, and checks no sizes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated =
            || DecodeError::Truncated { format: FORMAT, reason: "the file ends before its directory".into() };
        let source = Source::new(bytes).ok_or_else(truncated)?;
        let directory = picture(source).ok_or_else(truncated)?;
        let side = |tag, name: &str| {
            let side = directory.number(tag).and_then(|side| u32::try_from(side).ok());
            side.ok_or_else(|| corrupt(format!("the directory does not tell the picture's {name}")))
        };
        let (width, height) = (side(IMAGE_WIDTH, "width")?, side(IMAGE_LENGTH, "height")?);
        let number = |tag, default| directory.number(tag).unwrap_or(default);
        let compression = compression(number(COMPRESSION, 1))?;
        let stored = directory.number(SAMPLES_PER_PIXEL).unwrap_or_else(|| {
            // Some programs leave it to the number of depths.
            directory.numbers(BITS_PER_SAMPLE, 8).len().max(1) as u64
        });
        let stored = usize::try_from(stored).ok().filter(|count| (1..=64).contains(count));
        let stored = stored.ok_or_else(|| corrupt("the number of samples of a pixel is impossible"))?;
        let bits = depth(directory, stored)?;
        let numbers = numbers(directory, bits)?;
        let colors = colors(directory, compression, stored, bits)?;
        let tiled = directory.has(TILE_OFFSETS) || directory.has(TILE_WIDTH);
        let chunk = if tiled {
            (side(TILE_WIDTH, "tile width")?, side(TILE_LENGTH, "tile length")?)
        } else {
            let rows = number(ROWS_PER_STRIP, u64::MAX).min(height.into()) as u32;
            // No rows in a strip means all of them.
            (width, if rows == 0 { height } else { rows })
        };
        if chunk.0 == 0 || (chunk.1 == 0 && height > 0) {
            return Err(corrupt("its tiles have no size"));
        }
        let alpha = alpha(directory, &colors, stored);
        Ok(Self {
            source,
            directory,
            width,
            height,
            compression,
            alpha,
            colors,
            stored,
            bits,
            numbers,
            white: white(directory, bits, numbers),
            planar: stored > 1 && number(PLANAR_CONFIGURATION, 1) == 2,
            reversed: number(FILL_ORDER, 1) == 2,
            predictor: number(PREDICTOR, 1),
            tiled,
            chunk,
            orientation: u8::try_from(number(ORIENTATION, 1))
                .ok()
                .filter(|o| (1..=8).contains(o))
                .unwrap_or(1),
        })
    }

    /// The embedded ICC profile.
    pub(super) fn profile(&self) -> Option<&'a [u8]> {
        self.directory.bytes(ICC_PROFILE).filter(|profile| profile.len() <= PROFILE)
    }

    /// Samples of a pixel that are needed: its colors, and its opacity.
    pub(super) fn kept(&self) -> usize {
        self.colors.count() + usize::from(self.alpha.is_some())
    }
}

impl Colors {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Gray { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr(_) | Self::Lab { .. } => 3,
            Self::Cmyk => 4,
        }
    }
}

fn compression(code: u64) -> Result<Compression, DecodeError> {
    Ok(match code {
        1 => Compression::None,
        2 | 32771 => Compression::FaxRows,
        3 => Compression::Fax3,
        4 => Compression::Fax4,
        5 => Compression::Lzw,
        6 => Compression::OldJpeg,
        7 => Compression::Jpeg,
        8 | 32946 => Compression::Deflate,
        32773 => Compression::PackBits,
        33003 | 33004 | 33005 | 34712 => Compression::Jpeg2000,
        34926 | 50000 => Compression::Zstandard,
        34927 | 50001 => Compression::WebP,
        other => {
            let name = match other {
                9 | 10 | 34661 => "JBIG",
                32766 => "NeXT",
                32809 => "ThunderScan",
                34676 | 34677 => "SGI LogLuv",
                34887 => "LERC",
                34892 => "lossy JPEG of DNG",
                34925 => "LZMA",
                50002 | 52546 => "JPEG XL",
                _ => return Err(feature(format!("compression {other}"))),
            };
            return Err(feature(format!("compression {other} ({name})")));
        }
    })
}

fn depth(directory: Directory<'_>, stored: usize) -> Result<u8, DecodeError> {
    let depths = directory.numbers(BITS_PER_SAMPLE, stored);
    let bits = depths.first().copied().unwrap_or(1);
    if depths.iter().any(|other| *other != bits) {
        return Err(feature(format!("samples of different depths ({depths:?} bits)")));
    }
    u8::try_from(bits)
        .ok()
        .filter(|bits| matches!(bits, 1..=16 | 32 | 64))
        .ok_or_else(|| feature(format!("{bits} bits per sample")))
}

fn numbers(directory: Directory<'_>, bits: u8) -> Result<Numbers, DecodeError> {
    let format = directory.number(SAMPLE_FORMAT).unwrap_or(1);
    match (format, bits) {
        // Programs that do not know say 4.
        (1 | 4, 1..=16 | 32) => Ok(Numbers::Unsigned),
        (2, 8 | 16 | 32) => Ok(Numbers::Signed),
        (3, 16 | 32 | 64) => Ok(Numbers::Float),
        (1 | 4, _) => Err(feature(format!("{bits} bits per sample"))),
        (2, _) => Err(feature(format!("signed samples of {bits} bits"))),
        (3, _) => Err(feature(format!("floating-point samples of {bits} bits"))),
        (5 | 6, _) => Err(feature("complex numbers as samples")),
        (other, _) => Err(feature(format!("samples of the kind {other}"))),
    }
}

/// 10, 12 or 14 bits in 16: only this tag tells how white they are. Other values of it are statistics.
fn white(directory: Directory<'_>, bits: u8, numbers: Numbers) -> Option<u32> {
    let most = directory.number(MAX_SAMPLE_VALUE)?;
    let usual = bits == 16 && numbers == Numbers::Unsigned && matches!(most, 1023 | 4095 | 16383);
    usual.then_some(most as u32)
}

fn colors(
    directory: Directory<'_>,
    compression: Compression,
    stored: usize,
    bits: u8,
) -> Result<Colors, DecodeError> {
    let fax = matches!(compression, Compression::FaxRows | Compression::Fax3 | Compression::Fax4);
    let meaning = directory.number(PHOTOMETRIC).unwrap_or(match stored {
        1 | 2 if fax => 0,
        1 | 2 => 1,
        _ => 2,
    });
    let colors = match meaning {
        0 => Colors::Gray { white_is_zero: true },
        // A mask shows where something is.
        1 | 4 => Colors::Gray { white_is_zero: false },
        2 => Colors::Rgb,
        3 if bits <= 8 => Colors::Palette(palette(directory)),
        3 => return Err(feature(format!("a palette of {bits} bits"))),
        5 if matches!(directory.number(INK_SET), None | Some(0 | 1)) || stored == 4 => Colors::Cmyk,
        5 => return Err(feature("inks other than cyan, magenta, yellow and black")),
        6 => Colors::YCbCr(luma(directory)),
        8 => Colors::Lab { signed: true },
        9 => Colors::Lab { signed: false },
        10 => return Err(feature("colors of the kind ITULab")),
        32844 | 32845 => return Err(feature("colors of the kind LogLuv")),
        32803 | 34892 => return Err(feature("a camera's raw exposure")),
        other => return Err(feature(format!("colors of the kind {other}"))),
    };
    match (colors, stored) {
        // Luma alone is gray.
        (Colors::YCbCr(_) | Colors::Lab { .. } | Colors::Rgb, 1) => Ok(Colors::Gray { white_is_zero: false }),
        (colors, stored) if stored < colors.count() => {
            Err(corrupt(format!("{stored} samples of a pixel are too few for its colors")))
        }
        (colors, _) => Ok(colors),
    }
}

/// The opacity among the extra samples. Programs that do not say what a single extra sample is mean opacity.
fn alpha(directory: Directory<'_>, colors: &Colors, stored: usize) -> Option<Alpha> {
    if !matches!(colors, Colors::Gray { .. } | Colors::Rgb) {
        return None;
    }
    let count = colors.count();
    if !directory.has(EXTRA_SAMPLES) {
        return (stored == count + 1).then_some(Alpha { at: count, associated: false });
    }
    let kinds = directory.numbers(EXTRA_SAMPLES, stored - count);
    let place = kinds.iter().position(|kind| matches!(kind, 1 | 2))?;
    Some(Alpha { at: count + place, associated: kinds[place] == 1 })
}

fn palette(directory: Directory<'_>) -> Vec<u16> {
    directory.numbers(COLOR_MAP, 3 * 256).into_iter().map(|value| value.min(0xffff) as u16).collect()
}

fn luma(directory: Directory<'_>) -> Luma {
    let subsampling = directory.numbers(YCBCR_SUBSAMPLING, 2);
    let subsampling = match subsampling[..] {
        [across @ (1 | 2 | 4), down @ (1 | 2 | 4)] => (across as usize, down as usize),
        _ => (2, 2),
    };
    let shares = directory.fractions(YCBCR_COEFFICIENTS, 3);
    let reference = directory.fractions(REFERENCE_BLACK_WHITE, 6);
    Luma {
        // ITU-R BT.601, the default of TIFF 6.0.
        shares: shares
            .try_into()
            .ok()
            .filter(|[r, g, b]: &[f32; 3]| *g > 0.0 && *r >= 0.0 && *b >= 0.0)
            .unwrap_or([0.299, 0.587, 0.114]),
        reference: reference
            .try_into()
            .ok()
            .filter(|r: &[f32; 6]| r[1] > r[0] && r[3] > r[2] && r[5] > r[4])
            .unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]),
        subsampling,
    }
}
