//! Weights: how much each coefficient of a block adds to each remaining pixel.

use std::f32::consts::PI;

/// Place, `8 * row + column`, of the coefficients in the order in which they are stored (ITU-T T.81, figure 5).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// For each coefficient in stored order, already times its quantization, the share of each of `N` pixels, row by row.
pub(super) type Weights<const N: usize> = [[f32; N]; 64];

/// The mean, over each of `side` equal parts of a line of eight, of the cosine that `frequency` stands for (T.81, A.3.3).
fn means(frequency: u8, side: usize) -> impl Fn(usize) -> f32 {
    let norm = if frequency == 0 { 0.5f32.sqrt() } else { 1.0 } / 2.0;
    let part = 8 / side;
    move |place| {
        let wave = |x: usize| (PI / 16.0 * (2 * x + 1) as f32 * f32::from(frequency)).cos();
        (place * part..(place + 1) * part).map(wave).sum::<f32>() * norm / part as f32
    }
}

/// Weights for `width` pixels across a block (1, 2, 4 or 8) and `N / width` down it.
pub(super) fn weights<const N: usize>(width: usize, quantization: &[u16; 64]) -> Box<Weights<N>> {
    let mut weights = Box::new([[0.0; N]; 64]);
    for ((weights, place), step) in weights.iter_mut().zip(ZIGZAG).zip(quantization) {
        let (across, down) = (means(place % 8, width), means(place / 8, N / width));
        for (pixel, weight) in weights.iter_mut().enumerate() {
            *weight = across(pixel % width) * down(pixel / width) * f32::from(*step);
        }
    }
    weights
}
