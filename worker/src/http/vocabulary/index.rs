//! Terms in the order of their names, and by their words.

use std::collections::HashMap;
use std::sync::Arc;

use docent_pipelines::vocabulary::{Role, Term, TermId, Vocabulary, folded};

/// The vocabulary at one revision, as listings need it.
pub struct Index {
    /// The vocabulary.
    pub known: Arc<Vocabulary>,
    /// All terms, by their names.
    entries: Vec<Entry>,
    /// Where each term is there.
    ranks: HashMap<TermId, u32>,
    /// Folded words and the ranks of the terms that have them, in order.
    words: Vec<(Box<str>, u32)>,
}

/// A term, with its words as they are compared.
struct Entry {
    place: u32,
    name: Box<str>,
    labels: Vec<(Role, Box<str>)>,
}

impl Index {
    /// Takes a moment with many terms.
    pub fn new(known: Arc<Vocabulary>) -> Self {
        let entry = |(place, term): (usize, &Term)| Entry {
            place: place as u32,
            name: folded(known.tag(term)).into(),
            labels: term.labels.iter().map(|label| (label.role, folded(&label.text).into())).collect(),
        };
        let mut entries: Vec<Entry> = known.terms().iter().enumerate().map(entry).collect();
        let id = |entry: &Entry| known.terms().get(entry.place as usize).map(|term| &term.id);
        entries.sort_unstable_by(|a, b| (&a.name, id(a)).cmp(&(&b.name, id(b))));
        let ranks = entries.iter().zip(0..).filter_map(|(entry, rank)| Some((id(entry)?.clone(), rank)));
        let ranks = ranks.collect();
        let mut words: Vec<(Box<str>, u32)> = Vec::new();
        for (entry, rank) in entries.iter().zip(0..) {
            let own = entry.labels.iter().flat_map(|(_, label)| label.split(' '));
            words.extend(own.map(|word| (Box::from(word), rank)));
        }
        words.sort_unstable();
        words.dedup();
        Self { known, entries, ranks, words }
    }

    fn term(&self, entry: &Entry) -> Option<&Term> {
        self.known.terms().get(entry.place as usize)
    }

    /// All terms by their names.
    pub fn all(&self) -> Vec<&Term> {
        self.entries.iter().filter_map(|entry| self.term(entry)).collect()
    }

    /// The terms that have nothing above them.
    pub fn top(&self) -> Vec<&Term> {
        let mut all = self.all();
        all.retain(|term| term.parents.is_empty());
        all
    }

    /// The terms directly below one.
    pub fn below(&self, id: &TermId) -> Vec<&Term> {
        let mut below: Vec<&Term> = self.known.children(id).collect();
        below.sort_by_key(|term| self.ranks.get(&term.id));
        below
    }

    /// The terms of which each word asked for begins a word. Those called so come first, then those whose names begin so.
    pub fn with_words(&self, asked: &str) -> Vec<&Term> {
        let asked = folded(asked);
        let words: Vec<&str> = asked.split(' ').filter(|word| !word.is_empty()).collect();
        // The word that begins the fewest others decides what is looked at.
        let Some(found) = words.iter().map(|word| self.beginning(word)).min_by_key(|found| found.len())
        else {
            return Vec::new();
        };
        let mut ranks: Vec<u32> = found.iter().map(|(_, rank)| *rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let mut found: Vec<(u8, &Entry)> = ranks
            .into_iter()
            .filter_map(|rank| self.entries.get(rank as usize))
            .filter(|entry| words.iter().all(|word| entry.has(word)))
            .map(|entry| (entry.nearness(&asked), entry))
            .collect();
        // Those that fit as well stay in the order of their names.
        found.sort_by_key(|(nearness, _)| *nearness);
        found.into_iter().filter_map(|(_, entry)| self.term(entry)).collect()
    }

    /// The words that begin so.
    fn beginning(&self, so: &str) -> &[(Box<str>, u32)] {
        let begin = self.words.partition_point(|(word, _)| **word < *so);
        let end = self.words.partition_point(|(word, _)| **word < *so || word.starts_with(so));
        self.words.get(begin..end).unwrap_or_default()
    }
}

impl Entry {
    fn has(&self, asked: &str) -> bool {
        self.labels.iter().any(|(_, label)| label.split(' ').any(|word| word.starts_with(asked)))
    }

    /// How well it fits: the best first.
    fn nearness(&self, asked: &str) -> u8 {
        if *self.name == *asked {
            0
        } else if self.labels.iter().any(|(role, label)| *role != Role::Hidden && **label == *asked) {
            1
        } else if self.name.starts_with(asked) {
            2
        } else {
            3
        }
    }
}

#[cfg(test)]
mod tests {
    use docent_pipelines::vocabulary::{Label, Language};

    use super::*;

    fn index(names: &[&str]) -> Index {
        let english = || Language::try_from("en".to_owned()).expect("is a language");
        let terms = names.iter().map(|name| {
            let mut words = name.split('/');
            let first = words.next().expect("has a name");
            let mut term = Term::named(TermId::derived(&[name]), english(), first);
            term.labels.extend(words.map(|word| Label {
                language: english(),
                role: Role::Alternative,
                text: word.to_owned(),
            }));
            term
        });
        let known = Vocabulary::new(1, english(), terms.collect(), HashMap::new());
        Index::new(Arc::new(known))
    }

    #[test]
    fn each_word_is_the_beginning_of_one() {
        let index = index(&["Doghouse", "black dog", "dog/hound", "cat/house-cat", "hot dog stand"]);
        let found = |asked: &str| -> Vec<String> {
            index.with_words(asked).iter().map(|term| index.known.tag(term).to_owned()).collect()
        };
        assert_eq!(found("dog"), ["dog", "Doghouse", "black dog", "hot dog stand"]);
        assert_eq!(found("DO ho"), ["dog", "hot dog stand"]);
        assert_eq!(found("hous"), ["cat"]);
        assert_eq!(found("house"), ["cat"]);
        assert_eq!(found("hound"), ["dog"]);
        assert!(found("og").is_empty() && found(" - ").is_empty());
        let names: Vec<&str> = index.all().iter().map(|term| index.known.tag(term)).collect();
        assert_eq!(names, ["black dog", "cat", "dog", "Doghouse", "hot dog stand"]);
    }

    #[test]
    fn many_terms_take_no_long_time() {
        let names: Vec<String> = (0..50_000).map(|n| format!("term {n} of many")).collect();
        let index = index(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(index.with_words("ter 4999").len(), 11);
        assert_eq!(index.top().len(), 50_000);
    }
}
