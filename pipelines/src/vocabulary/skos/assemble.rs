//! Makes terms of what a file said.

use super::gather::{Gathered, Node, Subject};
use super::names::Property;
use crate::vocabulary::draft::{Carries, OWN_URI};
use crate::vocabulary::error::shown;
use crate::vocabulary::{Draft, Language, Role, TermId, VocabularyError};

impl Subject {
    /// Takes a statement with words.
    pub(super) fn literal(
        &mut self,
        line: u64,
        property: Property,
        language: Language,
        text: String,
    ) -> Result<(), VocabularyError> {
        let term = &mut self.term;
        match property {
            Property::Label(role) | Property::XlLabel(role) => {
                term.add_label(line, (role, language), &text)?
            }
            Property::RdfsLabel => self.rdfs.push((line, language, text)),
            Property::ScopeNote => {
                self.note_languages.push(language.clone());
                term.add_note(line, language, &text)?;
            }
            Property::Definition => self.definitions.push((line, language, text)),
            Property::Notation => {
                self.notations += 1;
                if term.notation.as_ref().is_none_or(|notation| text < *notation) {
                    term.set_notation(line, &text)?;
                }
            }
            Property::Deprecated => {
                let deprecated = yes_or_no(line, &text)?;
                term.enabled = if deprecated { Some(false) } else { term.enabled };
            }
            Property::Id => {
                let id = TermId::try_from(text);
                term.id =
                    Some(id.map_err(|reason| VocabularyError::at(line, reason, "remove the statement"))?);
            }
            Property::Prompt => term.add_prompt(line, &text)?,
            Property::Threshold => term.set_threshold(line, &text)?,
            Property::Enabled => term.enabled = Some(yes_or_no(line, &text)?),
            Property::Heading => term.heading = Some(yes_or_no(line, &text)?),
            _ => {}
        }
        Ok(())
    }

    /// Whether it is a term: the file calls it one, or gives it labels and calls it nothing else.
    fn is_term(&self) -> bool {
        self.declared || (!self.other && (!self.term.labels.is_empty() || !self.xl.is_empty()))
    }
}

fn yes_or_no(line: u64, text: &str) -> Result<bool, VocabularyError> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(VocabularyError::at(
            line,
            format!("'{}' is neither true nor false", shown(text)),
            "write true or false",
        )),
    }
}

impl Gathered {
    /// Makes the draft.
    pub(super) fn finish(mut self) -> Result<Draft, VocabularyError> {
        self.note_others();
        self.draft.carries = Carries::ALL;
        self.draft.extract = !self.own;
        if !self.own {
            self.draft.carries =
                Carries { prompts: false, threshold: false, enabled: false, heading: false, ..Carries::ALL };
        }
        let is_term: Vec<bool> = (0..self.subjects.len()).map(|at| self.is_kept(at)).collect();
        self.attach(&is_term)?;
        for (at, subject) in std::mem::take(&mut self.subjects).into_iter().enumerate() {
            if is_term[at] {
                self.term(subject)?;
            }
        }
        Ok(self.draft)
    }

    /// Whether a subject becomes a term. A concept without an address is noted.
    fn is_kept(&mut self, at: usize) -> bool {
        let subject = &self.subjects[at];
        let (term, blank) = (&subject.term, subject.term.key.starts_with("_:"));
        if blank && subject.is_term() {
            let text = format!("the concept '{}' has no address and was left out", shown(term.name()));
            self.draft.note(term.line, text);
        }
        subject.is_term() && !blank
    }

    /// Tells those below what was said from above.
    fn attach(&mut self, is_term: &[bool]) -> Result<(), VocabularyError> {
        let mut unknown: Option<(u64, u64)> = None;
        for (line, above, below) in std::mem::take(&mut self.narrower) {
            let kept = |place: Option<usize>| place.filter(|&at| is_term[at]);
            match (kept(self.place(above)), kept(self.place(below))) {
                (Some(_), Some(at)) => {
                    let above = self.names[above as usize].clone();
                    self.subjects[at].term.add_parent(line, above)?;
                }
                _ => unknown = Some(unknown.map_or((line, 1), |(line, times)| (line, times + 1))),
            }
        }
        if let Some((line, times)) = unknown {
            let text = format!(
                "the file names narrower terms that it does not contain; they were left out ({times})"
            );
            self.draft.note(line, text);
        }
        Ok(())
    }

    /// Completes a term.
    fn term(&mut self, subject: Subject) -> Result<(), VocabularyError> {
        let Subject {
            mut term,
            collection,
            broader,
            xl,
            rdfs,
            definitions,
            note_nodes,
            mut note_languages,
            ..
        } = subject;
        if subject.notations > 1 {
            let (name, kept) = (shown(term.name()), term.notation.as_deref().unwrap_or_default());
            let text =
                format!("the term '{name}' has {} notations, of which '{kept}' was kept", subject.notations);
            self.draft.note(term.line, text);
        }
        for (line, role, node) in xl {
            let words = self.words.get(&node).map_or(&[][..], Vec::as_slice);
            for (language, text) in words {
                term.add_label(line, (role, language.clone()), text)?;
            }
            if words.is_empty() {
                let text =
                    format!("the label <{}> has no words in the file", shown(&self.names[node as usize]));
                self.draft.note(line, text);
            }
        }
        if !term.labels.iter().any(|label| label.role == Role::Preferred) {
            for (line, language, text) in rdfs {
                self.draft.note(
                    line,
                    format!("'{}' is only an rdfs:label and became the name", shown(text.trim())),
                );
                term.add_label(line, (Role::Preferred, language), &text)?;
            }
        }
        for (line, node) in broader {
            let above = self.above(line, node)?;
            term.add_parent(line, above)?;
        }
        for (line, node) in note_nodes {
            for (language, text) in self.words.get(&node).map_or(&[][..], Vec::as_slice) {
                note_languages.push(language.clone());
                term.add_note(line, language.clone(), text)?;
            }
        }
        for (line, language, text) in definitions {
            if note_languages.contains(&language) {
                let text = format!(
                    "the term '{}' has a scope note; its definition became another",
                    shown(term.name())
                );
                self.draft.note(line, text);
            }
            term.add_note(line, language, &text)?;
        }
        if collection {
            term.heading = Some(true);
        }
        match term.key.strip_prefix(OWN_URI).map(|id| TermId::try_from(id.to_owned())) {
            Some(Ok(id)) => term.id = Some(id),
            Some(Err(reason)) => {
                return Err(VocabularyError::at(term.line, reason, "give the term another address"));
            }
            None => {
                let key = term.key.clone();
                term.set_uri(term.line, &key)?;
            }
        }
        self.draft.push(term)
    }

    /// The key of what is broader.
    fn above(&self, line: u64, node: Node) -> Result<String, VocabularyError> {
        let name = &self.names[node as usize];
        if name.starts_with("_:") {
            return Err(VocabularyError::at(line, "the broader term has no address", "give it one"));
        }
        // One that is only in the vocabulary goes by its id there.
        let known = self.place(node).is_some();
        Ok(if known { name.clone() } else { name.strip_prefix(OWN_URI).unwrap_or(name).to_owned() })
    }
}
