//! Things and where they are.

use docent_models::ModelRef;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::suggestion::{Claim, Confidence, Kind, Region};

/// Offers the object detector's answer. The network is shared; see [`Subject::objects`].
pub struct ObjectsAnalyzer {
    /// The detector.
    pub model: ModelRef,
    /// Least offered score for every class, 0..=1. The threshold of a class may be higher.
    pub min_score: f64,
}

impl Analyzer for ObjectsAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Objects
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            let (width, height) = (subject.picture.width(), subject.picture.height());
            let found = subject.objects().await?.unwrap_or_default();
            let thresholds = subject.thresholds();
            // If the tagger fails, that is the tags analyzer's failure, and the detector's score alone decides.
            let has_animals = found.iter().any(|thing| thresholds.is_animal(thing));
            let tags = if has_animals { subject.tags().await.ok().flatten() } else { None };
            let claims = found
                .iter()
                .filter(|thing| match tags {
                    Some(tags) => thresholds.passes_with(thing, tags),
                    None => thresholds.passes(thing),
                })
                .filter(|detection| f64::from(detection.score) >= self.min_score)
                .filter_map(|detection| {
                    let claim = Claim {
                        kind: Kind::Object,
                        value: detection.label.to_string(),
                        confidence: Confidence::new(f64::from(detection.score)),
                        region: Some(Region::from_box(detection.bbox, width, height)?),
                        implies: Vec::new(),
                    };
                    Some((claim, self.model.clone()))
                })
                .collect();
            Ok(Findings { claims, ..Findings::default() })
        }
        .boxed()
    }
}
