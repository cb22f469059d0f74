//! Text in the picture.

use docent_models::ocr::{OcrInput, TextLine, is_noise, is_promising, text_check};
use docent_models::{BoundingBox, Picture};
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::executor::ModelHandle;
use crate::suggestion::{Claim, Confidence, Kind, Region};

/// The text reader behind a cheap look for anything that resembles text.
pub struct TextAnalyzer {
    /// The reader.
    pub reader: ModelHandle<OcrInput, Vec<TextLine>>,
    /// When and how text is offered.
    pub rule: TextRule,
}

/// When text is read and how it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextRule {
    /// Read every picture, even one that shows no sign of text.
    pub always: bool,
}

/// Up to this many lines are offered one by one, each with its place, because a sign is accepted or rejected on its
/// own. A page has more; its text is offered as a whole.
const SINGLE_LINES: usize = 8;

impl Analyzer for TextAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Text
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        let limit = subject.limits.reading.as_ref();
        async move {
            let mut input = None;
            if !self.rule.always {
                let check = text_check(subject.picture);
                if !check.likely {
                    return Ok(Findings::default());
                }
                // Most of what resembles text is none. Where it covers little, it is read by itself, and the whole
                // picture only if that looks like words.
                let whole = input.insert(OcrInput::from_picture(subject.picture));
                if let Some(parts) = whole.only(&check.places)
                    && !is_promising(&self.reader.run_within(limit, parts).await?)
                {
                    return Ok(Findings::default());
                }
            }
            let input = input.unwrap_or_else(|| OcrInput::from_picture(subject.picture));
            let lines = self.reader.run_within(limit, input).await?;
            let model = self.reader.model();
            let claims =
                claims(&lines, subject.picture).into_iter().map(|claim| (claim, model.clone())).collect();
            Ok(Findings { claims, ..Findings::default() })
        }
        .boxed()
    }
}

/// The lines one by one if they are few, and the full text if there is more than one line; nothing if that is noise.
fn claims(lines: &[TextLine], picture: &Picture) -> Vec<Claim> {
    if is_noise(lines) {
        return Vec::new();
    }
    let claim = |value: String, confidence: f64, bbox: BoundingBox| Claim {
        kind: Kind::Text,
        value,
        confidence: Confidence::new(confidence),
        region: Region::from_box(bbox, picture.width(), picture.height()),
    };
    let mut claims = Vec::new();
    if lines.len() <= SINGLE_LINES {
        claims.extend(lines.iter().map(|l| claim(l.text.clone(), f64::from(l.confidence), l.bbox)));
    }
    if lines.len() > 1 {
        let text = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
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
        TextLine { text: text.to_owned(), bbox, confidence: 0.9, words: Vec::new() }
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
    fn noise_is_not_offered() {
        let doubtful = |text, y| TextLine { confidence: 0.7, ..line(text, y) };
        assert_eq!(values(&[doubtful("ees", 1.0), doubtful("sit", 10.0), line("at", 20.0)]), [""; 0]);
        assert_eq!(values(&[line("HOTEL", 1.0), doubtful("sit", 10.0)]).len(), 3);
    }

    #[test]
    fn a_page_is_offered_as_a_whole() {
        let lines: Vec<_> = (0..9).map(|i| line("words", i as f32 * 10.0)).collect();
        let values = values(&lines);
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].lines().count(), 9);
    }
}
