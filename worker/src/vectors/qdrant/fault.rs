//! What an answer of the server means. The only place that reads codes of gRPC.
//!
//! | it means | then | codes |
//! |---|---|---|
//! | unavailable | wait, and ask again | UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, no connection, all others |
//! | stumbled | ask again at once, a few times | INTERNAL: also while a collection is made or dropped |
//! | missing | there is nothing | NOT_FOUND |
//! | there already | look at it | ALREADY_EXISTS |
//! | unfit | this record fails for good, with the reason | INVALID_ARGUMENT, "Wrong input" |
//! | refused | tell a person; waiting does not help | UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, other INVALID_ARGUMENT |

use crate::vectors::IndexError;

/// The longest text taken over from the server, in characters.
const MAX_TEXT: usize = 500;

/// A call that failed. The text holds nothing that is secret.
#[derive(Debug)]
pub(super) struct Failure {
    meaning: Meaning,
    text: String,
}

/// What a failure means; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Unavailable,
    Stumbled,
    Missing,
    ThereAlready,
    Unfit,
    Refused,
}

/// See "Status codes and their use in gRPC". `message` is the server's.
pub(super) fn of_code(code: i32, message: &str) -> Meaning {
    match code {
        // INVALID_ARGUMENT, OUT_OF_RANGE. Qdrant says "Wrong input" of what it was given, and "Bad request" of what its
        // limits forbid.
        3 | 11 if message.starts_with("Wrong input") => Meaning::Unfit,
        3 | 11 => Meaning::Refused,
        5 => Meaning::Missing,
        6 => Meaning::ThereAlready,
        // PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED.
        7 | 12 | 16 => Meaning::Refused,
        13 => Meaning::Stumbled,
        _ => Meaning::Unavailable,
    }
}

impl Failure {
    pub(super) fn new(meaning: Meaning, text: impl AsRef<str>) -> Self {
        Self { meaning, text: text.as_ref().chars().take(MAX_TEXT).collect() }
    }

    /// A failure that may pass.
    pub(super) fn unavailable(text: impl AsRef<str>) -> Self {
        Self::new(Meaning::Unavailable, text)
    }

    /// A failure that somebody has to mend.
    pub(super) fn refused(text: impl AsRef<str>) -> Self {
        Self::new(Meaning::Refused, text)
    }

    /// A failure of one record.
    pub(super) fn unfit(text: impl AsRef<str>) -> Self {
        Self::new(Meaning::Unfit, text)
    }

    /// The collection does not exist.
    pub(super) fn is_missing(&self) -> bool {
        self.meaning == Meaning::Missing
    }

    /// The collection exists, although it was to be created.
    pub(super) fn is_there_already(&self) -> bool {
        self.meaning == Meaning::ThereAlready
    }

    /// The server could not do what it should be able to do.
    pub(super) fn is_stumble(&self) -> bool {
        self.meaning == Meaning::Stumbled
    }

    /// What was sent does not fit the collection.
    pub(super) fn is_unfit(&self) -> bool {
        self.meaning == Meaning::Unfit
    }

    /// What callers of the index are told.
    pub(super) fn during(self, operation: &'static str) -> IndexError {
        match self.meaning {
            Meaning::Refused => IndexError::Refused { operation, source: anyhow::anyhow!(self.text) },
            Meaning::Unfit => IndexError::Unfit { operation, reason: self.text },
            _ => IndexError::Unavailable { operation, source: anyhow::anyhow!(self.text) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_server_does_with_them() {
        for (code, message, meant) in [
            (14, "the server is starting", Meaning::Unavailable),
            (4, "Timeout: Operation 'search' timed out after 10s", Meaning::Unavailable),
            (8, "Rate limiting exceeded: Write rate limit exceeded", Meaning::Unavailable),
            (9, "Storage locked: backup", Meaning::Unavailable),
            (2, "transport error", Meaning::Unavailable),
            (13, "Service internal error: task panicked", Meaning::Stumbled),
            (5, "Not found: Collection `a` doesn't exist!", Meaning::Missing),
            (6, "Wrong input: Collection `a` already exists!", Meaning::ThereAlready),
            (16, "Invalid API key or JWT", Meaning::Refused),
            (7, "Forbidden: Global write access is required", Meaning::Refused),
            (12, "", Meaning::Refused),
            (3, "Bad request: Limit exceeded 256 > 10 for \"upsert limit\"", Meaning::Refused),
            (3, "Validation error in body: [collection_name: too long]", Meaning::Refused),
            (3, "Wrong input: Vector dimension error: expected dim: 3, got 5", Meaning::Unfit),
        ] {
            assert_eq!(of_code(code, message), meant, "{code}, {message}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let error = Failure::refused("ä".repeat(10_000)).during("test");
        assert_eq!(error.sentence().chars().filter(|c| *c == 'ä').count(), MAX_TEXT);
    }
}
