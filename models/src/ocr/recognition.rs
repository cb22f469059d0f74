//! What a line says: the recognition network of PP-OCR, `x` `[N,3,48,W]` to the best class of every eight columns and its
//! probability, `[N,W/8,1]` each, and the text that is made of them (CTC, Graves et al. 2006).

use super::Strip;
use crate::manifest::ModelEntry;
use crate::session::{Session, SessionOptions};
use crate::{Error, ModelRef, Network, Pack, Tensor};

/// Most columns of pixels in one call: what the network answers with inside takes 10 KB for each.
const MAX_COLUMNS: usize = 2048;
/// The class that stands for no letter.
const BLANK: usize = 0;

/// What was read in one line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadLine {
    /// Maybe empty.
    pub text: String,
    /// Mean probability of its letters, 0..=1; 0 without any.
    pub confidence: f32,
    /// Width of the line by its height.
    pub aspect: f32,
}

pub(super) struct Recognizer {
    session: Session,
    /// By class: nothing for the blank, then the characters, then a space.
    letters: Vec<String>,
}

impl Recognizer {
    pub fn load(pack: &Pack, entry: &ModelEntry, options: &SessionOptions) -> Result<Self, Error> {
        let session = Session::load(&pack.file(entry, "model")?, entry.model_ref(), options)?;
        let characters = pack.read_text(entry, "characters")?;
        // One of the lines is a space by itself: lines are not trimmed.
        let letters = std::iter::once("").chain(characters.lines()).chain([" "]).map(str::to_owned).collect();
        Ok(Self { session, letters })
    }

    fn decode(&self, classes: &[f32], probabilities: &[f32], aspect: f32) -> ReadLine {
        let (mut text, mut sum, mut count) = (String::new(), 0.0, 0);
        let mut before = BLANK;
        for (&class, &probability) in classes.iter().zip(probabilities) {
            let class = class as usize;
            if class != BLANK && class != before {
                text.push_str(self.letters.get(class).map_or("", String::as_str));
                sum += probability;
                count += 1;
            }
            before = class;
        }
        let confidence = if count == 0 { 0.0 } else { sum / count as f32 };
        ReadLine { text: text.trim().to_owned(), confidence, aspect }
    }
}

impl Network for Recognizer {
    type Input = Strip;
    type Output = ReadLine;

    fn model(&self) -> &ModelRef {
        self.session.model()
    }

    fn provider(&self) -> Option<&str> {
        Some(self.session.provider())
    }

    /// Strips of equal width together, as many as [`MAX_COLUMNS`] has room for.
    fn run(&mut self, batch: &[Strip]) -> Result<Vec<ReadLine>, Error> {
        let width = |place: &usize| batch[*place].tensor.shape[2];
        let mut places: Vec<usize> = (0..batch.len()).collect();
        places.sort_by_key(width);
        let mut lines = vec![ReadLine::default(); batch.len()];
        for equal in places.chunk_by(|a, b| width(a) == width(b)) {
            for group in equal.chunks((MAX_COLUMNS / width(&equal[0]).max(1)).max(1)) {
                let tensors: Vec<&Tensor> = group.iter().map(|&place| &batch[place].tensor).collect();
                let outputs = self.session.run_batch(&tensors, "x", &["best_class", "best_probability"])?;
                for (row, &place) in group.iter().enumerate() {
                    lines[place] = self.decode(outputs[0].row(row), outputs[1].row(row), batch[place].aspect);
                }
            }
        }
        Ok(lines)
    }
}
