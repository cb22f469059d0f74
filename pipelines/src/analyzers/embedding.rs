//! The picture's vector, in the space it shares with words.

use docent_models::ModelRef;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::vector::VectorSpace;

/// Offers the image encoder's answer. The network is shared; see [`Subject::embedding`].
pub struct EmbeddingAnalyzer {
    /// The encoder.
    pub model: ModelRef,
}

impl Analyzer for EmbeddingAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Embedding
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            let vector = subject.embedding().await?.map(|embedding| embedding.vector.clone());
            let space = VectorSpace::picture(&self.model);
            Ok(Findings {
                claims: Vec::new(),
                spaces: vec![space.clone()],
                vectors: vector.map(|v| (space, None, v)).into_iter().collect(),
            })
        }
        .boxed()
    }
}
