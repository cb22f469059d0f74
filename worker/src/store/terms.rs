//! The vocabulary in the ledger, what follows from its changes, and how far each term was applied.

use std::sync::Arc;

use async_trait::async_trait;
use docent_pipelines::vocabulary::{Change, Language, Term, TermId, Vocabulary};
use docent_pipelines::{AssetId, Suggestion, VectorSpace};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Page, Paged, Reviewer, StoreError};

/// A change of one term.
#[derive(Debug, Clone, PartialEq)]
pub enum TermChange {
    /// Adds it, or replaces what is known of it.
    Put(Box<Term>),
    /// Takes it out of the vocabulary. What was decided stays decided, as a tag that is in no vocabulary.
    Remove(TermId),
    /// Takes it out, and gives its words, what is below it and what was decided to another term.
    Merge {
        /// What goes.
        from: TermId,
        /// What stays.
        into: TermId,
    },
}

impl From<Change> for TermChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Add(term) | Change::Update { after: term, .. } => Self::Put(Box::new(term)),
            Change::Remove(term) => Self::Remove(term.id),
        }
    }
}

/// What changes did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The vocabulary's revision afterwards.
    pub revision: i64,
    /// Terms that are new.
    pub added: u64,
    /// Terms that are not as they were.
    pub changed: u64,
    /// Terms that are gone.
    pub removed: u64,
}

/// An entry of the vocabulary's log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermEntry {
    /// Its number.
    pub id: i64,
    /// The revision that it led to.
    pub revision: i64,
    /// RFC 3339.
    pub at: String,
    /// The person.
    pub reviewer: String,
    /// Through what.
    pub client: String,
    /// `add`, `change`, `merge` or `remove`.
    pub action: String,
    /// The term.
    pub term: TermId,
    /// As it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Term>,
    /// As it is; of a merge, the term that stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Term>,
}

/// How a term is told from a picture's vector: with the probability 1 / (1 + exp(-(weights · vector + bias))).
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRule {
    /// The term.
    pub term: TermId,
    /// Changes with everything that the rule depends on.
    pub print: String,
    /// Where it came from: `prompts`, `head` or `decisions`.
    pub source: String,
    /// One for each value of a vector.
    pub weights: Vec<f32>,
    /// Added to the product.
    pub bias: f64,
    /// From this probability on the term is offered, 0..=1.
    pub least: f64,
    /// The number of the last vector it was applied to. What is written with a rule is 0.
    pub applied: i64,
}

/// How far the terms of a space are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Terms with a rule.
    pub terms: u64,
    /// Those that were not applied to the newest vector.
    pub behind: u64,
    /// The number that those furthest behind were applied up to; `None` if none is behind.
    pub from: Option<i64>,
    /// The number that the next ones were applied up to.
    pub until: Option<i64>,
}

/// What some terms say of some vectors, which follow each other in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct MatchedPortion<'a> {
    /// The space of the vectors.
    pub space: &'a VectorSpace,
    /// The terms, each with the print of its rule.
    pub terms: &'a [(TermId, String)],
    /// All of them were applied up to here …
    pub from: i64,
    /// … and now are up to here.
    pub to: i64,
    /// The assets of the vectors; `None` for all that the space has.
    pub assets: Option<&'a [AssetId]>,
    /// What is offered.
    pub found: &'a [Suggestion],
    /// The process.
    pub owner: &'a str,
}

/// A rule learned from decisions, and what it was learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHead {
    /// The term.
    pub term: TermId,
    /// Grows with each time it is learned.
    pub version: i64,
    /// Whether it is used.
    pub used: bool,
    /// Its figures, as JSON.
    pub figures: String,
    /// One for each value of a vector.
    pub weights: Vec<f32>,
    /// Added to the product.
    pub bias: f64,
    /// From this probability on the term is offered, 0..=1.
    pub least: f64,
}

/// A decided picture of a term, for learning.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Whether it shows the term.
    pub shows: bool,
    /// Its vector.
    pub vector: Vec<f32>,
}

/// The vocabulary. Guarantees of every implementation:
/// - A change is one transaction: terms, log, and what has to follow from it. What follows is done in portions, each a
///   transaction, by whichever process has time; a process that dies leaves whole portions.
/// - What runs say is translated by the vocabulary as it is when they are recorded.
/// - A portion of matches is recorded if the terms' rules are still those that were applied, and once.
#[async_trait]
pub trait Terms: Send + Sync {
    /// The vocabulary as it is now. Cheap while nobody changes it.
    async fn vocabulary(&self) -> Result<Arc<Vocabulary>, StoreError>;

    /// Makes these changes, if nobody changed the vocabulary since `seen`. Whether they are sound was checked with the
    /// vocabulary of that revision. A term that is put as it is does not count and leaves no entry in the log.
    async fn change_terms(
        &self,
        changes: &[TermChange],
        seen: i64,
        by: &Reviewer,
    ) -> Result<Changed, StoreError>;

    /// Makes the names of another language the tags. Answers the vocabulary's revision.
    async fn speak(&self, language: &Language) -> Result<i64, StoreError>;

    /// Whether the first terms were entered, or left out on purpose.
    async fn vocabulary_has_begun(&self) -> Result<bool, StoreError>;

    /// Notes that the first terms were entered, or left out on purpose.
    async fn begin_vocabulary(&self) -> Result<(), StoreError>;

    /// The log of one term or of all, newest entry first.
    async fn term_log(&self, term: Option<&TermId>, page: &Page) -> Result<Paged<TermEntry>, StoreError>;

    /// Does a portion of what follows from changes. Answers whether there was anything to do.
    async fn advance_terms(&self) -> Result<bool, StoreError>;

    /// The rules in a space, and how far each was applied; only those that were applied up to `at`, if that is given.
    async fn rules(&self, space: &VectorSpace, at: Option<i64>) -> Result<Vec<StoredRule>, StoreError>;

    /// Where the rules of some terms in a space came from, of those that have one.
    async fn rule_sources(
        &self,
        space: &VectorSpace,
        terms: &[TermId],
    ) -> Result<Vec<(TermId, String)>, StoreError>;

    /// The prints of the rules in a space.
    async fn prints(&self, space: &VectorSpace) -> Result<Vec<(TermId, String)>, StoreError>;

    /// How far terms are.
    async fn standing(&self, space: &VectorSpace, newest: i64) -> Result<Standing, StoreError>;

    /// Vectors of at most `limit` pictures, as if drawn by lot: the ids of assets are hashes of their content.
    async fn sample(&self, space: &VectorSpace, limit: u32) -> Result<Vec<Vec<f32>>, StoreError>;

    /// Enters rules, to be applied from the first vector on, and takes others out.
    async fn set_rules(
        &self,
        space: &VectorSpace,
        put: &[StoredRule],
        gone: &[TermId],
    ) -> Result<(), StoreError>;

    /// Records what terms say of a portion of vectors: what they no longer say is withdrawn, what a decision answers or
    /// another analyzer says as well is not raised. Answers whether it was recorded: not if another process was faster, or
    /// if a rule changed.
    async fn record_matches(&self, portion: MatchedPortion<'_>) -> Result<bool, StoreError>;

    /// How many suggestions of these terms' rules are pending, at most `most`.
    async fn pending_matches(&self, terms: &[TermId], most: u32) -> Result<u64, StoreError>;

    /// The number of the newest vector of a space, 0 if there is none.
    async fn newest_vector(&self, space: &VectorSpace) -> Result<i64, StoreError>;

    /// How many pictures were decided for each term, accepted and rejected, of those with any.
    async fn decided_terms(&self) -> Result<Vec<(TermId, u64, u64)>, StoreError>;

    /// Decided pictures of a term, at most `limit` accepted and as many rejected.
    async fn examples(
        &self,
        term: &TermId,
        space: &VectorSpace,
        limit: u32,
    ) -> Result<Vec<Example>, StoreError>;

    /// The rules learned from decisions in a space.
    async fn heads(&self, space: &VectorSpace) -> Result<Vec<StoredHead>, StoreError>;

    /// A number that changes with every head that is kept.
    async fn head_count(&self, space: &VectorSpace) -> Result<i64, StoreError>;

    /// Keeps what was learned, instead of what was known of the term.
    async fn keep_head(&self, space: &VectorSpace, head: &StoredHead) -> Result<(), StoreError>;

    /// The accepted assets of some terms, newest first.
    async fn accepted_as(&self, terms: &[TermId], limit: u32) -> Result<Vec<AssetId>, StoreError>;
}

/// Terms that one statement enters.
pub(super) const TERMS_AT_ONCE: usize = 2000;
/// Tasks that one transaction does.
pub(super) const TASKS_AT_ONCE: u32 = 64;
/// Words that one task adopts.
const WORDS_AT_ONCE: usize = 2000;
/// Suggestions that a portion of a task changes.
pub(super) const CHANGED_AT_ONCE: i64 = 2000;

/// What follows from a change, for `term_task`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    pub action: &'static str,
    pub term: TermId,
    pub detail: Value,
}

/// A row for the log and the term's table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    pub term: TermId,
    pub action: &'static str,
    pub state: &'static str,
    /// As it is kept from now on.
    pub kept: Term,
    pub merged_into: Option<TermId>,
    pub before: Option<Term>,
    pub after: Option<Term>,
}

/// Changes as rows and tasks.
#[derive(Debug, Default)]
pub(super) struct Writes {
    pub rows: Vec<Written>,
    pub tasks: Vec<Task>,
    pub changed: Changed,
    /// Words that are new, each with its term.
    adopted: Vec<(String, TermId)>,
}

/// What `changes` mean for `known`. Terms that are merged or removed and unknown are an error.
pub(super) fn writes(known: &Vocabulary, changes: &[TermChange]) -> Result<Writes, StoreError> {
    let mut now = Pending { known, terms: std::collections::HashMap::new() };
    let mut writes = Writes::default();
    for change in changes {
        match change {
            TermChange::Put(term) => put(known, &mut now, &mut writes, (**term).clone()),
            TermChange::Remove(id) => {
                let term = now.get(id).ok_or_else(|| missing(id))?;
                now.terms.insert(id.clone(), None);
                writes.changed.removed += 1;
                writes.tasks.push(Task {
                    action: "withdraw",
                    term: id.clone(),
                    detail: json!({ "gone": true }),
                });
                writes.rows.push(Written {
                    term: id.clone(),
                    action: "remove",
                    state: "removed",
                    kept: term.clone(),
                    merged_into: None,
                    before: Some(term),
                    after: None,
                });
            }
            TermChange::Merge { from, into } => merge(known, &mut now, &mut writes, from, into)?,
        }
    }
    let after = now.vocabulary(known.revision + 1);
    let adopted = std::mem::take(&mut writes.adopted);
    writes.tasks.extend(adopt(&after, adopted));
    if known.is_empty() && writes.changed.added > 0 {
        // What was said before there were terms, and means none of them.
        let first = TermId::derived(&["all terms"]);
        writes.tasks.push(Task { action: "sort", term: first, detail: json!({}) });
    }
    Ok(writes)
}

/// The terms as they are after the changes so far.
struct Pending<'a> {
    known: &'a Vocabulary,
    terms: std::collections::HashMap<TermId, Option<Term>>,
}

impl Pending<'_> {
    /// The vocabulary with the changes so far.
    fn vocabulary(&self, revision: i64) -> Vocabulary {
        let kept = self.known.terms().iter().filter(|term| !self.terms.contains_key(&term.id)).cloned();
        let terms = kept.chain(self.terms.values().flatten().cloned()).collect();
        Vocabulary::new(revision, self.known.language.clone(), terms, std::collections::HashMap::new())
    }

    fn get(&self, id: &TermId) -> Option<Term> {
        match self.terms.get(id) {
            Some(term) => term.clone(),
            None => self.known.term(id).filter(|term| term.id == *id).cloned(),
        }
    }
}

fn missing(id: &TermId) -> StoreError {
    StoreError::NotFound { what: "term", id: id.to_string() }
}

fn put(known: &Vocabulary, now: &mut Pending<'_>, writes: &mut Writes, term: Term) {
    let before = now.get(&term.id);
    if before.as_ref() == Some(&term) {
        return;
    }
    now.terms.insert(term.id.clone(), Some(term.clone()));
    let action = if before.is_some() { "change" } else { "add" };
    *(if before.is_some() { &mut writes.changed.changed } else { &mut writes.changed.added }) += 1;
    let offered = |term: &Term| term.enabled && !term.heading;
    let tag = known.tag(&term).to_owned();
    if let Some(before) = &before {
        if known.tag(before) != tag {
            writes.tasks.push(rename(&term.id, &term.id, &tag));
        }
        if offered(before) && !offered(&term) {
            writes.tasks.push(Task { action: "withdraw", term: term.id.clone(), detail: json!({}) });
        }
    }
    if offered(&term) {
        let old = before.as_ref().filter(|before| offered(before));
        let is_new = |word: &&str| old.is_none_or(|old| old.labels.iter().all(|label| label.text != **word));
        let words: Vec<&str> = term.labels.iter().map(|label| label.text.as_str()).filter(is_new).collect();
        writes.adopted.extend(words.iter().map(|word| ((*word).to_owned(), term.id.clone())));
    }
    writes.rows.push(Written {
        term: term.id.clone(),
        action,
        state: "present",
        kept: term.clone(),
        merged_into: None,
        before,
        after: Some(term),
    });
}

fn merge(
    known: &Vocabulary,
    now: &mut Pending<'_>,
    writes: &mut Writes,
    from: &TermId,
    into: &TermId,
) -> Result<(), StoreError> {
    let gone = now.get(from).ok_or_else(|| missing(from))?;
    let mut stays = now.get(into).ok_or_else(|| missing(into))?;
    if from == into {
        return Ok(());
    }
    for label in &gone.labels {
        if stays.labels.iter().any(|known| known.language == label.language && known.text == label.text) {
            continue;
        }
        let mut label = label.clone();
        // It has a name of its own.
        if label.role == docent_pipelines::vocabulary::Role::Preferred {
            label.role = docent_pipelines::vocabulary::Role::Alternative;
        }
        stays.labels.push(label);
    }
    stays.parents.retain(|parent| parent != from);
    now.terms.insert(from.clone(), None);
    put(known, now, writes, stays.clone());
    let children: Vec<TermId> = known.children(from).map(|child| child.id.clone()).collect();
    for child in children {
        let Some(mut child) = now.get(&child) else { continue };
        child.parents.retain(|parent| parent != from);
        if child.id != *into && !child.parents.contains(into) {
            child.parents.push(into.clone());
        }
        put(known, now, writes, child);
    }
    writes.changed.removed += 1;
    writes.tasks.push(rename(from, into, known.tag(&stays)));
    writes.rows.push(Written {
        term: from.clone(),
        action: "merge",
        state: "merged",
        kept: gone.clone(),
        merged_into: Some(into.clone()),
        before: Some(gone),
        after: Some(stays),
    });
    Ok(())
}

fn rename(from: &TermId, to: &TermId, tag: &str) -> Task {
    Task { action: "rename", term: from.clone(), detail: json!({ "to": to, "tag": tag }) }
}

/// Words that mean a term of `after` become it, where they were said before.
fn adopt(after: &Vocabulary, words: Vec<(String, TermId)>) -> Vec<Task> {
    let mut all: Vec<Value> = Vec::new();
    for (word, id) in words {
        // A word of several terms means none of them.
        let Some(term) = after.meaning(&word).filter(|term| term.id == id) else { continue };
        let lower = word.to_lowercase();
        // Networks write in lower case.
        let spellings = if lower == word { vec![word] } else { vec![word, lower] };
        let tag = after.tag(term);
        all.extend(spellings.into_iter().map(|word| json!({ "word": word, "term": id, "tag": tag })));
    }
    let first = TermId::derived(&["all terms"]);
    let task =
        |words: &[Value]| Task { action: "adopt", term: first.clone(), detail: json!({ "words": words }) };
    all.chunks(WORDS_AT_ONCE).map(task).collect()
}

/// The tasks by which all tags take the names of another language.
pub(super) fn renames(known: &Vocabulary, language: &Language) -> Vec<Task> {
    let other = known.terms().iter().filter(|term| known.tag(term) != term.name(language));
    other.map(|term| rename(&term.id, &term.id, term.name(language))).collect()
}
