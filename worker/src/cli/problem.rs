//! Errors as a person reads them: the chain once, and what to do.

use super::output::OutputError;
use crate::app::AppError;
use crate::config::ConfigError;
use crate::search::SearchError;
use crate::store::StoreError;
use crate::vectors::IndexError;

/// The error and its causes in one line, each thing said once.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many errors repeat their cause in their own message.
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    super::table::printable(&text)
}

/// What to do about an error.
pub fn hint(error: &anyhow::Error) -> String {
    error.chain().find_map(known).unwrap_or_else(|| {
        "`docent doctor` checks whether everything is in place; -v tells more of what happens".to_owned()
    })
}

/// Whether the reader of stdout has gone away.
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed))
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<Hinted>() {
        return Some(error.hint.clone());
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return Some(error.hint());
    }
    let hint = if let Some(AppError::InUse { .. }) = cause.downcast_ref::<AppError>() {
        "wait until it has finished or stop it; commands that only look, such as `docent status`, work meanwhile"
    } else if let Some(AppError::Refused { .. }) = cause.downcast_ref::<AppError>() {
        "mend that, ingest once more, and do again what failed by then: `docent retry --failed`"
    } else if let Some(error) = cause.downcast_ref::<IndexError>() {
        match error {
            IndexError::Refused { .. } => {
                "check address, key and collections of the server (--vectors, DOCENT_BACKENDS_VECTORS, \
                 DOCENT_BACKENDS_VECTORS_KEY)"
            }
            IndexError::Unavailable { .. } => {
                "check that the server of backends.vectors runs and can be reached; nothing is lost meanwhile"
            }
            IndexError::Unfit { .. } | IndexError::Dimensions { .. } => {
                "`docent vectors list` shows what index and ledger hold of each model"
            }
        }
    } else if let Some(error) = cause.downcast_ref::<StoreError>() {
        match error {
            StoreError::NewerSchema { .. } => "update docent, or choose another folder with --data-dir",
            StoreError::Ambiguous { .. } => "give more digits of the id",
            StoreError::NotFound { .. } => "`docent suggestions` lists suggestions and assets with their ids",
            StoreError::Unavailable { .. } => "`docent doctor` checks the data directory and its free space",
            StoreError::Refused { .. } => {
                "check user, password, database and permissions at the server (--store, DOCENT_BACKENDS_STORE)"
            }
            StoreError::Bug { .. } => "please report it, with the log of `-v`",
            StoreError::Corrupt { .. } => {
                "restore the data directory from a backup, or ingest into a new one"
            }
            _ => return None,
        }
    } else if let Some(error) = cause.downcast_ref::<SearchError>() {
        match error {
            SearchError::NotAnalyzed { .. } => "`docent retry --missing` computes what is missing",
            SearchError::Lost { .. } => "`docent vectors rebuild` fills it from the ledger",
            SearchError::NoModel(_) => "`docent models list` shows the models there are",
            SearchError::Picture(_) => {
                "give a picture in JPEG, PNG, WebP, GIF, TIFF or BMP, or the id of an asset"
            }
            _ => return None,
        }
    } else if let Some(error) = cause.downcast_ref::<docent_models::Error>() {
        match error {
            docent_models::Error::Runtime { .. } => {
                "`make run` in the source folder obtains ONNX Runtime; ORT_DYLIB_PATH names one that is there already"
            }
            docent_models::Error::Provider { .. } => {
                "`docent doctor` shows what the library offers; obtain ONNX Runtime for NVIDIA GPUs with CUDA and cuDNN \
                 (docker/README.md), or list only \"cpu\" in device.providers, or set device.policy = \"preferred\""
            }
            docent_models::Error::File { .. } | docent_models::Error::Model { .. } => {
                "`docent models verify` checks the models; --models-dir says where they lie"
            }
            _ => return None,
        }
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// An error that knows what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// An error with its hint.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_chain_says_each_thing_once() {
        let inner = std::io::Error::other("disk full");
        let error = anyhow::Error::new(inner).context("write x: disk full").context("ingest\n\u{1b}[31m");
        assert_eq!(chain(&error), "ingest\\n\\u{1b}[31m: write x: disk full");
    }

    #[test]
    fn every_error_has_a_hint() {
        let error = anyhow::anyhow!("something").context("else");
        assert!(hint(&error).contains("doctor"));
        let error =
            Err::<(), _>(StoreError::NewerSchema { found: 2, known: 1 }).context("open").expect_err("fails");
        assert!(hint(&error).contains("update docent"));
        assert_eq!(hint(&Hinted::new("a", "do b").into()), "do b");
    }
}
