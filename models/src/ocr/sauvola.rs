//! Sauvola's local threshold: a pixel is ink if it is darker than the mean around it, less the more the levels around it
//! differ. J. Sauvola and M. Pietikäinen, "Adaptive document image binarization", Pattern Recognition 33 (2000).
//!
//! Sums over the window slide along rows and columns, so that its size costs nothing. Every rounding is Leptonica's, whose
//! function this stands in for.

/// The standard deviation of half of the pixels black and half white.
const RANGE: f64 = 128.0;
/// As far as a window may reach: the squares of as many white pixels do not add up to more than an `i32` holds.
pub(super) const MOST: usize = 90;

/// Thresholds for each pixel of `gray`, row by row, the window reaching `half` pixels to each side and mirrored at the
/// edges: `mean * (1 - factor * (1 - deviation / 128))`. Each row is given to `row` with its number, its levels and its
/// thresholds; none is, if the window is larger than the picture, or reaches further than [`MOST`].
pub(super) fn thresholds(
    gray: &[u8],
    width: usize,
    half: usize,
    factor: f32,
    row: impl FnMut(usize, &[u8], &[u8]),
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what it needs.
        #[allow(unsafe_code)]
        return unsafe { thresholds_wide(gray, width, half, factor, row) };
    }
    rows(gray, width, half, factor, row);
}

/// [`rows`], compiled for eight levels at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn thresholds_wide(
    gray: &[u8],
    width: usize,
    half: usize,
    factor: f32,
    row: impl FnMut(usize, &[u8], &[u8]),
) {
    rows(gray, width, half, factor, row);
}

#[inline(always)]
fn rows(gray: &[u8], width: usize, half: usize, factor: f32, mut row: impl FnMut(usize, &[u8], &[u8])) {
    let height = gray.len() / width.max(1);
    if half > MOST || width <= 2 * half || height <= 2 * half {
        return;
    }
    let line = |y: usize| &gray[y * width..(y + 1) * width];
    let mirrored = |y: isize| line(mirror(y, height));
    let window = 2 * half + 1;
    // Of each column, over the rows of the window: levels, and their squares.
    let mut columns = vec![[0_i32; 2]; width];
    for y in -(half as isize)..=half as isize {
        for (column, &level) in columns.iter_mut().zip(mirrored(y)) {
            column[0] += i32::from(level);
            column[1] += i32::from(level) * i32::from(level);
        }
    }
    let mut sums = vec![[0_i32; 2]; width];
    let mut thresholds = vec![0_u8; width];
    for y in 0..height {
        along(&columns, &mut sums, half);
        threshold(&sums, &mut thresholds, window, factor);
        row(y, line(y), &thresholds);
        let (out, into) = (y as isize - half as isize, (y + 1 + half) as isize);
        for ((column, &old), &new) in columns.iter_mut().zip(mirrored(out)).zip(mirrored(into)) {
            let (old, new) = (i32::from(old), i32::from(new));
            column[0] = column[0] + new - old;
            column[1] = column[1] + new * new - old * old;
        }
    }
}

/// The pixel that stands for one outside of the picture.
fn mirror(at: isize, length: usize) -> usize {
    match at {
        ..0 => (-1 - at) as usize,
        _ if at as usize >= length => 2 * length - 1 - at as usize,
        _ => at as usize,
    }
}

/// Sums over the columns of the window around each.
#[inline(always)]
fn along(columns: &[[i32; 2]], sums: &mut [[i32; 2]], half: usize) {
    let width = columns.len();
    let add =
        |sum: [i32; 2], new: [i32; 2], old: [i32; 2]| [sum[0] + new[0] - old[0], sum[1] + new[1] - old[1]];
    let mut sum = [0; 2];
    for x in -(half as isize)..=half as isize {
        sum = add(sum, columns[mirror(x, width)], [0; 2]);
    }
    let edge = |x: usize, sum: [i32; 2]| {
        let old = columns[mirror(x as isize - half as isize, width)];
        add(sum, columns[mirror((x + 1 + half) as isize, width)], old)
    };
    let inner = half..width - half - 1;
    for (x, at) in sums[..inner.start].iter_mut().enumerate() {
        *at = sum;
        sum = edge(x, sum);
    }
    for ((at, old), new) in
        sums[inner.clone()].iter_mut().zip(columns).zip(&columns[inner.start + half + 1..])
    {
        *at = sum;
        sum = add(sum, *new, *old);
    }
    for (x, at) in sums.iter_mut().enumerate().skip(inner.end) {
        *at = sum;
        sum = edge(x, sum);
    }
}

#[inline(always)]
fn threshold(sums: &[[i32; 2]], thresholds: &mut [u8], window: usize, factor: f32) {
    let share = 1.0 / (window * window) as f64;
    let factor = f64::from(factor);
    for (&[levels, squares], threshold) in sums.iter().zip(thresholds) {
        let mean = (share as f32 * levels as f32) as i32;
        let square = (share * f64::from(squares) + 0.5) as i32;
        let deviation = ((square - mean * mean).max(0) as f32).sqrt();
        let level = f64::from(mean) * (1.0 - factor * (1.0 - f64::from(deviation) / RANGE));
        *threshold = level as i32 as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_that_of_its_window() {
        for (width, height, half) in [(5, 5, 2), (40, 23, 7), (64, 300, 25), (301, 200, MOST)] {
            let level = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8 / (1 + (i / 97 % 5) as u8);
            let gray: Vec<u8> = (0..width * height).map(level).collect();
            let reach = half as isize;
            let mut seen = 0;
            thresholds(&gray, width, half, 0.34, |y, levels, thresholds| {
                assert_eq!((y, levels), (seen, &gray[y * width..(y + 1) * width]));
                seen += 1;
                if y % 37 != 0 && y + 1 != height {
                    return;
                }
                for x in (0..width).step_by(1 + width / 17).chain([width - 1]) {
                    let around = |at: usize| (-reach..=reach).map(move |by| at as isize + by);
                    let (mut sum, mut squares, mut count) = (0_u64, 0_u64, 0.0);
                    for (y, x) in around(y).flat_map(|y| around(x).map(move |x| (y, x))) {
                        let level = u64::from(gray[mirror(y, height) * width + mirror(x, width)]);
                        (sum, squares, count) = (sum + level, squares + level * level, count + 1.0);
                    }
                    let mean = sum as f64 / count;
                    let deviation = (squares as f64 / count - mean * mean).max(0.0).sqrt();
                    let exact = mean * (1.0 - 0.34 * (1.0 - deviation / RANGE));
                    // The mean is rounded down first.
                    let at = f64::from(thresholds[x]);
                    assert!(at > exact - 5.0 && at < exact + 5.0, "{x}, {y} of {width}: {at}, not {exact}");
                }
            });
            assert_eq!(seen, height);
        }
    }

    #[test]
    fn a_window_larger_than_the_picture_has_none() {
        for (width, half) in [(0, 3), (4, 2), (100, 7), (20, MOST + 1)] {
            thresholds(&[9; 400], width, half, 0.34, |_, _, _| panic!("has a row"));
        }
    }
}
