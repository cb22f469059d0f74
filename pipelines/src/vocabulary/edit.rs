//! Changes of single terms.

use std::collections::HashMap;

use super::{Language, Role, Term, TermId, Vocabulary, VocabularyError, check_terms, folded};

impl Vocabulary {
    /// The term that a person means: by its id, its address, the path of its names (`animal > cat`), or one of its words.
    ///
    /// # Errors
    ///
    /// If there is none, or several; the message names some of them.
    pub fn find(&self, asked: &str) -> Result<&Term, VocabularyError> {
        let asked = asked.trim();
        let by_id = TermId::try_from(asked.to_owned()).ok().and_then(|id| self.term(&id));
        let by_uri = || self.terms().iter().find(|term| term.uri.as_deref() == Some(asked));
        if let Some(term) = by_id.or_else(by_uri) {
            return Ok(term);
        }
        let path: Vec<String> = asked.split('>').map(folded).collect();
        let Some((name, above)) = path.split_last() else { return Err(unknown(asked)) };
        for role in [Role::Preferred, Role::Alternative, Role::Hidden] {
            let has = |term: &&Term| {
                term.labels.iter().any(|label| label.role == role && folded(&label.text) == *name)
                    && self.is_below(term, above)
            };
            let found: Vec<&Term> = self.terms().iter().filter(has).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok(one),
                several => {
                    let paths: Vec<String> = several.iter().take(5).map(|term| self.path(term)).collect();
                    return Err(VocabularyError::whole(
                        format!("{} terms are called '{asked}': {}", several.len(), paths.join("; ")),
                        "give the path of its names, as in 'animal > cat', or its id",
                    ));
                }
            }
        }
        Err(unknown(asked))
    }

    fn is_below(&self, term: &Term, above: &[String]) -> bool {
        let Some((nearest, further)) = above.split_last() else { return true };
        term.parents.iter().filter_map(|id| self.term(id)).any(|parent| {
            parent.labels.iter().any(|label| folded(&label.text) == *nearest)
                && self.is_below(parent, further)
        })
    }

    /// The names from a top term down to `term`, by its first broader terms.
    pub fn path(&self, term: &Term) -> String {
        let mut names = vec![self.tag(term)];
        let mut at = term;
        while let Some(parent) = at.parents.first().and_then(|id| self.term(id))
            && names.len() < super::MAX_DEPTH
        {
            names.push(self.tag(parent));
            at = parent;
        }
        names.reverse();
        names.join(" > ")
    }

    /// Whether the vocabulary is sound with these terms put into it, and those of `gone` taken out.
    ///
    /// # Errors
    ///
    /// What would be wrong: a cycle, a broader term that is missing, no preferred label or two in one language, an address
    /// of two terms.
    pub fn allows(&self, put: &[Term], gone: &[TermId]) -> Result<(), VocabularyError> {
        let mut terms: HashMap<&TermId, &Term> = self.terms().iter().map(|term| (&term.id, term)).collect();
        terms.extend(put.iter().map(|term| (&term.id, term)));
        terms.retain(|id, _| !gone.contains(id));
        let mut terms: Vec<Term> = terms.into_values().cloned().collect();
        // Which of two faults is told does not depend on chance.
        terms.sort_by(|a, b| a.id.cmp(&b.id));
        check_terms(terms)
    }
}

fn unknown(asked: &str) -> VocabularyError {
    VocabularyError::whole(
        format!("no term is called '{asked}'"),
        "look for it with `docent vocabulary list WORDS`",
    )
}

impl Term {
    /// Gives the term another name in a language; the earlier one becomes a synonym.
    pub fn rename(&mut self, language: &Language, name: &str) {
        let mut is_new = true;
        for label in self.labels.iter_mut().filter(|label| label.language == *language) {
            if label.text == name {
                label.role = Role::Preferred;
                is_new = false;
            } else if label.role == Role::Preferred {
                label.role = Role::Alternative;
            }
        }
        if is_new {
            let label =
                super::Label { language: language.clone(), role: Role::Preferred, text: name.to_owned() };
            self.labels.insert(0, label);
        }
    }

    /// Adds a word, if the term has not got it in that language.
    pub fn also(&mut self, language: &Language, role: Role, word: &str) {
        let has = self.labels.iter().any(|label| label.language == *language && label.text == word);
        if !has {
            self.labels.push(super::Label { language: language.clone(), role, text: word.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TermId {
        TermId::derived(&[name])
    }

    fn term(key: &str, name: &str, parents: &[&str]) -> Term {
        let mut term = Term::named(id(key), Language::none(), name);
        term.parents = parents.iter().map(|parent| id(parent)).collect();
        term
    }

    fn vocabulary() -> Vocabulary {
        let mut cat = term("cat", "cat", &["animal"]);
        cat.uri = Some("https://example.org/cat".to_owned());
        cat.also(&Language::none(), Role::Alternative, "pussy-cat");
        let terms = vec![
            term("animal", "animal", &[]),
            cat,
            term("river bank", "bank", &["animal"]),
            term("money bank", "bank", &["cat"]),
        ];
        Vocabulary::new(1, Language::none(), terms, HashMap::new())
    }

    #[test]
    fn people_name_terms_as_they_like() {
        let vocabulary = vocabulary();
        let found = |asked: &str| {
            vocabulary.find(asked).map(|term| term.id.clone()).map_err(|error| error.to_string())
        };
        for asked in
            ["cat", " Cat", "pussy cat", "animal > cat", "https://example.org/cat", id("cat").as_str()]
        {
            assert_eq!(found(asked), Ok(id("cat")), "{asked}");
        }
        assert_eq!(found("animal>bank"), Ok(id("river bank")));
        assert_eq!(found("animal > cat > bank"), Ok(id("money bank")));
        let told = found("bank").expect_err("means two");
        assert!(told.contains("2 terms") && told.contains("animal > bank; animal > cat > bank"), "{told}");
        assert!(found("dog").is_err() && found("").is_err());
    }

    #[test]
    fn what_would_not_be_sound_is_told() {
        let vocabulary = vocabulary();
        assert!(vocabulary.allows(&[term("animal", "animal", &["money bank"])], &[]).is_err());
        assert!(vocabulary.allows(&[], &[id("cat")]).is_err(), "something is below it");
        assert!(vocabulary.allows(&[], &[id("money bank")]).is_ok());
        let mut nameless = term("x", "x", &[]);
        nameless.labels[0].role = Role::Hidden;
        assert!(vocabulary.allows(&[nameless], &[]).is_err());
        let mut double = term("y", "y", &[]);
        double.uri = Some("https://example.org/cat".to_owned());
        assert!(vocabulary.allows(&[double], &[]).is_err());
        assert!(vocabulary.allows(&[term("dog", "dog", &["animal"])], &[]).is_ok());
    }

    #[test]
    fn a_former_name_is_a_synonym() {
        let mut dog = term("dog", "dog", &[]);
        dog.rename(&Language::none(), "hound");
        assert_eq!((dog.name(&Language::none()), dog.labels.len()), ("hound", 2));
        dog.rename(&Language::none(), "dog");
        assert_eq!((dog.name(&Language::none()), dog.labels.len()), ("dog", 2));
    }
}
