//! Pixels and words in, typed predictions out.
//!
//! This crate knows ONNX Runtime and Tesseract and nothing else of docent: no queue, no SQL, no HTTP, no async.
//! A [`Network`] is one loaded model that answers batches; everything around it (threads, inboxes, which answer
//! becomes a suggestion) lives in `docent-pipelines`.

mod buffer;
pub mod captioning;
pub mod embedding;
pub mod emotion;
mod error;
pub mod faces;
pub mod geometry;
pub mod manifest;
mod network;
pub mod objects;
pub mod ocr;
pub mod pixels;
pub mod session;
pub mod tagging;

pub use error::Error;
pub use geometry::BoundingBox;
pub use manifest::{ModelRef, Pack, Task};
pub use network::Network;
pub use pixels::{InputSpec, Picture, Prepared, Tensor};
