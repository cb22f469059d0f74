//! Writes a keyword list.

use std::collections::{HashMap, HashSet};

use crate::vocabulary::error::shown;
use crate::vocabulary::limits::MAX_DEPTH;
use crate::vocabulary::loss::{Losses, Written};
use crate::vocabulary::{Language, Role, Term, TermId, VocabularyError};

/// Lines of a list. Terms with several broader terms stand in several places, and so does all that is below them.
const MAX_LINES: usize = 1_000_000;

/// Writes `terms` as a list with tabulators, in the order of their names. Lightroom and Photo Mechanic read it.
pub(in crate::vocabulary) fn write(terms: &[Term]) -> Result<Written, VocabularyError> {
    let mut losses = Losses::default();
    for term in terms {
        count_losses(term, &mut losses);
    }
    let mut list = List { below: below(terms), text: String::new(), lines: 0, losses };
    list.add()?;
    Ok(Written { bytes: list.text.into_bytes(), lost: list.losses.into_list() })
}

fn name(term: &Term) -> &str {
    term.name(&Language::none())
}

/// The narrower terms of each id, by name; those of "" are on top.
fn below(terms: &[Term]) -> HashMap<&str, Vec<&Term>> {
    let ids: HashSet<&TermId> = terms.iter().map(|term| &term.id).collect();
    let mut below: HashMap<&str, Vec<&Term>> = HashMap::new();
    for term in terms {
        let mut known = term.parents.iter().filter(|&parent| ids.contains(parent)).peekable();
        if known.peek().is_none() {
            below.entry("").or_default().push(term);
        }
        for parent in known {
            below.entry(parent.as_str()).or_default().push(term);
        }
    }
    for terms in below.values_mut() {
        terms.sort_by_key(|term| (name(term), &term.id));
    }
    below
}

fn count_losses(term: &Term, losses: &mut Losses) {
    let said = [
        ("the address", term.uri.is_some()),
        ("the notation", term.notation.is_some()),
        ("the scope notes", !term.notes.is_empty()),
        ("the prompts", !term.prompts.is_empty()),
        ("the threshold", term.threshold.is_some()),
        ("that it is off", !term.enabled),
        ("which language a label is in", term.labels.iter().any(|label| !label.language.is_none())),
        ("the hidden labels", term.labels.iter().any(|label| label.role == Role::Hidden)),
        ("that it is one term below several", term.parents.len() > 1),
    ];
    for (what, lost) in said {
        if lost {
            losses.add(what, name(term));
        }
    }
}

struct List<'a> {
    below: HashMap<&'a str, Vec<&'a Term>>,
    text: String,
    lines: usize,
    losses: Losses,
}

/// A term about to be written.
struct Place<'a> {
    term: &'a Term,
    depth: usize,
    /// The name above, "" on top.
    above: &'a str,
}

impl<'a> List<'a> {
    /// Writes all top terms and everything below them.
    fn add(&mut self) -> Result<(), VocabularyError> {
        let mut waiting = self.places("", 0, "");
        while let Some(place) = waiting.pop() {
            let (term, depth) = (place.term, place.depth + 1);
            if depth > MAX_DEPTH {
                let reason = format!("the term '{}' is more than {MAX_DEPTH} levels deep", shown(name(term)));
                return Err(VocabularyError::whole(reason, "make the vocabulary flatter"));
            }
            if self.term(&place)? {
                waiting.extend(self.places(term.id.as_str(), depth, name(term)));
            }
        }
        Ok(())
    }

    /// What is to be written below `id`, the last first.
    fn places(&mut self, id: &str, depth: usize, above: &'a str) -> Vec<Place<'a>> {
        let terms = self.below.get(id).map_or(&[][..], Vec::as_slice);
        for pair in terms.windows(2).filter(|pair| name(pair[0]) == name(pair[1])) {
            self.losses
                .add("that it is another term than the one with the same name and place", name(pair[1]));
        }
        terms.iter().rev().map(|&term| Place { term, depth, above }).collect()
    }

    /// Writes one term and its synonyms. Says whether a list can hold it.
    fn term(&mut self, place: &Place<'a>) -> Result<bool, VocabularyError> {
        let name = name(place.term);
        let bracketed = name.starts_with('[') && name.ends_with(']') && !place.term.heading;
        if bracketed || name.is_empty() || name.contains(['{', '}', '\n', '\t']) {
            self.losses.add("the term and what is below it, because of braces or brackets in its name", name);
            return Ok(false);
        }
        if name == place.above {
            self.losses.add("the term and what is below it, because it has the name of the one above", name);
            return Ok(false);
        }
        let (open, close) = if place.term.heading { ("[", "]") } else { ("", "") };
        self.line(place.depth, &[open, name, close])?;
        for synonym in synonyms(place.term) {
            if synonym.contains(['{', '}', '\n', '\t']) {
                self.losses.add("a synonym with braces", name);
            } else {
                self.line(place.depth + 1, &["{", synonym, "}"])?;
            }
        }
        Ok(true)
    }

    fn line(&mut self, depth: usize, parts: &[&str]) -> Result<(), VocabularyError> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            let reason = format!(
                "the list would have more than {MAX_LINES} lines, for it repeats terms below several"
            );
            return Err(VocabularyError::whole(reason, "write another format, such as turtle"));
        }
        self.text.extend(std::iter::repeat_n('\t', depth));
        self.text.extend(parts.iter().copied());
        self.text.push('\n');
        Ok(())
    }
}

/// The names in other languages and the synonyms, each once, in the order of the term.
fn synonyms(term: &Term) -> Vec<&str> {
    let mut seen = HashSet::from([name(term)]);
    let shown = term.labels.iter().filter(|label| label.role != Role::Hidden);
    shown.map(|label| label.text.as_str()).filter(|text| seen.insert(text)).collect()
}
