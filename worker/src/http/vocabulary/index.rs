//! Terms in the order of their names, and by their words.

use std::collections::HashMap;
use std::sync::Arc;

use docent_pipelines::vocabulary::{Role, Term, TermId, Vocabulary, folded};

/// The vocabulary at one revision, as listings need it.
pub struct Index {
    /// The vocabulary.
    pub known: Arc<Vocabulary>,
    /// Places of terms, by their names.
    order: Vec<u32>,
    /// Where each term is in that order.
    ranks: HashMap<TermId, u32>,
    /// Folded words and the ranks of the terms that have them, in order.
    words: Vec<(Box<str>, u32)>,
}

impl Index {
    /// Takes a moment with many terms.
    pub fn new(known: Arc<Vocabulary>) -> Self {
        let mut order: Vec<u32> = (0..known.terms().len() as u32).collect();
        order.sort_by_cached_key(|&place| {
            let term = known.terms().get(place as usize);
            term.map(|term| (folded(known.tag(term)), term.id.clone()))
        });
        let mut ranks = HashMap::with_capacity(order.len());
        let mut words = Vec::new();
        for (rank, place) in order.iter().enumerate() {
            let Some(term) = known.terms().get(*place as usize) else { continue };
            let rank = rank as u32;
            ranks.insert(term.id.clone(), rank);
            for label in &term.labels {
                words.extend(folded(&label.text).split(' ').map(|word| (Box::from(word), rank)));
            }
        }
        words.sort_unstable();
        words.dedup();
        Self { known, order, ranks, words }
    }

    fn at(&self, rank: u32) -> Option<&Term> {
        let place = *self.order.get(rank as usize)?;
        self.known.terms().get(place as usize)
    }

    /// All terms by their names.
    pub fn all(&self) -> Vec<&Term> {
        (0..self.order.len() as u32).filter_map(|rank| self.at(rank)).collect()
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
        let mut words: Vec<&str> = asked.split(' ').filter(|word| !word.is_empty()).collect();
        // The longest word has the fewest terms, mostly.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let Some((first, others)) = words.split_first() else { return Vec::new() };
        let begin = self.words.partition_point(|(word, _)| **word < **first);
        let found = self.words.iter().skip(begin).take_while(|(word, _)| word.starts_with(first));
        let mut ranks: Vec<u32> = found.map(|(_, rank)| *rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let mut found: Vec<(u8, u32, &Term)> = ranks
            .into_iter()
            .filter_map(|rank| Some((rank, self.at(rank)?)))
            .filter(|(_, term)| others.iter().all(|asked| has_word(term, asked)))
            .map(|(rank, term)| (self.nearness(term, &asked), rank, term))
            .collect();
        found.sort_unstable_by_key(|(nearness, rank, _)| (*nearness, *rank));
        found.into_iter().map(|(_, _, term)| term).collect()
    }

    /// How well a term fits: the best first.
    fn nearness(&self, term: &Term, asked: &str) -> u8 {
        let name = folded(self.known.tag(term));
        let called = |label: &docent_pipelines::vocabulary::Label| {
            label.role != Role::Hidden && folded(&label.text) == asked
        };
        if name == asked {
            0
        } else if term.labels.iter().any(called) {
            1
        } else if name.starts_with(asked) {
            2
        } else {
            3
        }
    }
}

fn has_word(term: &Term, asked: &str) -> bool {
    term.labels.iter().any(|label| folded(&label.text).split(' ').any(|word| word.starts_with(asked)))
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
