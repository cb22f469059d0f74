//! Errors as a person reads them: the chain once, and what to do.

use super::output::OutputError;
use crate::app::AppError;
use crate::app::backup::BackupError;
use crate::config::{ConfigError, Servers};
use crate::forget::ForgetError;
use crate::queue::QueueError;
use crate::search::{SearchError, Unasked};
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

/// What to do about an error; it names the server that is concerned.
pub fn hint(error: &anyhow::Error, servers: &Servers) -> String {
    let what = |cause| {
        let cause = inside(cause);
        of_server(cause, servers).or_else(|| known(cause))
    };
    error.chain().find_map(what).unwrap_or_else(|| {
        "`docent doctor` checks whether everything is in place; -v tells more of what happens".to_owned()
    })
}

/// The error that stands behind one that passes it on as its own: it is in no chain.
fn inside<'a>(cause: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    match cause.downcast_ref::<SearchError>() {
        Some(SearchError::Index(error)) => error,
        Some(SearchError::Store(error)) => error,
        _ => cause,
    }
}

/// Whether the reader of stdout has gone away.
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed))
}

/// What to do about an error of ledger, queue or index, which may be servers or lie in the data directory.
fn of_server(cause: &(dyn std::error::Error + 'static), servers: &Servers) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        const OPTION: &str = "(--store, DOCENT_BACKENDS_STORE)";
        return Some(match (error, &servers.store) {
            (StoreError::Unavailable { .. }, Some(server)) => away("PostgreSQL", server, OPTION),
            (StoreError::Unavailable { .. }, None) => {
                "`docent doctor` checks the data directory and its free space".to_owned()
            }
            (StoreError::Contended { .. }, _) => {
                "the same command again; others write to the ledger at the same time".to_owned()
            }
            (StoreError::Refused { .. }, Some(server)) => {
                format!("check user, password, database and permissions at {server} {OPTION}")
            }
            (StoreError::Encoding { .. }, Some(server)) => format!(
                "make another database, with `create database docent encoding 'UTF8' template template0`, and name it \
                 instead of {server} {OPTION}"
            ),
            (StoreError::NewerSchema { .. }, Some(server)) => {
                format!("update docent, or choose another database than {server} {OPTION}")
            }
            (StoreError::NewerSchema { .. }, None) => {
                "update docent, or choose another folder with --data-dir".to_owned()
            }
            (StoreError::Corrupt { .. }, Some(server)) => {
                format!("restore the database at {server} from a backup")
            }
            (StoreError::Corrupt { .. }, None) => {
                "restore the data directory from a backup, or ingest into a new one".to_owned()
            }
            (StoreError::Unfit { .. }, _) => {
                "only this value is concerned, and everything else goes on; please report what it is"
                    .to_owned()
            }
            _ => return None,
        });
    }
    if let (Some(error), Some(server)) = (cause.downcast_ref::<QueueError>(), &servers.queue) {
        const OPTION: &str = "(--queue, DOCENT_BACKENDS_QUEUE)";
        return Some(match error {
            QueueError::Unavailable { .. } => away("RabbitMQ", server, OPTION),
            QueueError::Unusable { .. } => {
                format!("check what {server} has and what it lets this user do {OPTION}")
            }
            QueueError::NotInFlight(_) => return None,
        });
    }
    if let (Some(error), Some(server)) = (cause.downcast_ref::<IndexError>(), &servers.vectors) {
        const OPTION: &str = "(--vectors, DOCENT_BACKENDS_VECTORS; its key is DOCENT_BACKENDS_VECTORS_KEY)";
        return match error {
            IndexError::Unavailable { .. } => Some(away("Qdrant", server, OPTION)),
            IndexError::Refused { .. } => Some(format!("check key and collections of {server} {OPTION}")),
            _ => None,
        };
    }
    None
}

fn away(name: &str, server: &str, option: &str) -> String {
    format!(
        "is {name} running at {server}, and can this machine reach it? {option}; `docent doctor` asks every server"
    )
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<Hinted>() {
        return Some(error.hint.clone());
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return Some(error.hint());
    }
    let hint = if let Some(AppError::InUse { .. }) = cause.downcast_ref::<AppError>() {
        "one `docent serve` or `docent worker` at a time: stop the other one, or serve the page alone with --no-worker; \
         `docent ingest` and all other commands work beside it"
    } else if let Some(AppError::NotEnabled { .. }) = cause.downcast_ref::<AppError>() {
        "stop that one and run this again, or enable the analyzer (`analyzers.enabled`) and start it again"
    } else if let Some(AppError::Refused { .. }) = cause.downcast_ref::<AppError>() {
        "mend that, ingest once more, and do again what failed by then: `docent retry --failed`"
    } else if let Some(ForgetError::File { .. }) = cause.downcast_ref::<ForgetError>() {
        "everything else is forgotten; give the user that runs docent the right to remove the file, and run \
         `docent forget --go-on`"
    } else if let Some(error) = cause.downcast_ref::<BackupError>() {
        match error {
            BackupError::OnServer => "use pg_dump and pg_restore",
            BackupError::NoLedger(_) => "name the data directory with --data-dir",
            BackupError::Occupied(_) => "--replace sets it aside",
            BackupError::Exists(_) => "name another file, or remove that one",
        }
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
            StoreError::Ambiguous { .. } => "give more digits of the id",
            StoreError::NotFound { .. } => "`docent suggestions` lists suggestions and assets with their ids",
            StoreError::Conflict { .. } => "`docent history` shows who decided what",
            StoreError::Forgotten { .. } => "`docent forget --readmit` lets a forgotten picture in again",
            StoreError::Refused { .. } => {
                "give the user that runs docent the right to read and write the data directory"
            }
            StoreError::Bug { .. } => "please report it, with the log of `-v`",
            _ => return None,
        }
    } else if let Some(error) = cause.downcast_ref::<SearchError>() {
        match error {
            SearchError::NotAnalyzed { .. } => "`docent retry --missing` computes what is missing",
            SearchError::Lost { .. } => "`docent vectors rebuild` fills it from the ledger",
            SearchError::Unasked(Unasked::Nothing) => {
                "say which words, as in docent search --text \"grand hotel\""
            }
            SearchError::Unasked(Unasked::TooMuch) => "look for fewer words, those that are rare",
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
        let none = Servers::default();
        assert!(hint(&error, &none).contains("doctor"));
        let error =
            Err::<(), _>(StoreError::NewerSchema { found: 2, known: 1 }).context("open").expect_err("fails");
        assert!(hint(&error, &none).contains("update docent"));
        assert_eq!(hint(&Hinted::new("a", "do b").into(), &none), "do b");
    }

    #[test]
    fn hints_name_the_server_and_not_the_data_directory() {
        let servers = Servers {
            queue: Some("amqp://mq/%2f".to_owned()),
            store: Some("postgres://db/docent".to_owned()),
            vectors: Some("http://qdrant:6334".to_owned()),
        };
        let cause = || anyhow::anyhow!("connection refused");
        let store = StoreError::Unavailable { operation: "connect", source: cause() };
        let refused = StoreError::Refused { operation: "connect", source: cause() };
        let newer = StoreError::NewerSchema { found: 2, known: 1 };
        let corrupt = StoreError::Corrupt { what: "row", reason: "x".to_owned() };
        for error in [store, refused, newer, corrupt] {
            let words = hint(&anyhow::Error::new(error).context("open"), &servers);
            assert!(words.contains("postgres://db/docent") && !words.contains("data directory"), "{words}");
        }
        let queue = QueueError::Unavailable { operation: "connect", source: cause() };
        assert!(hint(&queue.into(), &servers).contains("amqp://mq/%2f"));
        let index = IndexError::Unavailable { operation: "search", source: cause() };
        assert!(hint(&SearchError::Index(index).into(), &servers).contains("http://qdrant:6334"));
        let index = IndexError::Refused { operation: "search", source: cause() };
        assert!(hint(&index.into(), &servers).contains("key and collections of http://qdrant:6334"));
        let store = StoreError::Unavailable { operation: "connect", source: cause() };
        assert!(hint(&store.into(), &Servers::default()).contains("data directory"));
    }
}
