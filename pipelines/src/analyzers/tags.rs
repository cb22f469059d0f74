//! Words for the whole picture.

use docent_models::tagging::TagScores;
use docent_models::{InputSpec, Tensor};
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::executor::ModelHandle;
use crate::suggestion::{Claim, Confidence, Kind};
use crate::vocabulary::{TagRule, TagVocabulary};

/// The tagger with its vocabulary.
pub struct TagsAnalyzer {
    /// How a picture is prepared.
    pub spec: InputSpec,
    /// The network.
    pub tagger: ModelHandle<Tensor, TagScores>,
    /// Its classes.
    pub vocabulary: TagVocabulary,
    /// When a tag is offered.
    pub rule: TagRule,
}

impl Analyzer for TagsAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Tags
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            let input = self.spec.prepare(subject.picture)?.tensor;
            // A detector that fails is the objects analyzer's failure; tags then go by their thresholds alone.
            let (scores, objects) = futures_util::join!(
                self.tagger.run_within(subject.limits.step.as_ref(), input),
                subject.objects()
            );
            let people = matches!(objects, Ok(Some(things)) if things.iter().any(|d| &*d.label == "person"));
            let model = self.tagger.model();
            let claims = self
                .vocabulary
                .tags(&scores?.probabilities, &self.rule, people)
                .into_iter()
                .map(|(tag, probability)| {
                    let confidence = Confidence::new(probability);
                    let claim = Claim { kind: Kind::Tag, value: tag.to_owned(), confidence, region: None };
                    (claim, model.clone())
                })
                .collect();
            Ok(Findings { claims, ..Findings::default() })
        }
        .boxed()
    }
}
