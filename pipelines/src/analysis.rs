//! The result of one run over one asset.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use docent_models::ModelRef;
use serde::{Deserialize, Serialize};

use crate::{AnalyzerId, Suggestion, VectorRecord, VectorSpace};

/// The outcome of some analyzers on one asset. Each requested analyzer is in exactly one of `completed` and `failures`.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// What the completed analyzers say.
    pub suggestions: Vec<Suggestion>,
    /// The embeddings they computed.
    pub vectors: Vec<VectorRecord>,
    /// The spaces of the completed analyzers' vectors; `vectors` holds all of their vectors in these spaces.
    pub spaces: BTreeSet<VectorSpace>,
    /// Analyzers that finished, and the model each used.
    pub completed: BTreeMap<AnalyzerId, ModelRef>,
    /// Analyzers that failed, and why.
    pub failures: Vec<Failure>,
    /// The failures that are a matter of time.
    pub late: BTreeMap<AnalyzerId, Late>,
    /// Wall time from the start of the analysis to each analyzer's answer. The time of a later caption starts with that caption.
    /// The caller measures `decode`.
    pub timings: BTreeMap<&'static str, Duration>,
}

impl Analysis {
    /// The analysis without its vectors, for an index that refuses them: the analyzers that answer with vectors fail for good,
    /// for `reason`.
    pub fn without_vectors(mut self, reason: &str) -> Self {
        let spaces: BTreeSet<VectorSpace> =
            self.spaces.iter().chain(self.vectors.iter().map(|vector| &vector.space)).cloned().collect();
        for space in spaces {
            let analyzer = if space.is_of_parts() { AnalyzerId::Faces } else { AnalyzerId::Embedding };
            if self.completed.remove(&analyzer).is_some() {
                let (kind, reason) = (FailureKind::Permanent, reason.to_owned());
                self.failures.push(Failure { analyzer, kind, reason });
                self.suggestions.retain(|suggestion| suggestion.analyzer != analyzer);
            }
        }
        self.vectors.clear();
        self.spaces.clear();
        self
    }
}

/// How a failure depends on time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// A step took longer than this limit and may still continue.
    Overdue(Duration),
    /// It had no turn, because other calls of its network do not end. This says nothing about the picture.
    Starved,
}

/// Why an analyzer gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which analyzer.
    pub analyzer: AnalyzerId,
    /// Whether the same attempt may succeed later.
    pub kind: FailureKind,
    /// For people: the operation, the thing and the cause.
    pub reason: String,
}

/// Whether another attempt can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Something outside the asset failed; the same asset may work later.
    Transient,
    /// The asset itself cannot be analyzed; only a person's `retry` tries again.
    Permanent,
}

impl FailureKind {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::ContentHash;

    #[test]
    fn what_needs_no_vectors_stays() {
        let (tagger, joint) = (ModelRef::new("tagger", "1"), ModelRef::new("joint", "1"));
        let space = VectorSpace::picture(&joint);
        let asset = ContentHash::of(b"a").asset_id();
        let analysis = Analysis {
            vectors: vec![VectorRecord::new(asset, space.clone(), None, vec![1.0])],
            spaces: [space].into(),
            completed: [(AnalyzerId::Tags, tagger), (AnalyzerId::Embedding, joint)].into(),
            ..Analysis::default()
        };
        let left = analysis.without_vectors("full");
        assert_eq!(left.completed.keys().copied().collect::<Vec<_>>(), [AnalyzerId::Tags]);
        assert_eq!(
            (left.failures[0].analyzer, left.failures[0].kind),
            (AnalyzerId::Embedding, FailureKind::Permanent)
        );
        assert_eq!(left.failures[0].reason, "full");
        assert!(left.vectors.is_empty() && left.spaces.is_empty());
    }
}
