//! One term.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::asset::{derived_id, is_derived_id};

/// A term's id: 32 lower-case hexadecimal digits. It stays when the term is renamed or moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TermId(String);

/// A language as BCP 47 writes it, in lower case: `en`, `de`, `pt-br`. Empty where a file names none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(String);

/// What a label is for (SKOS: `prefLabel`, `altLabel`, `hiddenLabel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The name. A term has one in each of its languages.
    Preferred,
    /// A synonym.
    Alternative,
    /// Found but never shown: misspellings, and what networks call the thing.
    Hidden,
}

/// A word for a term in one language.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// Its language.
    #[serde(default, skip_serializing_if = "Language::is_none")]
    pub language: Language,
    /// What it is for.
    pub role: Role,
    /// The word. 1 to [`Label::MAX_CHARS`] characters, no control characters, no space around it.
    pub text: String,
}

/// A scope note: what the term is for, and what it is not for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// Its language.
    #[serde(default, skip_serializing_if = "Language::is_none")]
    pub language: Language,
    /// The note.
    pub text: String,
}

/// One term of the vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Its id.
    pub id: TermId,
    /// The concept's address in a public thesaurus, or one of the archive's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its code in a classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notation: Option<String>,
    /// What is broader; several are allowed, none is a top term.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<TermId>,
    /// Its words. At least one is preferred.
    pub labels: Vec<Label>,
    /// Its scope notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Sentences that describe a picture of it, for matching by meaning. If there are none, they are made of its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// From which probability on it is offered, 0..=1; `None` for the space's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether it is offered. A term that is off is still known, and its decisions stand.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// It only groups others and is never a tag itself (Lightroom: `[category]`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub heading: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(enabled: &bool) -> bool {
    *enabled
}

impl Term {
    /// A term that is on and says nothing yet but its name.
    pub fn named(id: TermId, language: Language, name: &str) -> Self {
        let label = Label { language, role: Role::Preferred, text: name.to_owned() };
        Self {
            id,
            uri: None,
            notation: None,
            parents: Vec::new(),
            labels: vec![label],
            notes: Vec::new(),
            prompts: Vec::new(),
            threshold: None,
            enabled: true,
            heading: false,
        }
    }

    /// Its name: the preferred label in `language`, or else in English, without a language, or in any.
    pub fn name(&self, language: &Language) -> &str {
        let preferred = || self.labels.iter().filter(|label| label.role == Role::Preferred);
        let of = |wanted: &str| preferred().find(|label| label.language.as_str() == wanted);
        of(language.as_str())
            .or_else(|| of("en"))
            .or_else(|| of(""))
            .or_else(|| preferred().next())
            .or(self.labels.first())
            .map_or("", |label| &label.text)
    }
}

impl Label {
    /// No label is longer.
    pub const MAX_CHARS: usize = 500;
}

impl TermId {
    /// An id for a new term, derived from what tells it from all others: its address, or the path of its names.
    pub fn derived(parts: &[&str]) -> Self {
        Self(derived_id(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>()))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TermId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TermId> for String {
    fn from(id: TermId) -> Self {
        id.0
    }
}

impl TryFrom<String> for TermId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_derived_id(&text) {
            Ok(Self(text))
        } else {
            Err(format!("'{text}' is not a term's id (32 hexadecimal digits)"))
        }
    }
}

impl Language {
    /// The language that files name nowhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether none is named.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// As BCP 47 writes it, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.0
    }
}

impl TryFrom<String> for Language {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let part =
            |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        if lower.is_empty() || (lower.len() <= 35 && lower.split('-').all(part)) {
            Ok(Self(lower))
        } else {
            Err(format!("'{text}' is not a language (such as en, de or pt-BR)"))
        }
    }
}
