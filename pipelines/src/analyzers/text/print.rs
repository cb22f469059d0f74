//! Pages of print, which Tesseract reads as well as the networks do, in a third of the time.

use docent_models::Picture;
use docent_models::ocr::TextBox;

/// What tells a page of print from a sign, a screen and a receipt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Print {
    /// Lines of text.
    pub lines: usize,
    /// Share of the lines' length that is level, within [`LEVEL`].
    pub level: f32,
    /// Median height of a line's box in pixels of the picture.
    pub height: f32,
    /// Median length of a line in heights.
    pub length: f32,
    /// Share of the picture's pixels that are as light as paper is.
    pub paper: f32,
}

/// Radians.
const LEVEL: f32 = 0.03;

impl Print {
    /// Looks at the lines found in a picture.
    pub fn of(picture: &Picture, found: &[TextBox]) -> Self {
        let side = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        let (mut heights, mut lengths) = (Vec::new(), Vec::new());
        let (mut level, mut all) = (0.0, 0.0);
        for text in found {
            let [tl, tr, _, bl] = text.corners;
            let (width, height) = (side(tl, tr), side(tl, bl).max(1.0));
            heights.push(height);
            lengths.push(width / height);
            all += width;
            if ((tr[1] - tl[1]) / (tr[0] - tl[0]).max(1.0)).abs() <= LEVEL {
                level += width;
            }
        }
        let step = (picture.rgb().len() / 3 / 40_000).max(1);
        let mut histogram = [0_u32; 256];
        let mut seen = 0;
        for pixel in picture.rgb().chunks_exact(3).step_by(step) {
            histogram[usize::from(pixel[1])] += 1;
            seen += 1;
        }
        let band =
            |level: usize| histogram[level.saturating_sub(12)..=(level + 12).min(255)].iter().sum::<u32>();
        let paper = (150..256).map(band).max().unwrap_or(0) as f32 / seen.max(1) as f32;
        Self {
            lines: found.len(),
            level: level / f32::max(all, 1.0),
            height: median(heights),
            length: median(lengths),
            paper,
        }
    }
}

/// Whether a picture is a page of dense upright print.
pub(super) fn is_dense(picture: &Picture, found: &[TextBox]) -> bool {
    let print = Print::of(picture, found);
    print.lines >= 12
        && print.level >= 0.9
        && print.height >= 16.0
        && print.length >= 8.0
        && print.paper >= 0.6
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
