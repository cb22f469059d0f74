//! Baseline JPEG at a half, a quarter or an eighth of its size.
//!
//! Huffman codes are the main cost of a large photograph: a decoder must read all of them at every scale. This decoder gets up
//! to two coefficients from one look into a table. It adds each coefficient at once to the few pixels that remain of its block,
//! and stores, sorts and transforms nothing. The pixels are the means of a full decoding's pixels, as libjpeg-turbo's are at
//! these scales. Chroma that is halved in one direction only is sharper, because libjpeg-turbo interpolates it. libjpeg-turbo
//! remains the judge: it decodes everything that is unusual or irregular.

mod codes;
mod rows;
mod scan;
mod tables;
mod weights;

use super::markers::{Frame, Stream};
use tables::Tables;

/// A decoded picture: interleaved RGB, or gray, of `width.div_ceil(reduction)` times `height.div_ceil(reduction)` pixels.
pub(super) struct Reduced {
    pub(super) pixels: Vec<u8>,
    pub(super) is_gray: bool,
}

/// Decodes at `1 / reduction` of the size, for 2, 4 and 8. The picture must be gray or YCbCr. `None` is no judgement.
pub(super) fn decode(stream: &Stream<'_>, reduction: usize) -> Option<Reduced> {
    let frame = &stream.frame;
    if !matches!(reduction, 2 | 4 | 8)
        || stream.several_scans
        || !stream.ended
        || frame.process > 1
        || frame.precision != 8
    {
        return None;
    }
    let tables = Tables::read(&stream.head)?;
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
        // SAFETY: this processor has what the function was compiled for.
        #[allow(unsafe_code)]
        return unsafe { decode_wide(reduction, frame, &tables, stream.scans) };
    }
    decode_any(reduction, frame, &tables, stream.scans)
}

/// The same function, compiled for more lanes and for shifts that cost nothing.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn decode_wide(reduction: usize, frame: &Frame, tables: &Tables, data: &[u8]) -> Option<Reduced> {
    decode_any(reduction, frame, tables, data)
}

#[inline(always)]
fn decode_any(reduction: usize, frame: &Frame, tables: &Tables, data: &[u8]) -> Option<Reduced> {
    match (reduction, frame.sampling.as_slice()) {
        (2, [_]) => scan::gray::<16>(frame, tables, data),
        (4, [_]) => scan::gray::<4>(frame, tables, data),
        (8, [_]) => scan::gray::<1>(frame, tables, data),
        (_, [luma, (1, 1), (1, 1)]) => match (reduction, luma) {
            (2, (1, 1)) => scan::color::<16, 16>(frame, tables, data),
            (2, (2, 1) | (1, 2)) => scan::color::<16, 32>(frame, tables, data),
            (2, (2, 2)) => scan::color::<16, 64>(frame, tables, data),
            (4, (1, 1)) => scan::color::<4, 4>(frame, tables, data),
            (4, (2, 1) | (1, 2)) => scan::color::<4, 8>(frame, tables, data),
            (4, (2, 2)) => scan::color::<4, 16>(frame, tables, data),
            (8, (1, 1)) => scan::color::<1, 1>(frame, tables, data),
            (8, (2, 1) | (1, 2)) => scan::color::<1, 2>(frame, tables, data),
            (8, (2, 2)) => scan::color::<1, 4>(frame, tables, data),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
