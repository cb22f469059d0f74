//! Writes a table: RFC 4180, with commas.

use std::collections::{BTreeSet, HashMap};

use super::columns::Column;
use crate::vocabulary::loss::{Losses, Written};
use crate::vocabulary::refer::{Above, Directory, Entry, Found};
use crate::vocabulary::{Language, Role, Term, TermId, VocabularyError};

/// Writes `terms` in the order of their names. Nothing is lost.
pub(in crate::vocabulary) fn write(terms: &[Term]) -> Result<Written, VocabularyError> {
    let columns = columns(terms);
    let mut directory = Directory::new(terms.iter().map(entry).collect());
    let places: HashMap<&TermId, usize> = terms.iter().enumerate().map(|(at, term)| (&term.id, at)).collect();
    let mut sorted: Vec<&Term> = terms.iter().collect();
    sorted.sort_by_key(|term| (term.name(&Language::none()), &term.id));
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let unwritable = |error: csv::Error| {
        VocabularyError::whole(format!("a row cannot be written: {error}"), "report this")
    };
    writer.write_record(columns.iter().map(Column::header)).map_err(unwritable)?;
    for term in sorted {
        let mut parents = Vec::with_capacity(term.parents.len());
        for id in &term.parents {
            parents.push(match places.get(id) {
                Some(&at) => said(&mut directory, terms, at)?,
                None => id.to_string(),
            });
        }
        writer.write_record(columns.iter().map(|column| cell(term, column, &parents))).map_err(unwritable)?;
    }
    let bytes = writer.into_inner().map_err(|error| {
        VocabularyError::whole(format!("the table cannot be written: {error}"), "report this")
    })?;
    Ok(Written { bytes, lost: Losses::default().into_list() })
}

/// The columns that terms can always have, and those of the languages that they do have.
fn columns(terms: &[Term]) -> Vec<Column> {
    let mut labels: BTreeSet<(Role, &Language)> = BTreeSet::new();
    let mut notes: BTreeSet<&Language> = BTreeSet::new();
    for term in terms {
        labels.extend(term.labels.iter().map(|label| (label.role, &label.language)));
        notes.extend(term.notes.iter().map(|note| &note.language));
    }
    let none = Language::none();
    labels.extend([Role::Preferred, Role::Alternative, Role::Hidden].map(|role| (role, &none)));
    notes.insert(&none);
    let mut columns = vec![Column::Id, Column::Uri, Column::Notation];
    columns.extend(labels.into_iter().map(|(role, language)| Column::Label(role, language.clone())));
    columns.push(Column::Parent);
    columns.extend(notes.into_iter().map(|language| Column::Note(language.clone())));
    columns.extend([Column::Prompt, Column::Threshold, Column::Enabled, Column::Heading]);
    columns
}

fn entry(term: &Term) -> Entry<'_> {
    let preferred = term.labels.iter().filter(|label| label.role == Role::Preferred);
    Entry {
        addresses: std::iter::once(term.id.as_str()).chain(term.uri.as_deref()).collect(),
        names: preferred.map(|label| label.text.as_str()).collect(),
        // The names of broader terms are single ones here, never paths.
        parents: term.parents.iter().map(|id| Above::Text(id.as_str())).collect(),
    }
}

/// The name of the term at `at` if that finds it again, or else its id.
fn said(directory: &mut Directory<'_>, terms: &[Term], at: usize) -> Result<String, VocabularyError> {
    let name = terms[at].name(&Language::none());
    let own = directory.find(name)? == Found::One(at);
    Ok(if own { name.to_owned() } else { terms[at].id.to_string() })
}

fn cell(term: &Term, column: &Column, parents: &[String]) -> String {
    match column {
        Column::Id => term.id.to_string(),
        Column::Uri => term.uri.clone().unwrap_or_default(),
        Column::Notation => term.notation.clone().unwrap_or_default(),
        Column::Label(Role::Preferred, language) => {
            let mut labels = labels(term, Role::Preferred, language);
            labels.next().unwrap_or_default().to_owned()
        }
        Column::Label(role, language) => list(labels(term, *role, language)),
        Column::Parent => list(parents.iter().map(String::as_str)),
        Column::Note(language) => {
            let notes = term.notes.iter().filter(|note| note.language == *language);
            list(notes.map(|note| note.text.as_str()))
        }
        Column::Prompt => list(term.prompts.iter().map(String::as_str)),
        Column::Threshold => term.threshold.map(|threshold| threshold.to_string()).unwrap_or_default(),
        Column::Enabled => said_yes(term.enabled),
        Column::Heading => said_yes(term.heading),
    }
}

fn labels<'a>(term: &'a Term, role: Role, language: &Language) -> impl Iterator<Item = &'a str> {
    let labels = term.labels.iter().filter(move |label| label.role == role && label.language == *language);
    labels.map(|label| label.text.as_str())
}

fn said_yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn list<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.map(|part| part.replace('\\', r"\\").replace('|', r"\|")).collect::<Vec<_>>().join("|")
}
