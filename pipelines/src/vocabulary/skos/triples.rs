//! What SKOS says of terms, in a fixed order.

use std::collections::HashMap;

use oxrdf::vocab::{rdf, xsd};
use oxrdf::{Literal, NamedNode, Triple};

use super::names::{DOCENT, SCHEME, SKOS};
use crate::vocabulary::draft::{OWN_URI, is_unwanted};
use crate::vocabulary::loss::Losses;
use crate::vocabulary::{Language, Role, Term, TermId};

/// The statements about one term after the other, sorted by address.
pub(super) fn triples(terms: &[Term], losses: &mut Losses) -> Vec<Triple> {
    let mut addresses: HashMap<&TermId, NamedNode> = HashMap::with_capacity(terms.len());
    for term in terms {
        addresses.insert(&term.id, address(term, losses));
    }
    let mut sorted: Vec<&Term> = terms.iter().collect();
    sorted.sort_by(|a, b| addresses[&a.id].as_str().cmp(addresses[&b.id].as_str()));
    let scheme = NamedNode::new_unchecked(SCHEME);
    let version = Literal::from(1);
    let mut triples = vec![
        Triple::new(scheme.clone(), rdf::TYPE, named(SKOS, "ConceptScheme")),
        Triple::new(scheme, named(DOCENT, "version"), version),
    ];
    for term in sorted {
        let mut about = About {
            subject: addresses[&term.id].clone(),
            name: term.name(&Language::none()),
            triples,
            losses,
        };
        about.term(term, &addresses);
        triples = about.triples;
    }
    triples
}

fn named(space: &str, name: &str) -> NamedNode {
    NamedNode::new_unchecked(format!("{space}{name}"))
}

/// The term's own address, or else one made of its id.
fn address(term: &Term, losses: &mut Losses) -> NamedNode {
    let own = || NamedNode::new_unchecked(format!("{OWN_URI}{}", term.id));
    let Some(uri) = &term.uri else { return own() };
    match NamedNode::new(uri) {
        Ok(node) if !uri.starts_with(OWN_URI) && uri != SCHEME => node,
        _ => {
            losses.add("an address that is none", term.name(&Language::none()));
            own()
        }
    }
}

/// The statements about a term.
struct About<'a> {
    subject: NamedNode,
    name: &'a str,
    triples: Vec<Triple>,
    losses: &'a mut Losses,
}

impl About<'_> {
    fn term(&mut self, term: &Term, addresses: &HashMap<&TermId, NamedNode>) {
        self.say(rdf::TYPE.into_owned(), named(SKOS, "Concept"));
        if !self.subject.as_str().starts_with(OWN_URI) {
            self.say(named(DOCENT, "id"), Literal::from(term.id.as_str()));
        }
        for (role, name) in
            [(Role::Preferred, "prefLabel"), (Role::Alternative, "altLabel"), (Role::Hidden, "hiddenLabel")]
        {
            let labels = term.labels.iter().filter(|label| label.role == role);
            self.words(named(SKOS, name), labels.map(|label| (&label.language, label.text.as_str())));
        }
        if let Some(notation) = &term.notation {
            let notation = self.clean(notation);
            self.say(named(SKOS, "notation"), Literal::from(notation));
        }
        let parent = |id: &TermId| match addresses.get(id) {
            Some(address) => address.clone(),
            None => NamedNode::new_unchecked(format!("{OWN_URI}{id}")),
        };
        let mut parents: Vec<NamedNode> = term.parents.iter().map(parent).collect();
        parents.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        for parent in parents {
            self.say(named(SKOS, "broader"), parent);
        }
        self.words(
            named(SKOS, "scopeNote"),
            term.notes.iter().map(|note| (&note.language, note.text.as_str())),
        );
        let none = Language::none();
        self.words(named(DOCENT, "prompt"), term.prompts.iter().map(|prompt| (&none, prompt.as_str())));
        if let Some(threshold) = term.threshold {
            // A decimal has a point, and no exponent.
            let digits = threshold.to_string();
            let digits = if digits.contains('.') { digits } else { format!("{digits}.0") };
            self.say(named(DOCENT, "threshold"), Literal::new_typed_literal(digits, xsd::DECIMAL));
        }
        if !term.enabled {
            self.say(named(DOCENT, "enabled"), Literal::from(false));
        }
        if term.heading {
            self.say(named(DOCENT, "heading"), Literal::from(true));
        }
    }

    fn say(&mut self, predicate: NamedNode, object: impl Into<oxrdf::Term>) {
        self.triples.push(Triple::new(self.subject.clone(), predicate, object));
    }

    /// Says all words of one property, sorted.
    fn words<'w>(&mut self, predicate: NamedNode, words: impl Iterator<Item = (&'w Language, &'w str)>) {
        let mut words: Vec<_> = words.collect();
        words.sort_unstable();
        for (language, text) in words {
            let text = self.clean(text);
            let literal = if language.is_none() {
                Literal::new_simple_literal(text)
            } else {
                Literal::new_language_tagged_literal(text.clone(), language.as_str()).unwrap_or_else(|_| {
                    self.losses.add("a language that RDF does not know", self.name);
                    Literal::new_simple_literal(text)
                })
            };
            self.say(predicate.clone(), literal);
        }
    }

    /// A text without the characters that XML cannot hold.
    fn clean(&mut self, text: &str) -> String {
        let unwanted = |c: char| is_unwanted(c) && !matches!(c, '\n' | '\t');
        if text.contains(unwanted) {
            self.losses.add("a control character", self.name);
        }
        text.replace(unwanted, " ")
    }
}
