//! A term that a person typed, held to what every file is held to.

use super::{DraftTerm, Term, TermId, Vocabulary, VocabularyError};

impl Term {
    /// The term as a file would give it: no space around its texts, nothing twice.
    ///
    /// # Errors
    ///
    /// A text that is empty, too long or holds control characters, an address that is none, a threshold that is no
    /// probability, too many of something.
    pub fn tidied(self) -> Result<Self, VocabularyError> {
        let Self { id, uri, notation, parents, labels, notes, prompts, threshold, enabled, heading } = self;
        let mut draft = DraftTerm::new(id.to_string(), 0);
        for label in labels {
            draft.add_label(0, (label.role, label.language), &label.text)?;
        }
        for parent in &parents {
            draft.add_parent(0, parent.to_string())?;
        }
        for note in notes {
            draft.add_note(0, note.language, &note.text)?;
        }
        for prompt in &prompts {
            draft.add_prompt(0, prompt)?;
        }
        if let Some(uri) = &uri {
            draft.set_uri(0, uri)?;
        }
        if let Some(notation) = &notation {
            draft.set_notation(0, notation)?;
        }
        if let Some(threshold) = threshold {
            draft.set_threshold(0, &threshold.to_string())?;
        }
        let mut once: Vec<TermId> = Vec::with_capacity(parents.len());
        for parent in parents {
            if !once.contains(&parent) {
                once.push(parent);
            }
        }
        let DraftTerm { labels, notes, uri, notation, prompts, threshold, .. } = draft;
        Ok(Self { id, uri, notation, parents: once, labels, notes, prompts, threshold, enabled, heading })
    }
}

impl Vocabulary {
    /// Whether one term may be merged into another.
    ///
    /// # Errors
    ///
    /// If they are one, or if what stays would be broader than itself.
    pub fn allows_merge(&self, from: &Term, into: &Term) -> Result<(), VocabularyError> {
        if from.id == into.id {
            let reason = format!("the term '{}' cannot be merged into itself", self.tag(from));
            return Err(VocabularyError::whole(reason, "choose another one"));
        }
        let mut stays = into.clone();
        stays.parents.retain(|parent| *parent != from.id);
        let mut put = vec![stays];
        for child in self.children(&from.id).filter(|child| child.id != into.id) {
            let mut child = child.clone();
            child.parents.retain(|parent| *parent != from.id);
            if !child.parents.contains(&into.id) {
                child.parents.push(into.id.clone());
            }
            put.push(child);
        }
        self.allows(&put, std::slice::from_ref(&from.id))
    }

    /// The term that has the address of another, or its name below the same term, if there is one.
    pub fn twin(&self, of: &Term) -> Option<&Term> {
        let name = super::folded(self.tag(of));
        let first = of.parents.first();
        let is_twin = |term: &&Term| {
            (of.uri.is_some() && term.uri == of.uri)
                || (term.parents.first() == first && super::folded(self.tag(term)) == name)
        };
        self.terms().iter().find(is_twin)
    }

    /// An id for a new term that no other has: made of its address, or else of what is above and its name.
    pub fn free_id(&self, term: &Term) -> TermId {
        let name = term.name(&super::Language::none());
        let parts: Vec<&str> = match &term.uri {
            Some(uri) => vec![uri],
            None => term.parents.first().map(TermId::as_str).into_iter().chain([name]).collect(),
        };
        // Another term may have got the id before it was renamed or moved, or went elsewhere with it.
        let mut id = TermId::derived(&parts);
        for count in 2_u32.. {
            if self.term(&id).is_none() {
                break;
            }
            let count = count.to_string();
            id = TermId::derived(&parts.iter().copied().chain([count.as_str()]).collect::<Vec<_>>());
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::vocabulary::{Label, Language, Role};

    fn id(name: &str) -> TermId {
        TermId::derived(&[name])
    }

    fn term(name: &str, parents: &[&str]) -> Term {
        let mut term = Term::named(id(name), Language::none(), name);
        term.parents = parents.iter().map(|parent| id(parent)).collect();
        term
    }

    fn vocabulary(terms: Vec<Term>) -> Vocabulary {
        Vocabulary::new(1, Language::none(), terms, HashMap::from([(id("kitty"), id("cat"))]))
    }

    #[test]
    fn what_is_typed_is_tidied_or_refused() {
        let mut dog = term(" dog\n", &["animal", "animal"]);
        dog.labels.push(Label { language: Language::none(), role: Role::Preferred, text: "dog".to_owned() });
        dog.threshold = Some(0.25);
        let tidy = dog.clone().tidied().expect("is sound");
        assert_eq!((tidy.name(&Language::none()), tidy.labels.len(), tidy.parents.len()), ("dog", 1, 1));
        assert_eq!(tidy.clone().tidied(), Ok(tidy));
        let refused = |change: &dyn Fn(&mut Term)| {
            let mut wrong = dog.clone();
            change(&mut wrong);
            wrong.tidied().is_err()
        };
        assert!(refused(&|term| term.labels[0].text = "a\u{7}b".to_owned()));
        assert!(refused(&|term| term.labels[0].text = " ".to_owned()));
        assert!(refused(&|term| term.uri = Some("no address".to_owned())));
        assert!(refused(&|term| term.threshold = Some(2.0)));
    }

    #[test]
    fn merging_makes_no_circle() {
        let terms = vec![term("a", &[]), term("b", &["a"]), term("c", &["a", "b"]), term("d", &["a"])];
        let vocabulary = vocabulary(terms.clone());
        let merge = |from: usize, into: usize| vocabulary.allows_merge(&terms[from], &terms[into]);
        assert!(merge(0, 2).is_err(), "b is above c, and would be below it");
        assert!(merge(0, 0).is_err());
        assert!(merge(1, 2).is_ok() && merge(0, 3).is_ok() && merge(2, 0).is_ok());
    }

    #[test]
    fn a_new_term_is_told_from_those_that_are_there() {
        let vocabulary = vocabulary(vec![term("animal", &[]), term("cat", &["animal"])]);
        assert!(vocabulary.twin(&term("Cat", &["animal"])).is_some());
        assert!(vocabulary.twin(&term("cat", &[])).is_none());
        assert_ne!(vocabulary.free_id(&term("animal", &[])), id("animal"));
        // The id of what was merged leads elsewhere.
        assert_ne!(vocabulary.free_id(&term("kitty", &[])), id("kitty"));
        assert_eq!(vocabulary.free_id(&term("dog", &[])), id("dog"));
    }
}
