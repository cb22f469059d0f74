//! One sentence for the whole picture.

use docent_models::captioning::{Caption, CaptionRequest, Strategy};
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::executor::ModelHandle;
use crate::suggestion::{Claim, Confidence, Kind};

/// The captioner; it reads the tokens of the shared image encoder.
pub struct CaptionAnalyzer {
    /// The decoder network.
    pub captioner: ModelHandle<CaptionRequest, Caption>,
    /// How sentences are searched for and which are offered.
    pub rule: CaptionRule,
}

/// How sentences are searched for and which are offered.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptionRule {
    /// Greedy or beam search.
    pub strategy: Strategy,
    /// Least geometric mean of the token probabilities, 0..=1. Most improbable captions are invented.
    pub min_probability: f64,
    /// Whether the sentence is offered as alt text, too.
    pub alt_text: bool,
}

impl CaptionAnalyzer {
    fn findings(&self, caption: Caption) -> Findings {
        let probability = f64::from(caption.mean_log_probability).exp();
        if probability < self.rule.min_probability || caption.text.is_empty() {
            return Findings::default();
        }
        let model = self.captioner.model();
        let claim = |kind, value| {
            let confidence = Confidence::new(probability);
            (Claim { kind, value, confidence, region: None, implies: Vec::new() }, model.clone())
        };
        let alt = self.rule.alt_text.then(|| claim(Kind::AltText, alt_text(&caption.text)));
        let claims = alt.into_iter().chain([claim(Kind::Caption, caption.text)]).collect();
        Findings { claims, ..Findings::default() }
    }
}

/// No alt text is longer, in characters: screen readers may stop there.
const ALT_CHARS: usize = 125;

/// A sentence as alt text: it begins with a capital, ends with a full stop, and has at most 125 characters.
fn alt_text(sentence: &str) -> String {
    let mut text = String::with_capacity(sentence.len() + 1);
    for word in sentence.split_whitespace() {
        let room = ALT_CHARS - 1 - text.chars().count().min(ALT_CHARS - 1);
        if word.chars().count() + usize::from(!text.is_empty()) > room {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    let text = text.trim_end_matches(['.', ',', ';']);
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

impl Analyzer for CaptionAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Caption
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            // Without an encoder there is nothing to say.
            let Some(embedding) = subject.embedding().await? else { return Ok(Findings::default()) };
            let request = CaptionRequest { tokens: embedding.tokens.clone(), strategy: self.rule.strategy };
            Ok(self.findings(self.captioner.run_within(subject.limits.step.as_ref(), request).await?))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::alt_text;

    #[test]
    fn alt_texts_are_short_sentences() {
        assert_eq!(alt_text("a dog  runs on grass"), "A dog runs on grass.");
        assert_eq!(alt_text("ärmel."), "Ärmel.");
        let long = alt_text(&"word ".repeat(50));
        assert!((120..=125).contains(&long.chars().count()) && long.ends_with("word word."), "{long}");
    }
}
