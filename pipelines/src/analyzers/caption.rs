//! One sentence for the whole picture.

use docent_models::captioning::{Caption, CaptionRequest, Strategy};
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::executor::{Limit, ModelHandle};
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
    /// Least geometric mean of the token probabilities, 0..=1. An improbable caption is mostly an invented one.
    pub min_probability: f64,
}

impl CaptionAnalyzer {
    /// What the captioner needs to know of a picture; nothing if no encoder is loaded.
    pub async fn request(&self, subject: &Subject<'_>) -> Result<Option<CaptionRequest>, AnalyzerError> {
        let embedding = subject.embedding().await?;
        Ok(embedding.map(|embedding| CaptionRequest {
            tokens: embedding.tokens.clone(),
            strategy: self.rule.strategy,
        }))
    }

    /// Answers several pictures' requests, in their order.
    pub async fn answer(
        &self,
        limit: Option<&Limit>,
        requests: Vec<CaptionRequest>,
    ) -> Vec<Result<Findings, AnalyzerError>> {
        let captions = self.captioner.run_together(limit, requests).await;
        captions.into_iter().map(|caption| Ok(self.findings(caption?))).collect()
    }

    fn findings(&self, caption: Caption) -> Findings {
        let probability = f64::from(caption.mean_log_probability).exp();
        let offered = probability >= self.rule.min_probability && !caption.text.is_empty();
        let claim = offered.then(|| Claim {
            kind: Kind::Caption,
            value: caption.text,
            confidence: Confidence::new(probability),
            region: None,
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
            let Some(request) = self.request(subject).await? else { return Ok(Findings::default()) };
            Ok(self.findings(self.captioner.run_within(subject.limits.step.as_ref(), request).await?))
        }
        .boxed()
    }
}
