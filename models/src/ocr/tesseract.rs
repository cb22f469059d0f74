//! Tesseract. The only file that names it.
//!
//! Threads of OpenMP spin and make everything slower on busy cores. None is started (see `threads` and `linked`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tesseract_rs::TessPageIteratorLevel::{RIL_TEXTLINE, RIL_WORD};
use tesseract_rs::{TessPageSegMode, TesseractAPI, TesseractError};

use super::{OcrInput, OcrOptions, TextLine, Word, deadline};
use crate::{BoundingBox, Error, ModelRef, Network};

/// Words below this are noise: foliage, bricks and hair read as letters.
const MIN_WORD_CONFIDENCE: f32 = 0.6;
/// Lines whose longest word has two letters need this.
const MIN_SHORT_CONFIDENCE: f32 = 0.9;
/// Languages and scripts whose letters are always as wide as each other, by the start of Tesseract's names; not tried.
const EQUALLY_WIDE: [&str; 6] = ["chi", "jpn", "kor", "Han", "Japanese", "Hangul"];
/// Told to Tesseract, which otherwise guesses, and guesses badly on small pictures.
const RESOLUTION: i32 = 300;

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

fn data_folder(options: &OcrOptions) -> Option<PathBuf> {
    if let Some(folder) = &options.tessdata {
        return Some(folder.clone());
    }
    let named = std::env::var_os("TESSDATA_PREFIX").map(PathBuf::from);
    let usual = ["/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata"];
    named.into_iter().chain(usual.map(PathBuf::from)).find(|folder| folder.is_dir())
}

/// Scripts are named with their folder: `script/HanS`.
fn is_equally_wide(language: &str) -> bool {
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
        #[cfg(target_os = "linux")]
        super::linked::silence_leptonica();
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

    fn read(&self, input: &OcrInput) -> Result<Vec<TextLine>, Error> {
        super::threads::stay_alone();
        #[cfg(target_os = "linux")]
        let _reading = super::linked::Reading::begin();
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
    type Input = OcrInput;
    type Output = Vec<TextLine>;

    fn model(&self) -> &ModelRef {
        &self.model
    }

    fn run(&mut self, batch: &[OcrInput]) -> Result<Vec<Vec<TextLine>>, Error> {
        batch.iter().map(|input| self.read(input)).collect()
    }
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
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
