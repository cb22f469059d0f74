//! Morphological opening of a picture of two levels: what a brick that fits into the ink can reach.
//!
//! A shift by as much as is reached already doubles it, so that a brick 75 pixels long takes seven passes over the picture
//! each way, and not 75. Nothing fits beyond the edges.

/// Opens `bits`, lines of `words` words whose highest bits are the pixels furthest to the left, by a brick that is `across`
/// times `down` pixels large. Bits at and behind `width` are ignored, and gone afterwards.
pub(super) fn open(bits: &mut [u32], words: usize, width: usize, across: usize, down: usize) {
    if words == 0 {
        return;
    }
    for line in bits.chunks_exact_mut(words) {
        for (at, word) in line.iter_mut().enumerate() {
            let left = width.saturating_sub(at * 32).min(32);
            *word &= u32::MAX.checked_shl(32 - left as u32).unwrap_or(0);
        }
        shifts(across, |by| erode(line, by));
    }
    shifts(down, |by| erode_lines(bits, words, by));
    for line in bits.chunks_exact_mut(words) {
        shifts(across, |by| dilate(line, by));
    }
    shifts(down, |by| dilate_lines(bits, words, by));
}

/// Shifts that reach `length` pixels together, each no further than those before it together, and one more.
fn shifts(length: usize, mut shift: impl FnMut(usize)) {
    let mut reached = 1;
    while reached < length {
        let by = reached.min(length - reached);
        shift(by);
        reached += by;
    }
}

/// Keeps a pixel if the one `by` pixels to its right is set.
fn erode(line: &mut [u32], by: usize) {
    let (whole, part) = (by / 32, by % 32);
    for at in 0..line.len() {
        let from = |at: usize| u64::from(line.get(at).copied().unwrap_or(0));
        let both = from(at + whole) << 32 | from(at + whole + 1);
        line[at] &= (both << part >> 32) as u32;
    }
}

/// Sets a pixel if the one `by` pixels to its left is set.
fn dilate(line: &mut [u32], by: usize) {
    let (whole, part) = (by / 32, by % 32);
    for at in (whole..line.len()).rev() {
        let before = if at > whole { line[at - whole - 1] } else { 0 };
        let both = u64::from(before) << 32 | u64::from(line[at - whole]);
        line[at] |= (both >> part) as u32;
    }
}

/// [`erode`], downwards.
fn erode_lines(bits: &mut [u32], words: usize, by: usize) {
    let height = bits.len() / words;
    let kept = height.saturating_sub(by);
    for y in 0..kept {
        let (line, below) = bits.split_at_mut((y + by) * words);
        let line = &mut line[y * words..(y + 1) * words];
        line.iter_mut().zip(below).for_each(|(word, below)| *word &= *below);
    }
    bits[kept * words..].fill(0);
}

/// [`dilate`], downwards.
fn dilate_lines(bits: &mut [u32], words: usize, by: usize) {
    for y in (by..bits.len() / words).rev() {
        let (above, line) = bits.split_at_mut(y * words);
        line[..words].iter_mut().zip(&above[(y - by) * words..]).for_each(|(word, above)| *word |= *above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_brick_reaches_stays() {
        for (width, height, across, down) in
            [(70, 40, 3, 2), (64, 20, 33, 1), (33, 90, 1, 40), (5, 5, 6, 1), (100, 3, 1, 1), (40, 40, 7, 7)]
        {
            let words = (width as usize).div_ceil(32);
            let ink = |x: i32, y: i32| {
                let inside = x >= 0 && y >= 0 && x < width && y < height;
                inside && (x / 11 + y / 9) % 3 != 0 && (x * 7 + y * 13) % 61 != 0
            };
            let mut bits = vec![u32::MAX; words * height as usize];
            for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
                if !ink(x, y) {
                    bits[y as usize * words + x as usize / 32] &= !(1 << (31 - x % 32));
                }
            }
            open(&mut bits, words, width as usize, across as usize, down as usize);
            let fits = |x: i32, y: i32| (y..y + down).all(|y| (x..x + across).all(|x| ink(x, y)));
            for (x, y) in (0..height).flat_map(|y| (0..words as i32 * 32).map(move |x| (x, y))) {
                let reached =
                    x < width && (y - down + 1..=y).any(|y| (x - across + 1..=x).any(|x| fits(x, y)));
                let is = bits[y as usize * words + x as usize / 32] >> (31 - x % 32) & 1 == 1;
                assert_eq!(is, reached, "{x}, {y} of {width} x {height} by {across} x {down}");
            }
        }
    }
}
