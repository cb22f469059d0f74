//! Estimates the peak memory of a decoding before it starts.
//!
//! Buffers exist in pairs, one pair after another: the decoder's own memory and its result, samples and sRGB pixels, the picture
//! and its reduction, the reduction and its turned copy. The peak is the largest of these moments, not their sum.
//! `pipelines/tests/memory.rs` compares it with the memory that files of all kinds take.

/// Memory of decoders that does not grow with the picture, in bytes: windows, tables, rows.
const BESIDE: u64 = 2 << 20;

/// Bytes at the moments of a decoding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak(u64);

impl Peak {
    /// The decoder holds `bytes`, its result included.
    pub(super) fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// At another moment this much is held.
    pub(super) fn or(self, bytes: u64) -> Self {
        Self(self.0.max(bytes))
    }

    /// After the pixels are sRGB, `width` times `height` of them, they are reduced to the working size and turned upright.
    pub(super) fn finished(self, (width, height): (u64, u64), working: u32, orientation: u8) -> u64 {
        let rgb = |width: u64, height: u64| width.saturating_mul(height).saturating_mul(3);
        let whole = rgb(width, height);
        let mut peak = self.or(whole);
        let (mut last, long) = (whole, width.max(height));
        if long > 2 * u64::from(working) {
            let scaled = |side: u64| u64::try_from(u128::from(side) * u128::from(working) / u128::from(long));
            let (across, down) = (scaled(width).unwrap_or(width) + 1, scaled(height).unwrap_or(height) + 1);
            last = rgb(across, down);
            // First all rows are made narrower, then they become fewer.
            peak = peak.or(whole.saturating_add(rgb(across, height)).saturating_add(last));
        }
        if orientation > 1 {
            peak = peak.or(last.saturating_mul(2));
        }
        peak.0.saturating_add(BESIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_largest_moment_and_not_the_sum() {
        let small = |orientation| Peak::of(500).or(300).finished((10, 10), 2000, orientation) - BESIDE;
        assert_eq!((small(1), small(6)), (500, 600));
        let reduced = Peak::of(0).finished((8000, 10), 2000, 1) - BESIDE;
        assert_eq!(reduced, 3 * (80_000 + 2001 * 10 + 2001 * 3));
        assert_eq!(Peak::of(1).finished((u64::MAX, u64::MAX), 2000, 8), u64::MAX);
    }
}
