//! Recognizes pages of print. Tesseract reads these as well as the networks do, in a third of the time.

use docent_models::Picture;
use docent_models::ocr::{self, TextBox};

/// Least number of lines of a page …
const LINES: usize = 12;
/// … and their least median length, in heights: 24 pages had 11 and more, 20 screens 2 to 9.
const LENGTH: f32 = 10.0;
/// Least share of the lines' total length that is level …
const LEVEL: f32 = 0.65;
/// … and the largest slope of a level line, in radians.
const LEVEL_WITHIN: f32 = 0.03;
/// Least median height of the lines, in pixels of the picture: Tesseract reads lower lines badly.
const HEIGHT: f32 = 16.0;
/// Least share of the picture that is as light as most of its paper. Clean scans have 0.9. Pages in uneven light and blurred or
/// noisy pages have 0.5, and the networks misread less of those.
const PAPER: f32 = 0.6;
/// Least level of paper, 0..=255, and the largest difference of equal levels.
const LIGHT: usize = 150;
const SAME: usize = 12;

/// Whether a picture is a clean page of dense upright print, judged by its lines `found`.
pub(super) fn is_dense(picture: &Picture, found: &[TextBox]) -> bool {
    if found.len() < LINES {
        return false;
    }
    let side = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let (mut heights, mut lengths) = (Vec::new(), Vec::new());
    let (mut level, mut all) = (0.0, 0.0);
    for text in found {
        let [tl, tr, _, bl] = text.corners;
        let (width, height) = (side(tl, tr), side(tl, bl).max(1.0));
        heights.push(height);
        lengths.push(width / height);
        all += width;
        if ((tr[1] - tl[1]) / (tr[0] - tl[0]).max(1.0)).abs() <= LEVEL_WITHIN {
            level += width;
        }
    }
    level >= LEVEL * all && median(heights) >= HEIGHT && median(lengths) >= LENGTH && paper(picture) >= PAPER
}

/// The share of the pixels that are as light as most of the paper.
fn paper(picture: &Picture) -> f32 {
    let step = (picture.rgb().len() / 3 / SAMPLES).max(1);
    let mut histogram = [0_u32; 256];
    // Green contributes most to lightness.
    for pixel in picture.rgb().chunks_exact(3).step_by(step) {
        histogram[usize::from(pixel[1])] += 1;
    }
    let around = |level: usize| histogram[level - SAME..=(level + SAME).min(255)].iter().sum::<u32>();
    let most = (LIGHT..256).map(around).max().unwrap_or(0);
    most as f32 / histogram.iter().sum::<u32>().max(1) as f32
}

/// Number of sampled pixels.
const SAMPLES: usize = 40_000;

/// Places of some lines that are not the longest, to find out which language the page has and how it lies.
pub(super) fn sample(found: &[TextBox]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..found.len()).collect();
    places.sort_by_cached_key(|&place| super::networks::length(&found[place].corners));
    let third = places.len() / 3;
    places.into_iter().skip(third).take(SAMPLE).collect()
}

/// Lines of a sample. Among this many, German lines without a letter of their own are rare.
const SAMPLE: usize = 3;

/// Whether one of Tesseract's languages contains all letters of a text. English has only the letters of ASCII; Chinese and
/// Japanese must be listed.
pub(super) fn can_be_written(text: &str, languages: Languages) -> bool {
    text.chars().filter(|c| c.is_alphabetic()).all(|letter| match letter {
        letter if letter.is_ascii() => true,
        letter if letter < '\u{2e80}' => languages.accented,
        _ => languages.ideographs,
    })
}

/// Letters of Tesseract's languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Languages {
    /// Latin letters that English does not have.
    pub accented: bool,
    /// Chinese and Japanese.
    pub ideographs: bool,
    /// Scripts that the networks do not know.
    pub others: bool,
}

impl Languages {
    /// By Tesseract's names, as in `deu` and `chi_sim`.
    pub fn of(names: &[String]) -> Self {
        let is_ideographs = |name: &String| ocr::is_equally_wide(name);
        let is_other = |name: &String| ocr::is_other_script(name);
        Self {
            accented: names.iter().any(|name| name != "eng" && !is_ideographs(name) && !is_other(name)),
            ideographs: names.iter().any(is_ideographs),
            others: names.iter().any(is_other),
        }
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(paper: u8, noise: u8) -> Picture {
        let level = |i: usize| paper - (i * 7919 % usize::from(noise.max(1))) as u8;
        Picture::new(1200, 1600, (0..1200 * 1600 * 3).map(|i| level(i / 3)).collect()).expect("is a picture")
    }

    fn lines(count: usize, width: f32, tilt: f32) -> Vec<TextBox> {
        let line = |row: usize| {
            let (top, down) = (row as f32 * 40.0, width * tilt);
            let corners = [
                [50.0, top],
                [50.0 + width, top + down],
                [50.0 + width, top + 30.0 + down],
                [50.0, top + 30.0],
            ];
            TextBox { corners, score: 0.9, height_seen: 18.0 }
        };
        (0..count).map(line).collect()
    }

    #[test]
    fn a_clean_page_of_long_level_lines_is_print() {
        assert!(is_dense(&page(240, 8), &lines(30, 1000.0, 0.0)));
        for (what, picture, found) in [
            ("few lines", page(240, 8), lines(5, 1000.0, 0.0)),
            ("short lines", page(240, 8), lines(30, 150.0, 0.0)),
            ("tilted lines", page(240, 8), lines(30, 1000.0, 0.06)),
            ("noisy paper", page(240, 120), lines(30, 1000.0, 0.0)),
            ("a dark screen", page(60, 8), lines(30, 1000.0, 0.0)),
        ] {
            assert!(!is_dense(&picture, &found), "{what}");
        }
    }

    #[test]
    fn what_tesseract_was_not_given_the_language_for_it_cannot_write() {
        let languages =
            |names: &[&str]| Languages::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(can_be_written("The harbour office, 1952.", languages(&["eng"])));
        assert!(!can_be_written("Das Hafenbüro", languages(&["eng"])));
        assert!(can_be_written("Das Hafenbüro", languages(&["eng", "deu"])));
        assert!(!can_be_written("東京", languages(&["eng", "deu", "rus"])));
        assert!(can_be_written("東京", languages(&["jpn"])));
        assert!(languages(&["eng", "rus"]).others && !languages(&["eng", "rus"]).accented);
    }

    #[test]
    fn a_sample_is_not_of_the_longest() {
        let mut found = lines(9, 1000.0, 0.0);
        found.extend(lines(9, 200.0, 0.0));
        found.extend(lines(9, 600.0, 0.0));
        let sampled = sample(&found);
        assert_eq!(sampled.len(), SAMPLE);
        assert!(sampled.iter().all(|&place| found[place].corners[1][0] == 650.0), "{sampled:?}");
        assert_eq!(sample(&found[..1]).len(), 1);
    }
}
