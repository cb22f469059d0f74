//! Words for the whole picture.

use docent_models::ModelRef;
use docent_models::objects::Detection;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::classes::TagRule;
use crate::suggestion::{Claim, Confidence, Kind};

/// Offers the tagger's answer. The network is shared; see `Subject::tags`.
pub struct TagsAnalyzer {
    /// The tagger.
    pub model: ModelRef,
    /// When a tag is offered.
    pub rule: TagRule,
}

impl Analyzer for TagsAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Tags
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            // If the detector fails, that is the objects analyzer's failure, and thresholds alone decide.
            let (tags, objects) = futures_util::join!(subject.tags(), subject.objects());
            let is_person =
                |thing: &Detection| &*thing.label == "person" && subject.thresholds().passes(thing);
            let people = matches!(objects, Ok(Some(things)) if things.iter().any(is_person));
            let Some(tags) = tags? else { return Ok(Findings::default()) };
            let claims = tags
                .vocabulary
                .tags(tags.probabilities, &self.rule, people)
                .into_iter()
                .map(|(tag, probability)| {
                    let confidence = Confidence::new(probability);
                    let claim = Claim {
                        kind: Kind::Tag,
                        value: tag.to_owned(),
                        confidence,
                        region: None,
                        implies: tags.vocabulary.implied(tag).to_vec(),
                    };
                    (claim, self.model.clone())
                })
                .collect();
            Ok(Findings { claims, ..Findings::default() })
        }
        .boxed()
    }
}
