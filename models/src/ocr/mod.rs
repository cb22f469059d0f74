//! Text from pixels: two networks of PP-OCR, which find lines at any angle and read them, and Tesseract, which reads pages and
//! knows scripts that the networks do not.

mod components;
mod detection;
mod look;
mod order;
mod plausible;
mod recognition;
mod rectangle;
mod strip;
mod tesseract;

use std::path::PathBuf;
use std::time::Duration;

pub use detection::{TextBox, prepare_detection};
pub use look::{TextLook, look_for_text};
pub use order::reading_order;
pub use plausible::{are_letters_unknown, is_likely};
pub use recognition::ReadLine;
pub use rectangle::Corners;
pub use strip::{Strip, prepare_strip};
pub use tesseract::{Page, installed_languages, is_equally_wide, is_noise, is_other_script, model_ref};

use crate::session::SessionOptions;
use crate::{BoundingBox, Error, Network, Pack, Prepared, Task};

/// Finds lines of text; its input comes from [`prepare_detection`].
pub type TextDetector = dyn Network<Input = Prepared, Output = Vec<TextBox>>;
/// Reads lines of text; its input comes from [`prepare_strip`].
pub type LineReader = dyn Network<Input = Strip, Output = ReadLine>;
/// Reads whole pages.
pub type PageReader = dyn Network<Input = Page, Output = Vec<TextLine>>;

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLine {
    /// Its words, separated by spaces.
    pub text: String,
    /// Around its words, in pixels of the picture.
    pub bbox: BoundingBox,
    /// Mean of its letters or words, 0..=1.
    pub confidence: f32,
    /// It stands at the right of the line before, and goes on there.
    pub continues: bool,
}

/// What Tesseract reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcrOptions {
    /// Tesseract's names of the languages, for instance `eng`; several are tried together.
    pub languages: Vec<String>,
    /// Folder of the language data; Tesseract's own if absent.
    pub tessdata: Option<PathBuf>,
    /// Longest time for one picture; a reader that takes longer is stopped.
    pub time: Option<Duration>,
}

/// Loads the pack's text detector.
pub fn load_detector(pack: &Pack, options: &SessionOptions) -> Result<Box<TextDetector>, Error> {
    let entry = pack.model(Task::TextDetection)?;
    match entry.architecture.as_str() {
        "pp-ocr-detection" => Ok(Box::new(detection::Detector::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("pp-ocr-detection")),
    }
}

/// Loads the pack's reader of lines.
pub fn load_recognizer(pack: &Pack, options: &SessionOptions) -> Result<Box<LineReader>, Error> {
    let entry = pack.model(Task::TextRecognition)?;
    match entry.architecture.as_str() {
        "pp-ocr-recognition" => Ok(Box::new(recognition::Recognizer::load(pack, entry, options)?)),
        _ => Err(entry.unknown_architecture("pp-ocr-recognition")),
    }
}

/// Starts Tesseract.
pub fn load_tesseract(options: &OcrOptions) -> Result<Box<PageReader>, Error> {
    Ok(Box::new(tesseract::Tesseract::load(options)?))
}
