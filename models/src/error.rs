use std::path::PathBuf;

/// What can go wrong between a model file and a prediction.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// ONNX Runtime's shared library is missing, too old or broken.
    #[error("load ONNX Runtime: {reason}")]
    Runtime {
        /// What was tried and what came back.
        reason: String,
    },
    /// A provider that is required cannot be used.
    #[error("use {provider} of {}: {reason}", library.display())]
    Provider {
        /// ONNX Runtime's name of it.
        provider: String,
        /// ONNX Runtime's library.
        library: PathBuf,
        /// ONNX Runtime's own words.
        reason: String,
    },
    /// A manifest, model or label file cannot be read or does not say what it should.
    #[error("read {}: {reason}", path.display())]
    File {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest has no such model, or the model does not do this task.
    #[error("model {model}: {reason}")]
    Model {
        /// The model's id, or the task nobody answers for.
        model: String,
        /// What is missing or contradictory.
        reason: String,
    },
    /// The network refused an input or failed while running.
    #[error("run {model}: {reason}")]
    Inference {
        /// `id@version` of the network.
        model: String,
        /// ONNX Runtime's or Tesseract's own words.
        reason: String,
    },
    /// An input that no network could take: an empty picture, a buffer of the wrong length.
    #[error("invalid input: {0}")]
    Input(String),
}
