//! Rows of samples, and their conversion to bytes.

/// Some rows of one component, as floats around their bytes' values.
pub(super) struct Rows {
    pub(super) samples: Vec<f32>,
    pub(super) stride: usize,
}

impl Rows {
    pub(super) fn new(stride: usize, rows: usize) -> Self {
        Self { samples: vec![0.0; stride * rows], stride }
    }

    /// Lays a block of `N` pixels, `width` in a row, with its left upper corner there.
    #[inline(always)]
    pub(super) fn lay<const N: usize>(&mut self, left: usize, top: usize, width: usize, block: &[f32; N]) {
        for (row, pixels) in block.chunks_exact(width).enumerate() {
            let at = (top + row) * self.stride + left;
            self.samples[at..at + width].copy_from_slice(pixels);
        }
    }

    /// The first `width` samples of a row.
    pub(super) fn row(&self, row: usize, width: usize) -> &[f32] {
        &self.samples[row * self.stride..][..width]
    }
}

/// The nearest of 0 to 255.
#[inline(always)]
fn byte(sample: f32) -> u8 {
    // At this height the last bit of a float is worth one.
    const HEIGHT: f32 = 8_388_608.0;
    (within(sample) + HEIGHT).to_bits() as u8
}

#[inline(always)]
fn within(sample: f32) -> f32 {
    sample.clamp(0.0, 255.0)
}

#[inline(always)]
pub(super) fn gray(samples: &[f32], target: &mut [u8]) {
    for (target, sample) in target.iter_mut().zip(samples) {
        *target = byte(*sample);
    }
}

/// YCbCr to interleaved RGB (JFIF 1.02).
#[inline(always)]
pub(super) fn rgb([luma, blue, red]: [&[f32]; 3], target: &mut [u8]) {
    const PORTION: usize = 32;
    let mut bytes = [[0u8; PORTION]; 3];
    let portions = luma.chunks(PORTION).zip(blue.chunks(PORTION)).zip(red.chunks(PORTION));
    for (((luma, blue), red), target) in portions.zip(target.chunks_mut(3 * PORTION)) {
        let [rs, gs, bs] = &mut bytes;
        let samples = luma.iter().zip(blue).zip(red);
        for (((r, g), b), ((y, cb), cr)) in rs.iter_mut().zip(gs).zip(bs).zip(samples) {
            let (y, cb, cr) = (within(*y), within(*cb) - 128.0, within(*cr) - 128.0);
            *r = byte(y + 1.402 * cr);
            *g = byte(y - 0.344_136_3 * cb - 0.714_136_3 * cr);
            *b = byte(y + 1.772 * cb);
        }
        for (pixel, ((r, g), b)) in
            target.chunks_exact_mut(3).zip(bytes[0].iter().zip(&bytes[1]).zip(&bytes[2]))
        {
            pixel.copy_from_slice(&[*r, *g, *b]);
        }
    }
}
