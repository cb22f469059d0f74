//! Why a vocabulary cannot be read, planned or written.

use std::fmt;

/// What is wrong, where it is, and what helps: `line 17: the term 'Hund' is broader than itself; take one of the two away`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VocabularyError {
    /// The line of the file, from 1. `None` for what concerns the whole file, or no file.
    pub line: Option<u64>,
    /// What is wrong, in lower case, without a full stop.
    pub reason: String,
    /// What a person does about it.
    pub next: String,
}

impl VocabularyError {
    /// Something wrong with the whole.
    pub(super) fn whole(reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into(), next: next.into() }
    }

    /// Something wrong in one line. Line 0 stands for no line.
    pub(super) fn at(line: u64, reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self { line: (line > 0).then_some(line), reason: reason.into(), next: next.into() }
    }
}

impl fmt::Display for VocabularyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.reason, self.next)
    }
}

impl std::error::Error for VocabularyError {}

/// A text short enough for a message.
pub(super) fn shown(text: &str) -> String {
    cut(text, 80)
}

/// What a parser says, as a reason: in lower case, without a full stop, and not longer than a person reads.
pub(super) fn parser_said(message: &str) -> String {
    let message = cut(message.trim().trim_end_matches('.'), 300);
    let mut chars = message.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_ascii_uppercase() && second.is_ascii_lowercase() => {
            format!("{}{}", first.to_ascii_lowercase(), &message[1..])
        }
        _ => message,
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
