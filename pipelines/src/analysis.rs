//! What one run over one asset gave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use docent_models::ModelRef;
use serde::{Deserialize, Serialize};

use crate::{AnalyzerId, Suggestion, VectorRecord, VectorSpace};

/// The outcome of some analyzers on one asset. Every analyzer that was asked for is in exactly one of
/// `completed` and `failures`.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// What the completed analyzers say.
    pub suggestions: Vec<Suggestion>,
    /// The embeddings they computed.
    pub vectors: Vec<VectorRecord>,
    /// The spaces in which the completed analyzers answer; `vectors` is all that they have to say there.
    pub spaces: BTreeSet<VectorSpace>,
    /// Analyzers that finished, and the model each used.
    pub completed: BTreeMap<AnalyzerId, ModelRef>,
    /// Analyzers that did not, and why.
    pub failures: Vec<Failure>,
    /// Wall time from the start of the analysis to each analyzer's answer, of a caption that is made later from the start of that.
    /// `decode` is measured by the caller.
    pub timings: BTreeMap<&'static str, Duration>,
}

impl Analysis {
    /// What is left if its vectors cannot be kept: the analyzers that answer in spaces of vectors failed for good,
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

/// Whether trying again is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The surroundings failed; the same asset may work later.
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
