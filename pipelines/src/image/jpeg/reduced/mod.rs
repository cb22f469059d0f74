//! Baseline JPEG at a half, a quarter or an eighth of its size.
//!
//! What a large photograph costs are its Huffman codes: all of them must be read, whatever the scale. Here one look at a
//! table gives up to two coefficients, and what each of them adds to the few pixels that are left of its block is added at
//! once; nothing is stored, sorted or transformed. The pixels are the means of those that a whole decoding gives, as
//! libjpeg-turbo's are at these scales; where chroma is halved in one direction only, which libjpeg-turbo then interpolates,
//! it is sharper. libjpeg-turbo remains the judge: whatever is unusual here, or not perfectly in order, is left to it.

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
