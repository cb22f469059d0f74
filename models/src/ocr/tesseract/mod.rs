//! Tesseract, as it is packaged: it reads pages of upright print. The only folder that names it.
//!
//! Threads of OpenMP spin and make everything slower on busy cores, so this thread stays alone (`libraries`).

mod deadline;
mod libraries;
mod polarity;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tesseract_rs::TessPageIteratorLevel::{RIL_TEXTLINE, RIL_WORD};
use tesseract_rs::{TessPageSegMode, TesseractAPI, TesseractError};

use super::{OcrOptions, TextLine};
use crate::{BoundingBox, Error, ModelRef, Network, Picture};

/// A page at 300 dpi has 3508 pixels; more only costs time.
const MAX_SIDE: u32 = 4000;
/// Text in smaller pictures is enlarged: Tesseract wants letters of some 20 pixels.
const MIN_SIDE: u32 = 1000;
/// A line of fewer letters and digits than these is doubtful; what stands for a syllable or a word counts twice …
const SHORT: usize = 5;
/// … unless it is as sure as this. Of lines that were read into foliage, hair and grain most have three letters and 0.6 to 0.8;
/// of signs nearly all 0.9 and more.
const SURE_SHORT: f32 = 0.85;
/// Words below this are noise: foliage, bricks and hair read as letters.
const MIN_WORD_CONFIDENCE: f32 = 0.6;
/// Lines whose longest word has two letters need this.
const MIN_SHORT_CONFIDENCE: f32 = 0.9;
/// Languages and scripts whose letters are always as wide as each other, by the start of Tesseract's names; not tried.
const EQUALLY_WIDE: [&str; 6] = ["chi", "jpn", "kor", "Han", "Japanese", "Hangul"];
/// Told to Tesseract, which otherwise guesses, and guesses badly on small pictures.
const RESOLUTION: i32 = 300;

/// A picture to read.
#[derive(Debug, Clone)]
pub struct Page {
    /// `width * height` gray values.
    gray: Vec<u8>,
    width: u32,
    height: u32,
    /// Pixels here per pixel of the picture.
    scale: f32,
    /// No ink is lighter than its paper.
    dark_on_light: bool,
}

impl Page {
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
        let mut gray = luma(picture);
        let (width, height) = (picture.width(), picture.height());
        let dark_on_light = polarity::lighten(&mut gray, width as usize, height as usize);
        Self { gray, width, height, scale, dark_on_light }
    }
}

/// Rec. 601 luma.
pub(super) fn luma(picture: &Picture) -> Vec<u8> {
    let luma = |p: &[u8]| ((u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8) as u8;
    picture.rgb().chunks_exact(3).map(luma).collect()
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

pub(super) struct Tesseract {
    api: TesseractAPI,
    time: Option<Duration>,
    model: ModelRef,
}

/// Which reader, in which version and languages.
pub fn model_ref(options: &OcrOptions) -> ModelRef {
    ModelRef::new(format!("tesseract-{}", options.languages.join("+")), TesseractAPI::version())
}

/// The languages whose data is installed, by their names; empty if there is no data at all.
pub fn installed_languages(options: &OcrOptions) -> Vec<String> {
    let Some(folder) = data_folder(options) else { return Vec::new() };
    let mut languages: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".traineddata")?.to_owned()))
        .collect();
    languages.sort();
    languages
}

/// Tesseract's names of languages and scripts whose letters the networks do not have, by their beginnings.
const OTHER_SCRIPTS: [&str; 62] = [
    "amh",
    "ara",
    "asm",
    "aze_cyrl",
    "bel",
    "ben",
    "bod",
    "bul",
    "chr",
    "dzo",
    "div",
    "ell",
    "fas",
    "grc",
    "guj",
    "heb",
    "hin",
    "hye",
    "iku",
    "kan",
    "kat",
    "kaz",
    "khm",
    "kir",
    "kor",
    "lao",
    "mal",
    "mar",
    "mkd",
    "mon",
    "mya",
    "nep",
    "ori",
    "pan",
    "pus",
    "rus",
    "san",
    "sin",
    "snd",
    "srp",
    "syr",
    "tam",
    "tat",
    "tel",
    "tgk",
    "tha",
    "tir",
    "uig",
    "ukr",
    "urd",
    "uzb_cyrl",
    "vie",
    "yid",
    "Arabic",
    "Cyrillic",
    "Devanagari",
    "Greek",
    "Hangul",
    "Hebrew",
    "Thai",
    "Vietnamese",
    "Georgian",
];

/// Whether a language, by Tesseract's name, is written with letters that the networks do not know: of Cyrillic, accented Greek,
/// Hangul, Arabic, Hebrew, Thai, Indic scripts and Vietnamese they have none.
pub fn is_other_script(language: &str) -> bool {
    let name = language.rsplit('/').next().unwrap_or(language);
    OTHER_SCRIPTS.iter().any(|script| name.starts_with(script)) && !name.starts_with("srp_latn")
}

fn data_folder(options: &OcrOptions) -> Option<PathBuf> {
    if let Some(folder) = &options.tessdata {
        return Some(folder.clone());
    }
    let named = std::env::var_os("TESSDATA_PREFIX").map(PathBuf::from);
    let usual = ["/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata"];
    named.into_iter().chain(usual.map(PathBuf::from)).find(|folder| folder.is_dir())
}

/// Whether a language, by Tesseract's name, is written in letters that are all as wide as each other: Chinese, Japanese and
/// Korean. Scripts are named with their folder: `script/HanS`.
pub fn is_equally_wide(language: &str) -> bool {
    let name = language.rsplit('/').next().unwrap_or(language);
    EQUALLY_WIDE.iter().any(|script| name.starts_with(script))
}

impl Tesseract {
    pub fn load(options: &OcrOptions) -> Result<Self, Error> {
        let model = model_ref(options);
        let failed = |reason: String| Error::Model { model: model.to_string(), reason };
        let folder = data_folder(options).ok_or_else(|| {
            failed("no Tesseract language data found; install tesseract-ocr-eng".to_owned())
        })?;
        for language in &options.languages {
            let file = Path::new(language).with_extension("traineddata");
            if !folder.join(&file).is_file() {
                return Err(failed(format!(
                    "no data for language '{language}' in {}; install tesseract-ocr-{language}",
                    folder.display()
                )));
            }
        }
        libraries::silence_leptonica();
        let api = TesseractAPI::new();
        api.init(&folder, &options.languages.join("+")).map_err(|error| failed(error.to_string()))?;
        // It talks about every picture on stderr otherwise.
        api.set_variable("debug_file", "/dev/null").map_err(|error| failed(error.to_string()))?;
        // Photographs have text here and there. On signs drawn into 24 photographs the search for sparse text read 17,
        // that for a page 8; a page's lines are found either way.
        api.set_page_seg_mode(TessPageSegMode::PSM_SPARSE_TEXT).map_err(|error| failed(error.to_string()))?;
        // Sauvola's local threshold: pages photographed in uneven light lose their dark side to a global one.
        api.set_variable("thresholding_method", "2").map_err(|error| failed(error.to_string()))?;
        // Paragraphs, which nobody asks for, are looked for all the same; before the words are known they cost less.
        api.set_variable("paragraph_text_based", "0").map_err(|error| failed(error.to_string()))?;
        // Whether letters are equally wide is not asked where the network finds the words all the same: of 10,641 on pages
        // and screens, typewriter faces among them, none was lost, in 2 % less time.
        if !options.languages.iter().any(|language| is_equally_wide(language)) {
            api.set_variable("textord_all_prop", "1").map_err(|error| failed(error.to_string()))?;
        }
        Ok(Self { api, time: options.time, model })
    }

    fn read(&self, input: &Page) -> Result<Vec<TextLine>, Error> {
        libraries::stay_alone();
        let failed = |error: TesseractError| Error::Inference {
            model: self.model.to_string(),
            reason: error.to_string(),
        };
        let (width, height) = (input.width as i32, input.height as i32);
        // Lines that are not sure are read once more the other way round, where that can be why.
        let invert = if input.dark_on_light { "0" } else { "1" };
        self.api.set_variable("tessedit_do_invert", invert).map_err(failed)?;
        self.api.set_image(&input.gray, width, height, 1, width).map_err(failed)?;
        self.api.set_source_resolution(RESOLUTION).map_err(failed)?;
        match self.time {
            None => self.api.recognize().map_err(failed)?,
            Some(time) => deadline::recognize(&self.api, time)
                .map_err(|reason| Error::Inference { model: self.model.to_string(), reason })?,
        }
        let words = self.words().map_err(failed)?;
        self.api.clear().map_err(failed)?;
        Ok(lines(words, input.scale))
    }

    /// All words, in the order of their lines. Tesseract's table has them as well, but walks to each from the start of the
    /// page a dozen times: one eighth of the time for a screen full of text.
    fn words(&self) -> Result<Vec<Found>, TesseractError> {
        let mut words = Vec::new();
        let Ok(at) = self.api.get_iterator() else { return Ok(words) };
        loop {
            // A place without a word has neither text nor box.
            if let (Ok(text), Ok(place), Ok(line)) =
                (at.get_utf8_text(RIL_WORD), at.get_bounding_box(RIL_WORD), at.get_bounding_box(RIL_TEXTLINE))
            {
                words.push(Found { text, place, line, confidence: at.confidence(RIL_WORD)? });
            }
            if !at.next(RIL_WORD)? {
                return Ok(words);
            }
        }
    }
}

impl Network for Tesseract {
    type Input = Page;
    type Output = Vec<TextLine>;

    fn model(&self) -> &ModelRef {
        &self.model
    }

    fn run(&mut self, batch: &[Page]) -> Result<Vec<Vec<TextLine>>, Error> {
        batch.iter().map(|input| self.read(input)).collect()
    }
}

/// One word, and what is known of it.
#[derive(Debug)]
struct Word {
    text: String,
    /// In pixels of the picture.
    bbox: BoundingBox,
    /// 0..=1.
    confidence: f32,
}

/// Left, top, right and bottom, in pixels of what was read.
type Corners = (i32, i32, i32, i32);

/// A word as Tesseract found it.
struct Found {
    text: String,
    place: Corners,
    /// Of its line, which is all that tells one from another.
    line: Corners,
    /// 0..=100.
    confidence: f32,
}

fn lines(found: Vec<Found>, scale: f32) -> Vec<TextLine> {
    let mut lines: Vec<(Corners, Vec<Word>)> = Vec::new();
    for Found { text, place: (left, top, right, bottom), line, confidence } in found {
        let text = text.trim();
        let confidence = confidence / 100.0;
        if !text.chars().any(char::is_alphanumeric) || confidence < MIN_WORD_CONFIDENCE {
            continue;
        }
        let [x1, y1, x2, y2] = [left, top, right, bottom].map(|side| side as f32 / scale);
        let word = Word { text: text.to_owned(), bbox: BoundingBox { x1, y1, x2, y2 }, confidence };
        match lines.last_mut() {
            Some((last, words)) if *last == line => words.push(word),
            _ => lines.push((line, vec![word])),
        }
    }
    lines.into_iter().filter_map(|(_, words)| self::line(words)).collect()
}

fn line(words: Vec<Word>) -> Option<TextLine> {
    let letters = |word: &Word| word.text.chars().count() as f32;
    let total: f32 = words.iter().map(letters).sum();
    let confidence = words.iter().map(|word| word.confidence * letters(word)).sum::<f32>() / total.max(1.0);
    let length = |word: &Word| word.text.chars().filter(|c| c.is_alphanumeric()).count();
    // A lone letter is more often a lamp post, and two that are not sure are often its shadow.
    match words.iter().map(length).max()? {
        0 | 1 => return None,
        2 if confidence < MIN_SHORT_CONFIDENCE => return None,
        _ => {}
    }
    let bbox = words.iter().map(|word| word.bbox).reduce(|a, b| BoundingBox {
        x1: a.x1.min(b.x1),
        y1: a.y1.min(b.y1),
        x2: a.x2.max(b.x2),
        y2: a.y2.max(b.y2),
    })?;
    Some(TextLine {
        text: words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "),
        bbox,
        confidence,
        continues: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_that_are_not_sure_are_noise_unless_they_are_between_others() {
        let bbox = BoundingBox { x1: 0.0, y1: 0.0, x2: 9.0, y2: 9.0 };
        let line =
            |text: &str, confidence| TextLine { text: text.to_owned(), bbox, confidence, continues: false };
        let noise = [line("ane", 0.74), line("eae”", 0.64), line("3344)", 0.61), line("at", 0.94)];
        assert!(is_noise(&noise));
        assert!(is_noise(&[line("ter", 0.8)]));
        for (sign, confidence) in [("12", 0.9), ("BUS", 0.9), ("EXIT", 0.9), ("Hotel", 0.7), ("東京駅", 0.7)]
        {
            assert!(!is_noise(&[line(sign, confidence)]), "{sign}");
        }
        // A faded page, with the number of its page.
        let page = [line("Lieber Karl, ich bin", 0.62), line("gut angekommen", 0.66), line("17", 0.7)];
        assert!(!is_noise(&page) && !is_noise(&[]));
    }

    #[test]
    fn scripts_that_the_networks_do_not_know_are_told_by_the_name() {
        for name in ["rus", "srp", "kor_vert", "ell", "script/Cyrillic", "vie"] {
            assert!(is_other_script(name), "{name}");
        }
        for name in ["eng", "deu", "srp_latn", "chi_sim", "jpn", "script/Latin"] {
            assert!(!is_other_script(name), "{name}");
        }
    }

    #[test]
    fn equally_wide_letters_are_told_by_the_name() {
        for name in ["chi_sim", "jpn_vert", "kor", "script/HanT_vert", "script/Japanese", "script/Hangul"] {
            assert!(is_equally_wide(name), "{name}");
        }
        for name in ["eng", "deu_frak", "script/Latin", "script/Hebrew"] {
            assert!(!is_equally_wide(name), "{name}");
        }
    }

    #[test]
    fn words_become_lines_and_noise_is_dropped() {
        let found = |line: i32, text: &str, left: i32, top: i32, width: i32, confidence: f32| Found {
            text: text.to_owned(),
            place: (left, top, left + width, top + 20),
            line: (0, line, 200, line + 20),
            confidence,
        };
        let words = vec![
            found(10, "Old", 10, 10, 40, 96.5),
            found(10, "town", 60, 12, 40, 91.0),
            found(10, "zx%", 160, 12, 40, 12.0),
            found(40, "1889", 10, 40, 40, 80.0),
            found(90, "|", 10, 90, 5, 90.0),
            found(95, "l", 10, 95, 5, 90.0),
        ];
        let lines = lines(words, 2.0);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["Old town", "1889"]);
        assert_eq!(lines[0].bbox, BoundingBox { x1: 5.0, y1: 5.0, x2: 50.0, y2: 16.0 });
        assert!((lines[0].confidence - (0.965 * 3.0 + 0.91 * 4.0) / 7.0).abs() < 1e-4);
    }
}
