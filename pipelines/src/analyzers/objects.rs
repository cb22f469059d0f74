//! Things and where they are.

use docent_models::ModelRef;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::suggestion::{Claim, Confidence, Kind, Region};

/// The object detector's view; the network is shared, see [`Subject::objects`].
pub struct ObjectsAnalyzer {
    /// Who detects.
    pub model: ModelRef,
    /// Least score offered, 0..=1. The detector's own floor is 0.30.
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
            let claims = found
                .iter()
                .filter(|detection| f64::from(detection.score) >= self.min_score)
                .filter_map(|detection| {
                    let claim = Claim {
                        kind: Kind::Object,
                        value: detection.label.to_string(),
                        confidence: Confidence::new(f64::from(detection.score)),
                        region: Some(Region::from_box(detection.bbox, width, height)?),
                    };
                    Some((claim, self.model.clone()))
                })
                .collect();
            Ok(Findings { claims, ..Findings::default() })
        }
        .boxed()
    }
}
