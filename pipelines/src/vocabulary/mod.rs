//! The archive's own vocabulary: terms, their labels in each language, and what is broader.
//!
//! Pure data. The ledger keeps it; the files beside this one read and write it in the forms that other programs know:
//! [`read`] makes a [`Draft`] of a file's bytes, [`plan`] says what the draft changes in a vocabulary, and [`write()`]
//! makes a file of terms. No file, however damaged, does more than cause a [`VocabularyError`].

mod draft;
mod edit;
mod error;
mod format;
mod import;
mod json;
mod keywords;
mod known;
mod limits;
mod loss;
mod refer;
mod skos;
mod starter;
mod table;
mod term;
#[cfg(test)]
mod tests;
mod text;
mod tidy;

pub use draft::{Carries, Draft, DraftTerm, Noted};
pub use error::VocabularyError;
pub use format::{Format, read, write};
pub use import::{Change, How, check_terms, plan};
pub use known::{TermState, Vocabulary, folded};
pub use limits::{
    MAX_BYTES, MAX_DEPTH, MAX_LABELS, MAX_NOTATION_CHARS, MAX_NOTE_CHARS, MAX_NOTES, MAX_PARENTS,
    MAX_PROMPT_CHARS, MAX_PROMPTS, MAX_TERMS, MAX_URI_CHARS,
};
pub use loss::{Loss, Written};
pub use starter::starter;
pub use term::{Label, Language, Note, Role, Term, TermId};
