//! Broader before narrower.

use std::collections::HashMap;

use super::resolve::{Parent, Resolved};
use crate::vocabulary::error::shown;
use crate::vocabulary::{Draft, Term, TermId, VocabularyError};

/// Terms of a cycle that a message names.
const NAMED: usize = 6;

/// The places `0..count`, each after those that `above` gives for it, else in their order. Or the places of a cycle, each
/// above the one before it.
pub(super) fn sorted(count: usize, above: impl Fn(usize) -> Vec<usize>) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; count];
    let mut sorted = Vec::with_capacity(count);
    for start in 0..count {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut open = vec![(start, above(start).into_iter())];
        while let Some((at, rest)) = open.last_mut() {
            let at = *at;
            match rest.next() {
                Some(next) if marks[next] == Mark::New => {
                    marks[next] = Mark::Open;
                    open.push((next, above(next).into_iter()));
                }
                Some(next) if marks[next] == Mark::Open => {
                    let from = open.iter().position(|(at, _)| *at == next).unwrap_or(0);
                    return Err(open[from..].iter().map(|(at, _)| *at).collect());
                }
                Some(_) => {}
                None => {
                    marks[at] = Mark::Done;
                    sorted.push(at);
                    open.pop();
                }
            }
        }
    }
    Ok(sorted)
}

/// The order of a draft's terms.
pub(super) fn of_draft(draft: &Draft, resolved: &Resolved) -> Result<Vec<usize>, VocabularyError> {
    let above = |at: usize| {
        let in_draft = |parent: &Parent| match parent {
            Parent::Draft(above) => Some(*above),
            Parent::Existing(_) => None,
        };
        resolved[at].iter().filter_map(in_draft).collect()
    };
    sorted(draft.terms.len(), above).map_err(|cycle| {
        let line = cycle.iter().map(|&at| draft.terms[at].line).min().unwrap_or(0);
        of_cycle(line, cycle.iter().map(|&at| draft.terms[at].name()))
    })
}

/// What is wrong with a cycle of terms, each below the next.
pub(super) fn of_cycle<'a>(line: u64, names: impl Iterator<Item = &'a str>) -> VocabularyError {
    let mut names: Vec<String> = names.map(shown).collect();
    names.extend(names.first().cloned());
    if names.len() > NAMED {
        names.truncate(NAMED);
        names.push("…".to_owned());
    }
    let reason = format!("terms are broader than themselves: '{}'", names.join("' below '"));
    VocabularyError::at(line, reason, "take one of them out from below the next")
}

/// Those of `terms` that are `wanted`, each before those above it.
pub(super) fn narrower_first(terms: &[Term], wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let places: HashMap<&TermId, usize> = terms.iter().enumerate().map(|(at, term)| (&term.id, at)).collect();
    let above = |at: usize| terms[at].parents.iter().filter_map(|id| places.get(id).copied()).collect();
    // A vocabulary has no cycle; if one had, any order would do.
    let mut sorted = sorted(terms.len(), above).unwrap_or_else(|_| (0..terms.len()).collect());
    sorted.retain(|&at| wanted(at));
    sorted.reverse();
    sorted
}
