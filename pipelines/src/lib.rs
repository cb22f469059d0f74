//! One asset's picture in, its [`Analysis`] out.
//!
//! Pure with respect to the outside world: no files, no network, no wall clock, no environment, no random ids.
//! The same bytes through the same models give the same analysis.

pub mod analysis;
pub mod analyzers;
pub mod asset;
pub mod classes;
pub mod executor;
pub mod identity;
pub mod image;
pub mod pipeline;
pub mod suggestion;
pub mod terms;
pub mod vector;
pub mod vocabulary;

pub use analysis::{Analysis, Failure, FailureKind, Late};
pub use analyzers::AnalyzerId;
pub use asset::{AssetId, Owner};
pub use identity::Fingerprint;
pub use image::{DecodeError, DecodeLimits, Image};
pub use pipeline::Pipeline;
pub use suggestion::{Confidence, Kind, Region, Status, Suggestion, SuggestionId};
pub use vector::{VectorRecord, VectorSpace};
