//! A cheap look for anything that resembles text, in front of a reader that costs a hundred times more.
//!
//! Text is a band of pixel rows in which ink alternates with paper: two gray levels, few pixels between them, one of
//! them (the paper) in the majority, many changes along each row, and the same for several rows on end. Foliage and
//! gravel alternate as well, but through all shades.

use super::tesseract::luma;
use crate::Picture;

/// What a cheap look at a picture says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLook {
    /// Reading it may be worth while.
    pub likely: bool,
    /// Cells that look like text and stand side by side.
    pub cells: u32,
    /// Surfaces are of one color, as a program draws them or a scanner sees them.
    pub is_flat: bool,
}

/// The look is taken at this long side: letters of 8 pixels in a picture of 2,000 are still told from noise.
const SIDE: u32 = 1200;
/// A cell is a piece of a row band this wide …
const CELL_WIDTH: usize = 48;
/// … and this high.
const CELL_HEIGHT: usize = 8;
/// Rows of a cell that must look like text.
const CELL_ROWS: usize = 4;
/// Difference between ink and paper.
const MIN_CONTRAST: u8 = 48;
/// Changes between ink and paper along one row of a cell: two letters at least, and no halftone screen.
const CHANGES: std::ops::RangeInclusive<usize> = 4..=22;
/// Share of pixels near the level of ink or of paper.
const MIN_TWO_LEVEL: f32 = 0.62;
/// Share of paper.
const MIN_PAPER: f32 = 0.55;
/// Text goes on along its line: so many cells side by side.
const MIN_RUN: u32 = 3;
/// So many cells in such runs are worth a closer look.
const MIN_CELLS: u32 = 6;

/// Whether a picture may contain text worth reading. Takes a few milliseconds.
pub fn look_for_text(picture: &Picture) -> TextLook {
    let side = picture.width().max(picture.height());
    let reduced = (side > SIDE)
        .then(|| {
            let scale = f64::from(SIDE) / f64::from(side);
            let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
            picture.resize(scaled(picture.width()), scaled(picture.height())).ok()
        })
        .flatten();
    let seen = reduced.as_ref().unwrap_or(picture);
    let gray = luma(seen);
    let width = seen.width() as usize;
    let mut cells = 0;
    for pixels in gray.chunks_exact(width * CELL_HEIGHT) {
        // Cells overlap by half, so that a short word is not cut in two.
        let starts = (0..width.saturating_sub(CELL_WIDTH - 1)).step_by(CELL_WIDTH / 2);
        let texty = |x: usize| {
            let rows = pixels.chunks_exact(width).map(|row| &row[x..x + CELL_WIDTH]);
            rows.filter(|row| looks_like_text(row)).count() >= CELL_ROWS
        };
        let mut run = 0;
        for x in starts.map(Some).chain([None]) {
            if x.is_some_and(texty) {
                run += 1;
                continue;
            }
            if run >= MIN_RUN {
                cells += run;
            }
            run = 0;
        }
    }
    TextLook { likely: cells >= MIN_CELLS, cells, is_flat: flatness(&gray, width) >= FLAT }
}

/// Neighbors whose levels differ by no more are one surface …
const SAME: u8 = 1;
/// … and a picture with such a share of them is flat. Of photographs one in twenty has more than 0.53; of screenshots and
/// scans none had less than 0.47, and one in twenty less than 0.5.
pub(super) const FLAT: f32 = 0.5;

/// The share of neighbors along the rows that are one surface.
pub(super) fn flatness(gray: &[u8], width: usize) -> f32 {
    if width < 2 {
        return 0.0;
    }
    let same = |line: &[u8]| line.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= SAME).count();
    let lines = gray.chunks_exact(width);
    let pairs = lines.len() * (width - 1);
    lines.map(same).sum::<usize>() as f32 / pairs.max(1) as f32
}

fn looks_like_text(row: &[u8]) -> bool {
    let (mut low, mut high) = (u8::MAX, u8::MIN);
    for &value in row {
        low = low.min(value);
        high = high.max(value);
    }
    let contrast = high - low;
    if contrast < MIN_CONTRAST {
        return false;
    }
    let middle = low + contrast / 2;
    let near = contrast / 4;
    let (mut bright, mut two_level, mut changes) = (0_usize, 0_usize, 0_usize);
    let mut before = row[0] > middle;
    for &value in row {
        let is_bright = value > middle;
        bright += usize::from(is_bright);
        two_level += usize::from(value - low <= near || high - value <= near);
        changes += usize::from(is_bright != before);
        before = is_bright;
    }
    let share = |count: usize| count as f32 / row.len() as f32;
    CHANGES.contains(&changes)
        && share(two_level) >= MIN_TWO_LEVEL
        && share(bright).max(1.0 - share(bright)) >= MIN_PAPER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_and_tiny_pictures_have_no_text() {
        for (width, height) in [(1, 1), (40, 40), (640, 480), (3000, 2)] {
            let picture =
                Picture::new(width, height, vec![90; (width * height * 3) as usize]).expect("is a picture");
            assert!(!look_for_text(&picture).likely);
        }
    }

    #[test]
    fn strokes_on_paper_look_like_text_and_smooth_waves_do_not() {
        let draw = |ink: &dyn Fn(u32, u32) -> u8| {
            let rgb = (0..400 * 200).flat_map(|i| [ink(i % 400, i / 400); 3]).collect();
            Picture::new(400, 200, rgb).expect("is a picture")
        };
        let strokes = draw(&|x, y| if y % 24 < 14 && x % 7 < 2 && x % 41 > 6 { 20 } else { 235 });
        assert!(look_for_text(&strokes).likely);
        let waves = draw(&|x, y| (127.0 + 80.0 * (x as f32 / 5.0).sin() * (y as f32 / 7.0).cos()) as u8);
        assert!(!look_for_text(&waves).likely);
    }
}
