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
}

impl CaptionAnalyzer {
    fn findings(&self, caption: Caption) -> Findings {
        let probability = f64::from(caption.mean_log_probability).exp();
        let offered = probability >= self.rule.min_probability && !caption.text.is_empty();
        let claim = offered.then(|| Claim {
            kind: Kind::Caption,
            value: caption.text,
            confidence: Confidence::new(probability),
            region: None,
            implies: Vec::new(),
        });
        let model = self.captioner.model();
        Findings {
            claims: claim.map(|claim| (claim, model.clone())).into_iter().collect(),
            ..Findings::default()
        }
    }
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
