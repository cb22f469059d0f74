//! Tesseract. The only file that names it.
//!
//! Its OpenMP threads spin and make everything slower on busy cores: the process must run with OMP_THREAD_LIMIT=1,
//! which `docent` sees to.

use std::path::{Path, PathBuf};

use tesseract_rs::{TessPageSegMode, TesseractAPI};

use super::{OcrInput, OcrOptions, TextLine, Word};
use crate::{BoundingBox, Error, ModelRef, Network};

/// Words below this are noise: foliage, bricks and hair read as letters.
const MIN_WORD_CONFIDENCE: f32 = 0.6;
/// Lines whose longest word has two letters need this.
const MIN_SHORT_CONFIDENCE: f32 = 0.9;
/// Told to Tesseract, which otherwise guesses, and guesses badly on small pictures.
const RESOLUTION: i32 = 300;

pub(super) struct Tesseract {
    api: TesseractAPI,
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
        let api = TesseractAPI::new();
        api.init(&folder, &options.languages.join("+")).map_err(|error| failed(error.to_string()))?;
        // It talks about every picture on stderr otherwise.
        api.set_variable("debug_file", "/dev/null").map_err(|error| failed(error.to_string()))?;
        // Photographs have text here and there. On signs drawn into 24 photographs the search for sparse text read 17,
        // that for a page 8; a page's lines are found either way.
        api.set_page_seg_mode(TessPageSegMode::PSM_SPARSE_TEXT).map_err(|error| failed(error.to_string()))?;
        // Sauvola's local threshold: pages photographed in uneven light lose their dark side to a global one.
        api.set_variable("thresholding_method", "2").map_err(|error| failed(error.to_string()))?;
        Ok(Self { api, model })
    }

    fn read(&self, input: &OcrInput) -> Result<Vec<TextLine>, Error> {
        let failed = |error: tesseract_rs::TesseractError| Error::Inference {
            model: self.model.to_string(),
            reason: error.to_string(),
        };
        let (width, height) = (input.width as i32, input.height as i32);
        // Lines that are not sure are read once more the other way round, where that can be why.
        let invert = if input.dark_on_light { "0" } else { "1" };
        self.api.set_variable("tessedit_do_invert", invert).map_err(failed)?;
        self.api.set_image(&input.gray, width, height, 1, width).map_err(failed)?;
        self.api.set_source_resolution(RESOLUTION).map_err(failed)?;
        self.api.recognize().map_err(failed)?;
        let table = self.api.get_tsv_text(0).map_err(failed)?;
        self.api.clear().map_err(failed)?;
        Ok(lines(&table, input.scale))
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

/// Lines from Tesseract's table: level, page, block, paragraph, line, word, left, top, width, height, confidence, text.
fn lines(table: &str, scale: f32) -> Vec<TextLine> {
    let mut lines: Vec<(&str, Vec<Word>)> = Vec::new();
    for row in table.lines() {
        let fields: Vec<&str> = row.splitn(12, '\t').collect();
        let [level, _, _, _, _, _, left, top, width, height, confidence, text] = fields[..] else { continue };
        let Ok([left, top, width, height, confidence]) = numbers([left, top, width, height, confidence])
        else {
            continue;
        };
        let text = text.trim();
        let is_word = level == "5" && text.chars().any(char::is_alphanumeric);
        if !is_word || confidence / 100.0 < MIN_WORD_CONFIDENCE {
            continue;
        }
        let bbox = BoundingBox {
            x1: left / scale,
            y1: top / scale,
            x2: (left + width) / scale,
            y2: (top + height) / scale,
        };
        let word = Word { text: text.to_owned(), bbox, confidence: confidence / 100.0 };
        // Page, block, paragraph and line number together name a line.
        let end = row.match_indices('\t').nth(4).map_or(0, |(at, _)| at);
        let key = &row[1..end.max(1)];
        match lines.last_mut() {
            Some((last, words)) if *last == key => words.push(word),
            _ => lines.push((key, vec![word])),
        }
    }
    lines.into_iter().filter_map(|(_, words)| line(words)).collect()
}

fn numbers<const N: usize>(fields: [&str; N]) -> Result<[f32; N], std::num::ParseFloatError> {
    let mut parsed = [0.0; N];
    for (number, field) in parsed.iter_mut().zip(fields) {
        *number = field.parse()?;
    }
    Ok(parsed)
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
    fn words_become_lines_and_noise_is_dropped() {
        let table = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n\
            4\t1\t1\t1\t1\t0\t10\t10\t90\t20\t-1\t\n\
            5\t1\t1\t1\t1\t1\t10\t10\t40\t20\t96.5\tOld\n\
            5\t1\t1\t1\t1\t2\t60\t12\t40\t20\t91\ttown\n\
            5\t1\t1\t1\t1\t3\t160\t12\t40\t20\t12\tzx%\n\
            5\t1\t1\t1\t2\t1\t10\t40\t40\t20\t80\t1889\n\
            5\t1\t2\t1\t1\t1\t10\t90\t5\t20\t90\t|\n\
            5\t1\t2\t1\t2\t1\t10\t95\t5\t20\t90\tl\n";
        let lines = lines(table, 2.0);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["Old town", "1889"]);
        assert_eq!(lines[0].bbox, BoundingBox { x1: 5.0, y1: 5.0, x2: 50.0, y2: 16.0 });
        assert!((lines[0].confidence - (0.965 * 3.0 + 0.91 * 4.0) / 7.0).abs() < 1e-4);
    }
}
