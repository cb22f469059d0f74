//! Text from pixels.

mod deadline;
mod gate;
#[cfg(target_os = "linux")]
mod linked;
#[cfg(target_os = "linux")]
mod opening;
mod polarity;
#[cfg(target_os = "linux")]
mod sauvola;
mod tesseract;
mod threads;

use std::path::PathBuf;
use std::time::Duration;

pub use gate::{TextCheck, text_check};
pub use tesseract::{installed_languages, model_ref};

use crate::{BoundingBox, Error, Network, Picture};

/// A reader of text.
pub type TextReader = dyn Network<Input = OcrInput, Output = Vec<TextLine>>;

/// A picture to read.
#[derive(Debug, Clone)]
pub struct OcrInput {
    /// `width * height` gray values.
    pub(crate) gray: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pixels here per pixel of the picture.
    pub(crate) scale: f32,
    /// No ink is lighter than its paper.
    pub(crate) dark_on_light: bool,
}

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLine {
    /// Its words, separated by spaces.
    pub text: String,
    /// Around its words, in pixels of the picture.
    pub bbox: BoundingBox,
    /// Mean of its words', weighted by their length, 0..=1.
    pub confidence: f32,
    /// From left to right, as far as they are sure enough.
    pub words: Vec<Word>,
}

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// In pixels of the picture.
    pub bbox: BoundingBox,
    /// 0..=1.
    pub confidence: f32,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcrOptions {
    /// Tesseract's names of the languages, for instance `eng`; several are tried together.
    pub languages: Vec<String>,
    /// Folder of the language data; Tesseract's own if absent.
    pub tessdata: Option<PathBuf>,
    /// Longest time for one picture; a reader that takes longer is stopped.
    pub time: Option<Duration>,
}

/// A page at 300 dpi has 3508 pixels; more only costs time.
const MAX_SIDE: u32 = 4000;
/// Text in smaller pictures is enlarged: Tesseract wants letters of some 20 pixels.
const MIN_SIDE: u32 = 1000;

/// Reading parts first is worth while up to this share of a photograph, most of which have no text …
const MAX_PART: f32 = 0.4;
/// … and of a flat picture, most of which have.
const MAX_PART_OF_PAPER: f32 = 0.15;
/// A line alone in the parts that are read first must be as sure as this.
const SURE: f32 = 0.75;
/// A line of fewer letters and digits than these is doubtful; what stands for a syllable or a word counts twice …
const SHORT: usize = 5;
/// … unless it is as sure as this. Of lines that were read into foliage, hair and grain most have three letters and 0.6 to 0.8;
/// of signs nearly all 0.9 and more.
const SURE_SHORT: f32 = 0.85;
/// Beside parts.
const PAPER: u8 = 255;

impl OcrInput {
    /// Gray, at a size that Tesseract reads well, and with light paper where the paper can be told.
    pub fn from_picture(picture: &Picture) -> Self {
        let side = picture.width().max(picture.height());
        let scale = match side {
            0..MIN_SIDE => (MIN_SIDE as f32 / side.max(1) as f32).min(2.0),
            MIN_SIDE..=MAX_SIDE => 1.0,
            _ => MAX_SIDE as f32 / side as f32,
        };
        let scaled = |length: u32| ((length as f32 * scale).round() as u32).max(1);
        let resized = (scale != 1.0)
            .then(|| picture.resize(scaled(picture.width()), scaled(picture.height())).ok())
            .flatten();
        let scale = if resized.is_some() { scale } else { 1.0 };
        let picture = resized.as_ref().unwrap_or(picture);
        let mut gray = gray(picture);
        let (width, height) = (picture.width(), picture.height());
        let dark_on_light = polarity::lighten(&mut gray, width as usize, height as usize);
        Self { gray, width, height, scale, dark_on_light }
    }
}

impl OcrInput {
    /// Only `places` of the picture, in its own pixels, one below the other; `None` if together they are not much
    /// smaller than the picture, or there are none.
    pub fn only(&self, places: &[BoundingBox]) -> Option<Self> {
        let whole = |value: f32, most: u32| ((value * self.scale).max(0.0) as u32).min(most);
        let mut parts = Vec::new();
        let (mut width, mut height) = (0, 0);
        for place in places {
            let (x, y) = (whole(place.x1, self.width), whole(place.y1, self.height));
            let (right, bottom) = (whole(place.x2, self.width), whole(place.y2, self.height));
            if right > x && bottom > y {
                width = width.max(right - x);
                height += bottom - y;
                parts.push((x as usize, y as usize, (right - x) as usize, (bottom - y) as usize));
            }
        }
        let area = u64::from(width) * u64::from(height);
        let most = if self.dark_on_light { MAX_PART_OF_PAPER } else { MAX_PART };
        if area == 0 || area as f32 > most * self.width as f32 * self.height as f32 {
            return None;
        }
        let mut gray = vec![PAPER; width as usize * height as usize];
        let mut lines = gray.chunks_exact_mut(width as usize);
        for (x, y, width, height) in parts {
            // The rows first: a line that was taken for none of them would stay empty.
            for (row, line) in (y..y + height).zip(lines.by_ref()) {
                let at = row * self.width as usize + x;
                line[..width].copy_from_slice(&self.gray[at..at + width]);
            }
        }
        Some(Self { gray, width, height, ..*self })
    }
}

/// Whether what was read in parts of a picture is a reason to read all of it. One line that is not sure is none: of 320
/// photographs five had such a line and nothing else, all foliage and grain, and took half of the time for reading.
pub fn is_promising(lines: &[TextLine]) -> bool {
    (lines.len() > 1 || lines.iter().any(|line| line.confidence >= SURE)) && !is_noise(lines)
}

/// Whether what was read is more likely no text: most of its letters and digits stand in lines that are short and not sure. On a
/// page such lines are between others that are.
pub fn is_noise(lines: &[TextLine]) -> bool {
    // Radicals, kana, ideographs and Hangul are all that Unicode has from there on.
    let weight = |letter: char| if letter < '\u{2e80}' { 1 } else { 2 };
    let length =
        |line: &TextLine| line.text.chars().filter(|c| c.is_alphanumeric()).map(weight).sum::<usize>();
    let is_doubtful = |line: &&TextLine| length(line) < SHORT && line.confidence < SURE_SHORT;
    let doubtful: usize = lines.iter().filter(is_doubtful).map(length).sum();
    2 * doubtful > lines.iter().map(length).sum::<usize>()
}

/// Rec. 601 luma.
fn gray(picture: &Picture) -> Vec<u8> {
    let luma = |p: &[u8]| ((u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8) as u8;
    picture.rgb().chunks_exact(3).map(luma).collect()
}

/// The file of Tesseract's library, where that can be told.
pub fn library() -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    return linked::library();
    #[cfg(not(target_os = "linux"))]
    None
}

/// Whether Tesseract gets what it calls from this program where that is faster, with the same results.
pub fn is_helped() -> bool {
    #[cfg(target_os = "linux")]
    return linked::in_use();
    #[cfg(not(target_os = "linux"))]
    false
}

/// Starts a reader.
pub fn load(options: &OcrOptions) -> Result<Box<TextReader>, Error> {
    Ok(Box::new(tesseract::Tesseract::load(options)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_that_is_not_sure_promises_nothing() {
        let bbox = BoundingBox { x1: 0.0, y1: 0.0, x2: 9.0, y2: 9.0 };
        let line = |confidence| TextLine { text: "Garden".to_owned(), bbox, confidence, words: Vec::new() };
        assert!(!is_promising(&[]) && !is_promising(&[line(0.7)]));
        assert!(is_promising(&[line(0.8)]) && is_promising(&[line(0.62), line(0.62)]));
    }

    #[test]
    fn short_lines_that_are_not_sure_are_noise_unless_they_are_between_others() {
        let bbox = BoundingBox { x1: 0.0, y1: 0.0, x2: 9.0, y2: 9.0 };
        let line =
            |text: &str, confidence| TextLine { text: text.to_owned(), bbox, confidence, words: Vec::new() };
        let noise = [line("ane", 0.74), line("eae”", 0.64), line("3344)", 0.61), line("at", 0.94)];
        assert!(is_noise(&noise) && !is_promising(&noise));
        assert!(is_noise(&[line("ter", 0.8)]));
        for (sign, confidence) in [("12", 0.9), ("BUS", 0.9), ("EXIT", 0.9), ("Hotel", 0.7), ("東京駅", 0.7)]
        {
            assert!(!is_noise(&[line(sign, confidence)]), "{sign}");
        }
        // A faded page, with the number of its page.
        let page = [line("Lieber Karl, ich bin", 0.62), line("gut angekommen", 0.66), line("17", 0.7)];
        assert!(!is_noise(&page) && is_promising(&page));
        assert!(!is_noise(&[]));
    }

    #[test]
    fn places_are_put_one_below_the_other() {
        // Each pixel tells where it is.
        let (width, height) = (20, 10);
        let input = OcrInput { gray: (0..200).collect(), width, height, scale: 2.0, dark_on_light: false };
        let place = |x1: f32, y1: f32, x2: f32, y2: f32| BoundingBox { x1, y1, x2, y2 };
        let parts = input.only(&[place(1.0, 0.5, 3.0, 1.5), place(4.0, 3.0, 5.0, 4.0)]).expect("is little");
        assert_eq!((parts.width, parts.height, parts.scale), (4, 4, 2.0));
        let rows: Vec<&[u8]> = parts.gray.chunks_exact(4).collect();
        assert_eq!(
            rows,
            [&[22, 23, 24, 25], &[42, 43, 44, 45], &[128, 129, PAPER, PAPER], &[148, 149, PAPER, PAPER]]
        );
        assert!(input.only(&[]).is_none());
        let third = [place(0.0, 0.0, 6.0, 2.5)];
        assert!(input.only(&third).is_some());
        assert!(
            OcrInput { dark_on_light: true, ..input.clone() }.only(&third).is_none(),
            "paper is read whole sooner"
        );
        assert!(input.only(&[place(0.0, 0.0, 10.0, 3.0)]).is_none(), "more than half of it is read whole");
    }
}
