//! Whether the result is a vocabulary.

use std::collections::HashMap;

use super::{How, Outcome, name, order};
use crate::vocabulary::error::shown;
use crate::vocabulary::limits::{MAX_DEPTH, MAX_TERMS};
use crate::vocabulary::{Language, Role, Term, TermId, VocabularyError};

/// Checks the result as a whole. Answers its terms' places, broader before narrower.
pub(super) fn check(
    existing: &[Term],
    outcomes: &[Outcome],
    how: How,
) -> Result<Vec<usize>, VocabularyError> {
    if outcomes.len() > MAX_TERMS {
        let reason = format!("the vocabulary would have more than {MAX_TERMS} terms");
        return Err(VocabularyError::whole(reason, "import a part of the file"));
    }
    for outcome in outcomes {
        names(outcome)?;
    }
    addresses(outcomes)?;
    let above = above(existing, outcomes, how)?;
    let sorted = order::sorted(outcomes.len(), |at| above[at].clone()).map_err(|cycle| {
        let lines = cycle.iter().map(|&at| outcomes[at].line).filter(|&line| line > 0);
        let names = cycle.iter().map(|&at| outcomes[at].term.name(none()));
        order::of_cycle(lines.min().unwrap_or(0), names)
    })?;
    depth(outcomes, &above, &sorted)?;
    Ok(sorted)
}

fn none() -> &'static Language {
    static NONE: std::sync::LazyLock<Language> = std::sync::LazyLock::new(Language::none);
    &NONE
}

/// A preferred label, and at most one in each language.
fn names(outcome: &Outcome) -> Result<(), VocabularyError> {
    if outcome.line == 0 {
        return Ok(());
    }
    let mut preferred: Vec<(&Language, &str)> = Vec::new();
    for label in outcome.term.labels.iter().filter(|label| label.role == Role::Preferred) {
        if let Some((language, first)) = preferred.iter().find(|(language, _)| **language == label.language) {
            let language =
                if language.is_none() { "no language".to_owned() } else { format!("'{language}'") };
            let reason = format!(
                "the term '{}' has two preferred labels in {language}: '{}' and '{}'",
                name(&outcome.term),
                shown(first),
                shown(&label.text)
            );
            return Err(VocabularyError::at(outcome.line, reason, "make one of them an alternative label"));
        }
        preferred.push((&label.language, &label.text));
    }
    if preferred.is_empty() {
        let what = outcome.term.uri.as_deref().unwrap_or(outcome.term.id.as_str());
        let reason = format!("the term '{}' has no preferred label", shown(what));
        return Err(VocabularyError::at(outcome.line, reason, "give it one"));
    }
    Ok(())
}

fn addresses(outcomes: &[Outcome]) -> Result<(), VocabularyError> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        let Some(uri) = outcome.term.uri.as_deref() else { continue };
        if let Some(first) = seen.insert(uri, at) {
            let first = &outcomes[first];
            let reason = format!(
                "the terms '{}' and '{}' would have the same address '{}'",
                name(&first.term),
                name(&outcome.term),
                shown(uri)
            );
            return Err(VocabularyError::at(
                first.line.max(outcome.line),
                reason,
                "give one of them another",
            ));
        }
    }
    Ok(())
}

/// The places of what is above each. All of it has to be there.
fn above(existing: &[Term], outcomes: &[Outcome], how: How) -> Result<Vec<Vec<usize>>, VocabularyError> {
    let places: HashMap<&TermId, usize> =
        outcomes.iter().enumerate().map(|(at, one)| (&one.term.id, at)).collect();
    let find = |outcome: &Outcome, id: &TermId| {
        places.get(id).copied().ok_or_else(|| {
            let gone = existing.iter().find(|term| term.id == *id).map_or_else(|| id.to_string(), name);
            let reason =
                format!("what is broader than the term '{}' would be missing: '{gone}'", name(&outcome.term));
            let next = match how {
                How::Replace => "add it to the file, or merge instead of replacing",
                How::Merge => "add it to the vocabulary",
            };
            VocabularyError::at(outcome.line, reason, next)
        })
    };
    outcomes.iter().map(|one| one.term.parents.iter().map(|id| find(one, id)).collect()).collect()
}

fn depth(outcomes: &[Outcome], above: &[Vec<usize>], sorted: &[usize]) -> Result<(), VocabularyError> {
    let mut depths = vec![1; outcomes.len()];
    for &at in sorted {
        depths[at] = above[at].iter().map(|&above| depths[above] + 1).max().unwrap_or(1);
        if depths[at] > MAX_DEPTH {
            let reason =
                format!("the term '{}' is more than {MAX_DEPTH} levels deep", name(&outcomes[at].term));
            return Err(VocabularyError::at(outcomes[at].line, reason, "make the vocabulary flatter"));
        }
    }
    Ok(())
}
