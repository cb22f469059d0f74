//! Light text on dark paper, turned around.
//!
//! Tesseract expects ink darker than paper. It tries a line that it is not sure of a second time the other way round, which
//! costs as much again, and it looks for lines before that: on windows with a dark background it loses a quarter of the
//! words. On what a program drew or a scanner saw, paper is flat, and its level is that of most pixels around. There dark
//! paper is made light before anything is read. In photographs a dark place is a shadow as well as a sign; they are left.

use super::super::look::{FLAT, flatness};

/// The look is taken at this long side.
const SIDE: usize = 1200;
/// The paper's level is looked for at about half of that; this part of the long side is "around".
const AROUND: f32 = 45.0 / 600.0;
/// Paper below this level is dark.
const DARK: u8 = 112;
/// Turns dark paper into light paper if the picture is flat; whether it is.
pub(super) fn lighten(gray: &mut [u8], width: usize, height: usize) -> bool {
    let step = width.max(height).div_ceil(SIDE).max(1);
    let look = reduce(gray, width, step);
    if flatness(&look, width / step) < FLAT {
        return false;
    }
    let half = reduce(&look, width / step, 2);
    let (columns, rows, step) = (width / step / 2, height / step / 2, step * 2);
    if columns == 0 || rows == 0 {
        return true;
    }
    let dark = mostly_dark(&half, columns, rows);
    for (y, line) in gray.chunks_exact_mut(width).enumerate() {
        let row = (y / step).min(rows - 1) * columns;
        for (x, piece) in line.chunks_mut(step).enumerate() {
            if dark[row + x.min(columns - 1)] {
                piece.iter_mut().for_each(|value| *value = 255 - *value);
            }
        }
    }
    true
}

/// Means of squares of `step` pixels; what is left over at the right and the bottom is left out.
fn reduce(gray: &[u8], width: usize, step: usize) -> Vec<u8> {
    if step == 1 {
        return gray.to_vec();
    }
    let columns = width / step;
    let mut sums = vec![0_u32; columns];
    let mut reduced = Vec::with_capacity(gray.len() / (step * step));
    for band in gray.chunks_exact((width * step).max(1)) {
        sums.fill(0);
        for line in band.chunks_exact(width) {
            for (sum, piece) in sums.iter_mut().zip(line.chunks_exact(step)) {
                *sum += piece.iter().map(|&value| u32::from(value)).sum::<u32>();
            }
        }
        reduced.extend(sums.iter().map(|sum| (sum / (step * step) as u32) as u8));
    }
    reduced
}

/// For each pixel, whether most of those around it are dark: whether their median is.
fn mostly_dark(gray: &[u8], width: usize, height: usize) -> Vec<bool> {
    let reach = ((width.max(height) as f32 * AROUND / 2.0) as usize).max(1);
    // Dark pixels above and to the left of each corner.
    let mut sums = vec![0_u32; (width + 1) * (height + 1)];
    for (y, line) in gray.chunks_exact(width).enumerate() {
        let mut along = 0;
        for (x, &value) in line.iter().enumerate() {
            along += u32::from(value < DARK);
            sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + along;
        }
    }
    let mut dark = Vec::with_capacity(width * height);
    for y in 0..height {
        let (top, bottom) = (y.saturating_sub(reach), (y + reach + 1).min(height));
        for x in 0..width {
            let (left, right) = (x.saturating_sub(reach), (x + reach + 1).min(width));
            let corner = |y: usize, x: usize| sums[y * (width + 1) + x];
            let count = corner(bottom, right) + corner(top, left) - corner(top, right) - corner(bottom, left);
            dark.push(count as usize * 2 > (bottom - top) * (right - left));
        }
    }
    dark
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strokes on a page whose right half is dark.
    fn page(width: usize, height: usize) -> Vec<u8> {
        let level = |i: usize| {
            let (x, y) = (i % width, i / width);
            let ink = x % 29 < 3 && y % 40 < 20;
            match (x >= width / 2, ink) {
                (false, false) => 240,
                (false, true) => 20,
                (true, false) => 30,
                (true, true) => 220,
            }
        };
        (0..width * height).map(level).collect()
    }

    #[test]
    fn dark_paper_becomes_light_and_light_paper_stays() {
        for (width, height) in [(1300, 700), (700, 1301), (3001, 1999)] {
            let before = page(width, height);
            let mut gray = before.clone();
            assert!(lighten(&mut gray, width, height));
            let edge = width / 20;
            for (i, (&before, &after)) in before.iter().zip(&gray).enumerate() {
                match i % width {
                    x if x < width / 2 - edge => assert_eq!(after, before, "{x}, {}", i / width),
                    x if x >= width / 2 + edge => assert_eq!(after, 255 - before, "{x}, {}", i / width),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn pictures_that_are_not_flat_are_left() {
        let (width, height) = (640, 480);
        let before: Vec<u8> = (0..width * height).map(|i| (i * 37 % 90) as u8).collect();
        let mut gray = before.clone();
        assert!(!lighten(&mut gray, width, height));
        assert_eq!(gray, before);
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(1, 1), (2, 1), (1, 5000), (5000, 1), (3, 3)] {
            let mut gray = vec![10; width * height];
            lighten(&mut gray, width, height);
            assert_eq!(gray.len(), width * height);
        }
    }
}
