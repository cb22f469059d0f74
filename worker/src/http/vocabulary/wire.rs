//! The API's words for terms.

use docent_pipelines::vocabulary::{self, Language, Role, Term, TermId, Vocabulary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::{ApiError, wire};
use crate::store::TermEntry;

/// What a word is for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelRole {
    /// The name. A term has one in each of its languages.
    Preferred,
    /// A synonym.
    Alternative,
    /// Found but never shown.
    Hidden,
}

/// A word for a term in one language.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermLabel {
    /// Its language as BCP 47 writes it; empty where none is named.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*)?$", max_length = 35)]
    language: String,
    /// What it is for.
    role: LabelRole,
    /// The word.
    #[schema(min_length = 1, max_length = 500)]
    text: String,
}

/// What a term is for, and what it is not for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermNote {
    /// Its language as BCP 47 writes it; empty where none is named.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8})*)?$", max_length = 35)]
    language: String,
    /// The note.
    #[schema(max_length = 10_000)]
    text: String,
}

/// A term, without its id. What is left out is empty: this replaces all that was known of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermBody {
    /// The concept's address in a public thesaurus, or one of the archive's own.
    uri: Option<String>,
    /// Its code in a classification.
    notation: Option<String>,
    /// The ids of what is broader; none for a top term.
    #[serde(default)]
    parents: Vec<String>,
    /// Its words. At least one is preferred, and at most one in each language.
    labels: Vec<TermLabel>,
    /// Its scope notes.
    #[serde(default)]
    notes: Vec<TermNote>,
    /// Sentences that describe a picture of it. If there are none, they are made of its labels.
    #[serde(default)]
    prompts: Vec<String>,
    /// From which probability on it is offered; the space's own default where not given.
    #[schema(minimum = 0, maximum = 1)]
    threshold: Option<f64>,
    /// Whether it is offered.
    #[serde(default = "yes")]
    enabled: bool,
    /// Whether it only groups others and is never a tag itself.
    #[serde(default)]
    heading: bool,
    /// The vocabulary's revision that was seen: if it has another one, nothing is changed.
    #[serde(default, deserialize_with = "wire::whole")]
    pub revision: Option<i64>,
}

fn yes() -> bool {
    true
}

/// A term of the vocabulary.
#[derive(Debug, Serialize, ToSchema)]
pub struct VocabularyTerm {
    /// 32 hexadecimal digits. It stays when the term is renamed or moved.
    id: String,
    /// The concept's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// Its code in a classification.
    #[serde(skip_serializing_if = "Option::is_none")]
    notation: Option<String>,
    /// The ids of what is broader.
    parents: Vec<String>,
    /// Its words.
    labels: Vec<TermLabel>,
    /// Its scope notes.
    notes: Vec<TermNote>,
    /// Sentences that describe a picture of it.
    prompts: Vec<String>,
    /// From which probability on it is offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// Whether it is offered.
    enabled: bool,
    /// Whether it only groups others.
    heading: bool,
}

/// A term where another one is spoken of.
#[derive(Debug, Serialize, ToSchema)]
pub struct TermName {
    /// Its id.
    id: String,
    /// Its name in the vocabulary's language.
    name: String,
    /// The names from a top term down to it.
    path: String,
}

/// A term in a listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct TermRow {
    /// Its id.
    id: String,
    /// Its name in the vocabulary's language.
    name: String,
    /// The names from a top term down to it, by its first broader terms.
    path: String,
    /// Its words.
    labels: Vec<TermLabel>,
    /// How many terms are directly below it.
    children: u64,
    /// Whether it is offered.
    enabled: bool,
    /// Whether it only groups others.
    heading: bool,
    /// The concept's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// Where the rule comes from by which it is told from pictures: `prompts`, `head` or `decisions`; missing if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A term and what is around it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TermDetail {
    /// The vocabulary's revision: give it when the term is changed.
    revision: i64,
    /// The term.
    term: VocabularyTerm,
    /// Its name in the vocabulary's language.
    name: String,
    /// The names from a top term down to it.
    path: String,
    /// What is directly above it.
    broader: Vec<TermName>,
    /// What is directly below it, at most 100.
    narrower: Vec<TermName>,
    /// How many terms are directly below it.
    children: u64,
    /// Where the rule comes from by which it is told from pictures; missing if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An entry of the vocabulary's log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEntry {
    /// Its number.
    id: i64,
    /// The revision that it led to.
    revision: i64,
    /// RFC 3339.
    at: String,
    /// The person.
    reviewer: String,
    /// `cli`, `web`, `api`, or `starter` for what an archive begins with.
    client: String,
    /// `add`, `change`, `merge` or `remove`.
    action: String,
    /// The term's id.
    term: String,
    /// The term as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<VocabularyTerm>,
    /// The term as it is; of a merge, the term that stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<VocabularyTerm>,
}

impl From<Role> for LabelRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Preferred => Self::Preferred,
            Role::Alternative => Self::Alternative,
            Role::Hidden => Self::Hidden,
        }
    }
}

impl From<LabelRole> for Role {
    fn from(role: LabelRole) -> Self {
        match role {
            LabelRole::Preferred => Self::Preferred,
            LabelRole::Alternative => Self::Alternative,
            LabelRole::Hidden => Self::Hidden,
        }
    }
}

impl From<vocabulary::Label> for TermLabel {
    fn from(label: vocabulary::Label) -> Self {
        Self { language: label.language.into(), role: label.role.into(), text: label.text }
    }
}

impl From<vocabulary::Note> for TermNote {
    fn from(note: vocabulary::Note) -> Self {
        Self { language: note.language.into(), text: note.text }
    }
}

impl From<Term> for VocabularyTerm {
    fn from(term: Term) -> Self {
        Self {
            id: term.id.into(),
            uri: term.uri,
            notation: term.notation,
            parents: term.parents.into_iter().map(Into::into).collect(),
            labels: term.labels.into_iter().map(Into::into).collect(),
            notes: term.notes.into_iter().map(Into::into).collect(),
            prompts: term.prompts,
            threshold: term.threshold,
            enabled: term.enabled,
            heading: term.heading,
        }
    }
}

impl From<TermEntry> for LogEntry {
    fn from(entry: TermEntry) -> Self {
        Self {
            id: entry.id,
            revision: entry.revision,
            at: entry.at,
            reviewer: entry.reviewer,
            client: entry.client,
            action: entry.action,
            term: entry.term.into(),
            before: entry.before.map(Into::into),
            after: entry.after.map(Into::into),
        }
    }
}

impl TermName {
    fn of(known: &Vocabulary, term: &Term) -> Self {
        Self { id: term.id.clone().into(), name: known.tag(term).to_owned(), path: known.path(term) }
    }
}

impl TermRow {
    /// A term without the source of its rule.
    pub fn of(known: &Vocabulary, term: &Term) -> Self {
        Self {
            id: term.id.clone().into(),
            name: known.tag(term).to_owned(),
            path: known.path(term),
            labels: term.labels.iter().cloned().map(Into::into).collect(),
            children: known.children(&term.id).count() as u64,
            enabled: term.enabled,
            heading: term.heading,
            uri: term.uri.clone(),
            source: None,
        }
    }
}

/// Narrower terms that are told with a term.
const NARROWER: usize = 100;

impl TermDetail {
    /// A term without the source of its rule; `below` are the terms below it, in their order.
    pub fn of(known: &Vocabulary, term: &Term, below: &[&Term]) -> Self {
        let name = |term: &Term| TermName::of(known, term);
        Self {
            revision: known.revision,
            name: known.tag(term).to_owned(),
            path: known.path(term),
            broader: term.parents.iter().filter_map(|id| known.term(id)).map(name).collect(),
            narrower: below.iter().take(NARROWER).map(|term| name(term)).collect(),
            children: below.len() as u64,
            source: None,
            term: term.clone().into(),
        }
    }
}

fn language(text: String) -> Result<Language, ApiError> {
    if text.trim() != text {
        return Err(ApiError::Invalid(format!("'{text}' is not a language (such as en, de or pt-BR)")));
    }
    wire::id(text)
}

impl TermBody {
    /// The term, called `id`.
    pub fn into_term(self, id: TermId) -> Result<Term, ApiError> {
        let label = |label: TermLabel| {
            Ok(vocabulary::Label {
                language: language(label.language)?,
                role: label.role.into(),
                text: label.text,
            })
        };
        let note =
            |note: TermNote| Ok(vocabulary::Note { language: language(note.language)?, text: note.text });
        if let Some(threshold) = self.threshold {
            wire::confidence(threshold)?;
        }
        Ok(Term {
            id,
            uri: self.uri,
            notation: self.notation,
            parents: self.parents.into_iter().map(wire::id).collect::<Result<_, ApiError>>()?,
            labels: self.labels.into_iter().map(label).collect::<Result<_, ApiError>>()?,
            notes: self.notes.into_iter().map(note).collect::<Result<_, ApiError>>()?,
            prompts: self.prompts,
            threshold: self.threshold,
            enabled: self.enabled,
            heading: self.heading,
        })
    }
}
