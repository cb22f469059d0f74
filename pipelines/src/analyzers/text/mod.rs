//! Text in the picture.

mod networks;
mod pieces;
mod print;
mod turn;

use docent_models::ocr::{Page, ReadLine, TextLine, are_letters_unknown, is_likely, is_noise, look_for_text};
use docent_models::{BoundingBox, ModelRef, Picture};
use futures_util::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};

pub use self::networks::TextNetworks;
pub use self::print::Languages;
use self::turn::Turn;
use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::executor::{Limit, ModelHandle};
use crate::suggestion::{Claim, Confidence, Kind, Region};

/// Reads text with networks or Tesseract, after a cheap look for anything that resembles text.
pub struct TextAnalyzer {
    /// Read signs, screens and receipts, at any angle. `None` for Tesseract alone.
    pub networks: Option<TextNetworks>,
    /// Reads dense upright print and the scripts that the networks do not know. `None` for the networks alone.
    pub tesseract: Option<ModelHandle<Page, Vec<TextLine>>>,
    /// When and how text is read.
    pub rule: TextRule,
}

/// When text is read and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextRule {
    /// What reads.
    pub engine: TextEngine,
    /// Read every picture, even one that shows no sign of text.
    pub always: bool,
    /// What Tesseract can write.
    pub languages: Languages,
}

/// What reads text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextEngine {
    /// The networks, and Tesseract for dense upright print and for scripts that they do not know.
    #[default]
    Auto,
    /// The networks alone.
    Network,
    /// Tesseract alone.
    Tesseract,
}

impl TextEngine {
    /// Whether the networks are needed.
    pub fn has_networks(self) -> bool {
        self != Self::Tesseract
    }

    /// Whether Tesseract is needed.
    pub fn has_tesseract(self) -> bool {
        self != Self::Network
    }
}

/// Pages and receipts have hundreds of text-like cells; of 223 photographs without text, two have this many.
const MANY_CELLS: u32 = 60;
/// Up to this many lines are offered one by one, each with its place: people accept or reject a sign by itself. A page has
/// more lines, and its text is offered as a whole.
const SINGLE_LINES: usize = 8;

impl Analyzer for TextAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Text
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            let picture = &**subject.picture;
            let (step, reading) = (subject.limits.step.as_ref(), subject.limits.reading.as_ref());
            let look = look_for_text(picture);
            let read = match &self.networks {
                Some(networks) => {
                    let is_promising = self.rule.always
                        || look.cells >= MANY_CELLS
                        || networks.glance(step, picture, look.is_flat).await?;
                    if !is_promising {
                        return Ok(Findings::default());
                    }
                    self.by_networks(networks, step, reading, picture).await?
                }
                None if self.rule.always || look.likely => self.by_tesseract(reading, picture).await?,
                None => None,
            };
            let Some((lines, model)) = read else { return Ok(Findings::default()) };
            let claims = claims(&lines, picture).into_iter().map(|claim| (claim, model.clone())).collect();
            Ok(Findings { claims, ..Findings::default() })
        }
        .boxed()
    }
}

/// Lines, with the model that read them.
type Read = Option<(Vec<TextLine>, ModelRef)>;

impl TextAnalyzer {
    async fn by_networks(
        &self,
        networks: &TextNetworks,
        step: Option<&Limit>,
        reading: Option<&Limit>,
        picture: &Picture,
    ) -> Result<Read, AnalyzerError> {
        let found = networks.find(step, picture).await?;
        if found.is_empty() {
            return Ok(None);
        }
        let lie = networks.lie(step, picture, &found).await?;
        if self.tesseract.is_some() && lie.turn == Turn::Upright && print::is_dense(picture, &found) {
            let some: Vec<ReadLine> = lie.known.iter().map(|(_, line)| line.clone()).collect();
            let languages = self.rule.languages;
            let by_tesseract = if are_letters_unknown(&some) {
                languages.others
            } else {
                let mut lines = some.iter().filter(|line| is_likely(line));
                lines.all(|line| print::can_be_written(&line.text, languages))
            };
            if by_tesseract && let Some(read) = self.by_tesseract(reading, picture).await? {
                return Ok(Some(read));
            }
        }
        let read = networks.read(step, picture, &found, lie).await?;
        if read.is_unknown_script && self.rule.languages.others {
            return self.by_tesseract(reading, picture).await;
        }
        Ok(Some((read.lines, networks.model().clone())))
    }

    /// `None` if Tesseract is not loaded or reads noise.
    async fn by_tesseract(&self, limit: Option<&Limit>, picture: &Picture) -> Result<Read, AnalyzerError> {
        let Some(reader) = &self.tesseract else { return Ok(None) };
        let lines = reader.run_within(limit, Page::from_picture(picture)).await?;
        let is_text = !lines.is_empty() && !is_noise(&lines);
        Ok(is_text.then(|| (lines, reader.model().clone())))
    }
}

/// Few lines one by one, and the full text if there is more than one line.
fn claims(lines: &[TextLine], picture: &Picture) -> Vec<Claim> {
    let claim = |value: String, confidence: f64, bbox: BoundingBox| Claim {
        kind: Kind::Text,
        value,
        confidence: Confidence::new(confidence),
        region: Region::from_box(bbox, picture.width(), picture.height()),
        implies: Vec::new(),
    };
    let mut claims = Vec::new();
    if lines.len() <= SINGLE_LINES {
        claims.extend(lines.iter().map(|l| claim(l.text.clone(), f64::from(l.confidence), l.bbox)));
    }
    if lines.len() > 1 {
        let mut text = String::new();
        for line in lines {
            if !text.is_empty() {
                text.push(if line.continues { ' ' } else { '\n' });
            }
            text.push_str(&line.text);
        }
        let letters: usize = lines.iter().map(|line| line.text.chars().count()).sum();
        let weighted: f64 =
            lines.iter().map(|line| f64::from(line.confidence) * line.text.chars().count() as f64).sum();
        let around = lines.iter().map(|line| line.bbox).reduce(|a, b| BoundingBox {
            x1: a.x1.min(b.x1),
            y1: a.y1.min(b.y1),
            x2: a.x2.max(b.x2),
            y2: a.y2.max(b.y2),
        });
        claims.extend(around.map(|around| claim(text, weighted / letters.max(1) as f64, around)));
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, y: f32) -> TextLine {
        let bbox = BoundingBox { x1: 10.0, y1: y, x2: 60.0, y2: y + 5.0 };
        TextLine { text: text.to_owned(), bbox, confidence: 0.9, continues: false }
    }

    fn values(lines: &[TextLine]) -> Vec<String> {
        let picture = Picture::new(100, 100, vec![0; 30_000]).expect("is a picture");
        claims(lines, &picture).into_iter().map(|claim| claim.value).collect()
    }

    #[test]
    fn few_lines_stand_alone_and_together() {
        assert_eq!(values(&[]), [""; 0]);
        assert_eq!(values(&[line("HOTEL", 1.0)]), ["HOTEL"]);
        assert_eq!(
            values(&[line("HOTEL", 1.0), line("MINERVA", 10.0)]),
            ["HOTEL", "MINERVA", "HOTEL\nMINERVA"]
        );
    }

    #[test]
    fn what_stands_in_one_row_is_one_line_of_the_text() {
        let price = TextLine { continues: true, ..line("2.50", 1.0) };
        assert_eq!(
            values(&[line("Coffee", 1.0), price, line("Total", 10.0)]).pop(),
            Some("Coffee 2.50\nTotal".to_owned())
        );
    }

    #[test]
    fn a_page_is_offered_as_a_whole() {
        let lines: Vec<_> = (0..9).map(|i| line("words", i as f32 * 10.0)).collect();
        let values = values(&lines);
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].lines().count(), 9);
    }
}
