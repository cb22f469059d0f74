//! The archive's own vocabulary: terms, their labels in each language, and what is broader.
//!
//! Pure data. The ledger keeps it; the files beside this one read and write it in the forms that other programs know.

mod known;
mod term;

pub use known::{Vocabulary, folded};
pub use term::{Label, Language, Note, Role, Term, TermId};
