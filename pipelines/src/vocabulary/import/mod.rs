//! What a draft changes in a vocabulary.
//!
//! A term of the draft is the vocabulary's term with the same id, or else with the same address, or else with the same
//! name below the same term. A merge adds what is new, sets what the file states, and removes nothing. After a
//! replacement the vocabulary says what the file says; terms that are matched keep their ids, and properties that the
//! format cannot say keep their values ([`Carries`](super::Carries)).

use super::error::shown;
use super::{Draft, Language, Term, VocabularyError};

mod check;
mod combine;
mod matching;
mod order;
mod resolve;

use matching::Matching;

/// How a draft meets a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Adds what is new and removes nothing.
    Merge,
    /// Makes the vocabulary say what the draft says.
    Replace,
}

/// A change of a vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new term.
    Add(Term),
    /// Another content of a term.
    Update {
        /// As it is.
        before: Term,
        /// As it becomes. The id is the same.
        after: Term,
    },
    /// A term goes.
    Remove(Term),
}

/// A term as it will be.
struct Outcome {
    term: Term,
    /// Its place in the vocabulary, if it is there.
    before: Option<usize>,
    /// The line of the file that names it, 0 if none does.
    line: u64,
}

/// Says what `draft` changes in `existing`. Broader terms come before narrower ones. Removals come last, narrower first.
/// The same draft changes nothing a second time.
///
/// # Errors
///
/// What keeps the result from being a vocabulary: a cycle, a broader term that does not exist, no preferred label or two
/// in one language, an address of two terms, too many or too deep.
pub fn plan(existing: &[Term], draft: &Draft, how: How) -> Result<Vec<Change>, VocabularyError> {
    let resolved = resolve::parents(existing, draft)?;
    let order = order::of_draft(draft, &resolved)?;
    let matching = matching::match_terms(existing, draft, &resolved, &order)?;
    let outcomes = outcomes(existing, draft, &matching, how)?;
    let sorted = check::check(existing, &outcomes, how)?;
    Ok(changes(existing, outcomes, &sorted, how))
}

/// All terms as they will be: those of the vocabulary that stay, then the new ones.
fn outcomes(
    existing: &[Term],
    draft: &Draft,
    matching: &Matching,
    how: How,
) -> Result<Vec<Outcome>, VocabularyError> {
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); existing.len()];
    let mut new = Vec::new();
    for (at, matched) in matching.existing.iter().enumerate() {
        match matched {
            Some(place) => of[*place].push(at),
            None => new.push(at),
        }
    }
    let mut outcomes = Vec::with_capacity(existing.len() + new.len());
    for (place, drafts) in of.iter().enumerate() {
        let before = &existing[place];
        let line = drafts.first().map_or(0, |&at| draft.terms[at].line);
        let term = match (drafts.is_empty(), how) {
            (true, How::Merge) => before.clone(),
            (true, How::Replace) => continue,
            (false, How::Merge) => combine::merge(before, drafts, draft, matching)?,
            (false, How::Replace) => combine::replace(before, drafts, draft, matching)?,
        };
        outcomes.push(Outcome { term, before: Some(place), line });
    }
    for at in new {
        let term = combine::fresh(at, draft, matching);
        outcomes.push(Outcome { term, before: None, line: draft.terms[at].line });
    }
    Ok(outcomes)
}

/// What has to be done, in the order `sorted` of the outcomes.
fn changes(existing: &[Term], outcomes: Vec<Outcome>, sorted: &[usize], how: How) -> Vec<Change> {
    let mut stays = vec![how == How::Merge; existing.len()];
    let mut outcomes: Vec<Option<Outcome>> = outcomes.into_iter().map(Some).collect();
    let mut changes = Vec::new();
    for &at in sorted {
        let Some(Outcome { term, before, .. }) = outcomes[at].take() else { continue };
        match before {
            None => changes.push(Change::Add(term)),
            Some(place) => {
                stays[place] = true;
                if existing[place] != term {
                    changes.push(Change::Update { before: existing[place].clone(), after: term });
                }
            }
        }
    }
    let gone = order::narrower_first(existing, |place| !stays[place]);
    changes.extend(gone.into_iter().map(|place| Change::Remove(existing[place].clone())));
    changes
}

/// A name for messages.
fn name(term: &Term) -> String {
    shown(term.name(&Language::none()))
}

#[cfg(test)]
mod tests;

/// Checks a vocabulary as a whole: what [`plan`] checks of its result, for changes that come from elsewhere.
///
/// # Errors
///
/// As for [`plan`], without lines.
pub fn check_terms(terms: Vec<Term>) -> Result<(), VocabularyError> {
    let outcome = |term| Outcome { term, before: None, line: 1 };
    let outcomes: Vec<Outcome> = terms.into_iter().map(outcome).collect();
    check::check(&[], &outcomes, How::Merge)
        .map(drop)
        .map_err(|error| VocabularyError { line: None, ..error })
}
