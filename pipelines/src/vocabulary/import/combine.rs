//! Makes terms of what the vocabulary has and what the file says.

use super::matching::Matching;
use crate::vocabulary::draft::{folded, rounded};
use crate::vocabulary::error::shown;
use crate::vocabulary::limits::{MAX_LABELS, MAX_NOTES, MAX_PARENTS, MAX_PROMPTS};
use crate::vocabulary::{Draft, DraftTerm, Label, Role, Term, TermId, VocabularyError};

/// A new term, of the draft's term at `at`.
pub(super) fn fresh(at: usize, draft: &Draft, matching: &Matching) -> Term {
    let said = &draft.terms[at];
    Term {
        id: matching.ids[at].clone(),
        uri: said.uri.clone(),
        notation: said.notation.clone(),
        parents: matching.parents[at].clone(),
        labels: said.labels.clone(),
        notes: said.notes.clone(),
        prompts: said.prompts.clone(),
        threshold: said.threshold,
        enabled: said.enabled.unwrap_or(true),
        heading: said.heading.unwrap_or(false),
    }
}

/// `before`, and what the draft's terms at `drafts` add to it.
pub(super) fn merge(
    before: &Term,
    drafts: &[usize],
    draft: &Draft,
    matching: &Matching,
) -> Result<Term, VocabularyError> {
    let mut term = before.clone();
    for &at in drafts {
        let said = &draft.terms[at];
        for label in &said.labels {
            merge_label(&mut term.labels, label);
        }
        extend(&mut term.parents, &matching.parents[at]);
        extend(&mut term.notes, &said.notes);
        extend(&mut term.prompts, &said.prompts);
        term.uri = said.uri.clone().or(term.uri);
        term.notation = said.notation.clone().or(term.notation);
        term.threshold = threshold(said.threshold.or(term.threshold), before);
        term.enabled = said.enabled.unwrap_or(term.enabled);
        term.heading = said.heading.unwrap_or(term.heading);
        limits(&term, said)?;
    }
    Ok(term)
}

/// Refuses a term that grew too large.
fn limits(term: &Term, said: &DraftTerm) -> Result<(), VocabularyError> {
    let all = [
        (term.parents.len(), MAX_PARENTS, "broader terms"),
        (term.labels.len(), MAX_LABELS, "labels"),
        (term.notes.len(), MAX_NOTES, "notes"),
        (term.prompts.len(), MAX_PROMPTS, "prompts"),
    ];
    sizes(&all, said)
}

fn sizes(sizes: &[(usize, usize, &str)], said: &DraftTerm) -> Result<(), VocabularyError> {
    match sizes.iter().find(|(size, most, _)| size > most) {
        None => Ok(()),
        Some((_, most, what)) => {
            let reason = format!("the term '{}' would have more than {most} {what}", shown(said.name()));
            Err(VocabularyError::at(said.line, reason, "remove some in the vocabulary or in the file"))
        }
    }
}

fn extend<T: Clone + PartialEq>(list: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !list.contains(one) {
            list.push(one.clone());
        }
    }
}

/// Adds a label that is not there. A new name makes the old one in its language a synonym.
fn merge_label(labels: &mut Vec<Label>, said: &Label) {
    if labels.contains(said) || (said.language.is_none() && is_said(labels, said)) {
        return;
    }
    if said.role == Role::Preferred {
        let name =
            labels.iter_mut().find(|label| label.role == Role::Preferred && label.language == said.language);
        if let Some(name) = name {
            if folded(&name.text) == folded(&said.text) {
                return;
            }
            let old = Label { role: Role::Alternative, ..name.clone() };
            *name = said.clone();
            // It may have been a synonym until now.
            labels.retain(|label| {
                label.role != Role::Alternative || label.language != said.language || label.text != said.text
            });
            if !labels.contains(&old) {
                labels.push(old);
            }
            return;
        }
    }
    labels.push(said.clone());
}

/// Whether labels in some language say what a label without one says.
fn is_said(labels: &[Label], said: &Label) -> bool {
    labels.iter().any(|label| match said.role {
        Role::Preferred => label.role == Role::Preferred && folded(&label.text) == folded(&said.text),
        Role::Alternative => label.role != Role::Hidden && label.text == said.text,
        Role::Hidden => label.text == said.text,
    })
}

/// What the draft's terms at `drafts` say, as the term `before`. What their format cannot say stays.
pub(super) fn replace(
    before: &Term,
    drafts: &[usize],
    draft: &Draft,
    matching: &Matching,
) -> Result<Term, VocabularyError> {
    let carries = draft.carries;
    let mut said: Option<DraftTerm> = None;
    let mut parents: Vec<TermId> = Vec::new();
    for &at in drafts {
        let one = &draft.terms[at];
        extend(&mut parents, &matching.parents[at]);
        match &mut said {
            None => said = Some(one.clone()),
            Some(said) => {
                extend(&mut said.labels, &one.labels);
                extend(&mut said.notes, &one.notes);
                extend(&mut said.prompts, &one.prompts);
                said.heading = said.heading.or(one.heading);
            }
        }
        // Here, so that a file with very many of them does not take long.
        sizes(&[(parents.len(), MAX_PARENTS, "broader terms")], one)?;
    }
    let Some(said) = said else { return Ok(before.clone()) };
    let mut labels =
        if carries.languages { said.labels.clone() } else { with_languages(&before.labels, &said.labels) };
    for label in &before.labels {
        let kept = match label.role {
            Role::Preferred => false,
            Role::Alternative => !carries.alternative,
            Role::Hidden => !carries.hidden,
        };
        if kept && !labels.contains(label) {
            labels.push(label.clone());
        }
    }
    let term = Term {
        id: before.id.clone(),
        uri: stated(said.uri.clone(), carries.uri, &before.uri),
        notation: stated(said.notation.clone(), carries.notation, &before.notation),
        parents: if carries.parents { same_set(&before.parents, parents) } else { before.parents.clone() },
        labels: same_set(&before.labels, labels),
        notes: if carries.notes { same_set(&before.notes, said.notes.clone()) } else { before.notes.clone() },
        prompts: if carries.prompts {
            same_set(&before.prompts, said.prompts.clone())
        } else {
            before.prompts.clone()
        },
        threshold: threshold(stated(said.threshold, carries.threshold, &before.threshold), before),
        enabled: stated(said.enabled, carries.enabled, &Some(before.enabled)).unwrap_or(true),
        heading: stated(said.heading, carries.heading, &Some(before.heading)).unwrap_or(false),
    };
    limits(&term, &said)?;
    Ok(term)
}

/// What a file states, or else what there was, if the file could not state it.
fn stated<T: Clone>(said: Option<T>, carried: bool, before: &Option<T>) -> Option<T> {
    said.or_else(|| if carried { None } else { before.clone() })
}

/// The old threshold, if a file could only not say all its digits.
fn threshold(said: Option<f64>, before: &Term) -> Option<f64> {
    if said == before.threshold.map(rounded) { before.threshold } else { said }
}

/// The old list if the new one has the same in another order: files have their own orders.
fn same_set<T: Clone + PartialEq>(before: &[T], after: Vec<T>) -> Vec<T> {
    let same = before.len() == after.len() && before.iter().all(|one| after.contains(one));
    if same { before.to_vec() } else { after }
}

/// The labels that a file without languages says. One that the vocabulary has in some language stays as it is there.
fn with_languages(before: &[Label], said: &[Label]) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    for label in said {
        let there: Vec<Label> = before.iter().filter(|old| old.text == label.text).cloned().collect();
        let known = |old: &Label| label.role != Role::Preferred || old.role == Role::Preferred;
        if there.iter().any(known) {
            extend(&mut labels, &there);
        } else {
            extend(&mut labels, std::slice::from_ref(label));
        }
    }
    labels
}
