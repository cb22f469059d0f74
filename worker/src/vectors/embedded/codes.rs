//! Vectors as codes: one byte for each value, and one scale for each vector. A quarter of the memory, and of the time it
//! takes to read it, which is what a scan consists of.

/// The largest code; -128 is not used.
const MAX_CODE: f32 = 127.0;

/// How many standard deviations of the error count as possible. Beyond six lies one vector in a billion.
const DEVIATIONS: f32 = 6.0;

/// Writes the codes of `values` and answers their scale: `value ≈ code * scale`, no farther off than half of it. The
/// scale of values that are not all finite is NaN, and so will be every score.
pub(super) fn encode(values: &[f32], codes: &mut [i8]) -> f32 {
    let largest = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let scale = if values.iter().all(|value| value.is_finite()) { largest / MAX_CODE } else { f32::NAN };
    let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        // Rounded by hand: on the oldest x86-64, `round` is a function call for each value.
        let scaled = value * inverse;
        *code = (scaled + 0.5_f32.copysign(scaled)).clamp(-MAX_CODE, MAX_CODE) as i8;
    }
    scale
}

/// A query, ready to be compared with codes.
pub(super) struct Query {
    codes: Vec<i16>,
    scale: f32,
    length: f32,
}

impl Query {
    /// Its codes are as fine as a sum of 32 bits allows, which for thousands of dimensions still is so much finer than a
    /// vector's that only the vector's count as an error.
    pub(super) fn new(values: &[f32]) -> Self {
        let most = i32::MAX as f32 / (MAX_CODE * values.len().max(1) as f32);
        let max_code = most.clamp(1.0, f32::from(i16::MAX)).floor();
        let largest = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let inverse = if largest > 0.0 { max_code / largest } else { 0.0 };
        let codes = values.iter().map(|value| (value * inverse).round() as i16).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        Self { codes, scale: largest / max_code, length }
    }

    /// About the dot product with the vector that has these codes.
    pub(super) fn score(&self, codes: &[i8], scale: f32) -> f32 {
        dot(codes, &self.codes) as f32 * self.scale * scale
    }

    /// How far [`score`](Self::score) may be from the dot product. Errors of single values are spread evenly over one
    /// `scale` and do not depend on each other, so that theirs together is that of a normal distribution.
    pub(super) fn error(&self, scale: f32) -> f32 {
        DEVIATIONS * scale * self.length / 12_f32.sqrt()
    }
}

/// Pairs of products side by side: what every vector unit since SSE2 can do, without asking which one is there.
fn dot(codes: &[i8], query: &[i16]) -> i32 {
    const LANES: usize = 16;
    let product = |code: i8, value: i16| i32::from(code) * i32::from(value);
    let (chunks, values) = (codes.chunks_exact(2 * LANES), query.chunks_exact(2 * LANES));
    let rest = chunks.remainder().iter().zip(values.remainder());
    let rest: i32 = rest.map(|(code, value)| product(*code, *value)).sum();
    let mut sums = [0; LANES];
    for (code, value) in chunks.zip(values) {
        for lane in 0..LANES {
            sums[lane] += product(code[lane], value[lane]) + product(code[lane + LANES], value[lane + LANES]);
        }
    }
    sums.iter().sum::<i32>() + rest
}

#[cfg(test)]
mod tests {
    use docent_pipelines::vector::dot;

    use super::*;

    fn wave(length: usize, step: f32) -> Vec<f32> {
        (0..length).map(|i| (i as f32 * step).sin() / (length as f32 / 2.0).sqrt()).collect()
    }

    #[test]
    fn scores_are_as_near_as_they_say() {
        for length in [1, 2, 31, 32, 33, 128, 384, 5000] {
            let query = wave(length, 0.37);
            for step in [0.11, 0.3, 0.36, 0.37, 1.7] {
                let values = wave(length, step);
                let mut codes = vec![0; length];
                let scale = encode(&values, &mut codes);
                let compared = Query::new(&query);
                let (score, wanted) = (compared.score(&codes, scale), dot(&query, &values));
                assert!(
                    (score - wanted).abs() <= compared.error(scale),
                    "{length}, {step}: {score}, {wanted}"
                );
            }
        }
    }

    #[test]
    fn codes_are_the_nearest() {
        let values = [1.27, -1.27, 0.0, 0.004, 0.006, -0.004, -0.006];
        let mut codes = [9; 7];
        let scale = encode(&values, &mut codes);
        assert!((scale - 0.01).abs() < 1e-6);
        assert_eq!(codes, [127, -127, 0, 0, 1, 0, -1]);
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        for length in [1, 384, 516, 517, 100_000] {
            let values = vec![-1.0; length];
            let mut codes = vec![0; length];
            let scale = encode(&values, &mut codes);
            let score = Query::new(&values).score(&codes, scale) / length as f32;
            assert!((score - 1.0).abs() < 1e-3, "{length}: {score}");
        }
    }

    #[test]
    fn what_is_not_a_number_has_no_score() {
        let mut codes = [0; 3];
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let scale = encode(&[0.5, odd, 0.1], &mut codes);
            assert!(Query::new(&[1.0, 0.0, 0.0]).score(&codes, scale).is_nan());
        }
        let scale = encode(&[0.0; 3], &mut codes);
        assert_eq!(Query::new(&[0.0; 3]).score(&codes, scale), 0.0);
    }
}
