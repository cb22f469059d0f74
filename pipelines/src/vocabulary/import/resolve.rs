//! What the draft's terms call broader.

use std::collections::HashMap;

use crate::vocabulary::error::shown;
use crate::vocabulary::refer::{Above, Directory, Entry, Found};
use crate::vocabulary::{Draft, Role, Term, TermId, VocabularyError};

/// A broader term of a draft's term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// At this place of the draft.
    Draft(usize),
    /// At this place of the vocabulary, and not in the draft.
    Existing(usize),
}

/// The broader terms of each term of a draft.
pub(super) type Resolved = Vec<Vec<Parent>>;

/// Finds all broader terms: in the draft, or else in the vocabulary.
pub(super) fn parents(existing: &[Term], draft: &Draft) -> Result<Resolved, VocabularyError> {
    let keys = keys(draft)?;
    // Built only for a draft that names what it does not contain.
    let mut directory = None;
    let mut resolved = Vec::with_capacity(draft.terms.len());
    for (at, term) in draft.terms.iter().enumerate() {
        let mut parents = Vec::with_capacity(term.parents.len());
        for key in &term.parents {
            let parent = match keys.get(key.as_str()) {
                Some(&above) if above == at => {
                    let reason = format!("the term '{}' is broader than itself", shown(term.name()));
                    return Err(VocabularyError::at(term.line, reason, "remove it from its broader terms"));
                }
                Some(&above) => Parent::Draft(above),
                None => {
                    let directory = directory.get_or_insert_with(|| of_vocabulary(existing));
                    match directory.find(key)? {
                        Found::One(place) => Parent::Existing(place),
                        Found::Nothing => return Err(missing(term.line, term.name(), key)),
                        Found::Several(..) => {
                            let reason = format!("the vocabulary has several terms '{}'", shown(key));
                            let next = "write the path to it, such as Animals > Dogs, or its id";
                            return Err(VocabularyError::at(term.line, reason, next));
                        }
                    }
                }
            };
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        resolved.push(parents);
    }
    Ok(resolved)
}

fn missing(line: u64, name: &str, key: &str) -> VocabularyError {
    let reason = format!(
        "what is broader than the term '{}' is neither in the file nor in the vocabulary: '{}'",
        shown(name),
        shown(key)
    );
    VocabularyError::at(line, reason, "add it, or remove it there")
}

/// Where the draft's terms are, by their keys, ids and addresses.
fn keys(draft: &Draft) -> Result<HashMap<&str, usize>, VocabularyError> {
    let mut keys: HashMap<&str, usize> = HashMap::with_capacity(draft.terms.len() * 2);
    for (at, term) in draft.terms.iter().enumerate() {
        let names = [Some(term.key.as_str()), term.id.as_ref().map(TermId::as_str), term.uri.as_deref()];
        for key in names.into_iter().flatten() {
            let first = *keys.entry(key).or_insert(at);
            if first != at {
                let (name, first) = (shown(term.name()), draft.terms[first].line);
                let reason =
                    format!("the id or the address of the term '{name}' is also that of line {first}");
                return Err(VocabularyError::at(term.line, reason, "make one of the two, or correct it"));
            }
        }
    }
    Ok(keys)
}

fn of_vocabulary(existing: &[Term]) -> Directory<'_> {
    let places: HashMap<&TermId, usize> =
        existing.iter().enumerate().map(|(at, term)| (&term.id, at)).collect();
    Directory::new(existing.iter().map(|term| entry(term, &places)).collect())
}

fn entry<'a>(term: &'a Term, places: &HashMap<&TermId, usize>) -> Entry<'a> {
    let preferred = term.labels.iter().filter(|label| label.role == Role::Preferred);
    Entry {
        addresses: std::iter::once(term.id.as_str()).chain(term.uri.as_deref()).collect(),
        names: preferred.map(|label| label.text.as_str()).collect(),
        parents: term.parents.iter().filter_map(|id| places.get(id).map(|&at| Above::Entry(at))).collect(),
    }
}
