//! The analyzers: each turns one upright picture into suggestions and vectors.

mod agreement;
mod caption;
mod embedding;
mod faces;
mod objects;
mod subject;
mod tags;
mod text;

use std::fmt;
use std::str::FromStr;

pub use agreement::Thresholds;
pub use caption::{CaptionAnalyzer, CaptionRule};
use docent_models::ModelRef;
pub use embedding::EmbeddingAnalyzer;
pub use faces::{FaceRule, FacesAnalyzer};
use futures_util::future::BoxFuture;
pub use objects::ObjectsAnalyzer;
use serde::{Deserialize, Serialize};
pub use subject::{Limits, SharedNetworks, Subject, Tagger};
pub use tags::TagsAnalyzer;
pub use text::{Languages, TextAnalyzer, TextEngine, TextNetworks, TextRule};

use crate::executor::ExecutorError;
use crate::suggestion::{Claim, Region};
use crate::vector::VectorSpace;

/// Turns one upright picture into findings.
pub trait Analyzer: Send + Sync {
    /// Its unit of work in the ledger.
    fn id(&self) -> AnalyzerId;

    /// Analyzes one picture. Several analyzers work on the same subject side by side.
    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>>;
}

/// What one analyzer found in one picture.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Claims, each with the model that makes it.
    pub claims: Vec<(Claim, ModelRef)>,
    /// Embeddings: their space, the part of the picture they describe, the values.
    pub vectors: Vec<(VectorSpace, Option<Region>, Vec<f32>)>,
    /// The spaces of its embeddings, even if it found none.
    pub spaces: Vec<VectorSpace>,
}

/// Why an analyzer gave no findings.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AnalyzerError {
    /// A network gave no answer.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The picture could not be made into an input.
    #[error("prepare the picture: {0}")]
    Prepare(String),
}

impl From<docent_models::Error> for AnalyzerError {
    fn from(error: docent_models::Error) -> Self {
        Self::Prepare(error.to_string())
    }
}

/// Which analyzer; the unit of work in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnalyzerId {
    /// Bytes to pixels. It is not a choice: all others need it.
    Decode,
    /// Words for the whole picture.
    Tags,
    /// Things and where they are.
    Objects,
    /// Faces, their vectors and, where enabled, their emotion.
    Faces,
    /// Text in the picture.
    Text,
    /// One sentence for the whole picture.
    Caption,
    /// The picture's vector for search.
    Embedding,
    /// The vocabulary's terms, from the picture's vector. It is not a choice: it works on what the ledger holds, and has no
    /// work of its own there.
    Terms,
    /// What was accepted of the picture that was at the same place before it was edited. It is not a choice: nothing is analyzed.
    Predecessor,
}

impl AnalyzerId {
    /// The analyzers a user can choose, in the order they are shown.
    pub const CHOICES: [Self; 6] =
        [Self::Tags, Self::Objects, Self::Faces, Self::Text, Self::Caption, Self::Embedding];

    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Tags => "tags",
            Self::Objects => "objects",
            Self::Faces => "faces",
            Self::Text => "text",
            Self::Caption => "caption",
            Self::Embedding => "embedding",
            Self::Terms => "terms",
            Self::Predecessor => "predecessor",
        }
    }
}

impl fmt::Display for AnalyzerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AnalyzerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::CHOICES
            .into_iter()
            .chain([Self::Decode, Self::Terms, Self::Predecessor])
            .find(|id| id.as_str() == text)
            .ok_or_else(|| {
                format!("'{text}' is not an analyzer (tags, objects, faces, text, caption, embedding)")
            })
    }
}
