//! The vocabulary as a whole: looks terms up by their words, and turns what networks say into them.

use std::collections::{HashMap, HashSet};

use super::{Language, Role, Term, TermId};
use crate::suggestion::{Claim, Kind, Suggestion, SuggestionId};

/// All terms as they stand at one revision.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// Grows with every change.
    pub revision: i64,
    /// The language whose names become tags.
    pub language: Language,
    terms: Vec<Term>,
    places: HashMap<TermId, usize>,
    /// Where terms went that were merged.
    merged: HashMap<TermId, TermId>,
    labels: HashMap<String, Meaning>,
    narrower: HashMap<TermId, Vec<usize>>,
}

/// How a term stands.
#[derive(Debug, Clone)]
pub enum TermState {
    /// It is in the vocabulary, as it is here.
    Present(Box<Term>),
    /// It was taken out.
    Removed,
    /// It was merged into another.
    Merged(TermId),
}

/// What a folded label means.
#[derive(Debug, Clone, Copy)]
struct Meaning {
    role: Role,
    term: usize,
    /// Another term has it in the same role.
    ambiguous: bool,
}

/// A word as it is compared: in lower case, with single spaces, and no hyphens or underscores.
pub fn folded(word: &str) -> String {
    let words =
        word.split(|c: char| c.is_whitespace() || c == '-' || c == '_').filter(|part| !part.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

impl Vocabulary {
    /// A vocabulary of these terms.
    pub fn new(revision: i64, language: Language, terms: Vec<Term>, merged: HashMap<TermId, TermId>) -> Self {
        let places = terms.iter().enumerate().map(|(place, term)| (term.id.clone(), place)).collect();
        let mut labels: HashMap<String, Meaning> = HashMap::new();
        let mut narrower: HashMap<TermId, Vec<usize>> = HashMap::new();
        for (place, term) in terms.iter().enumerate() {
            for label in &term.labels {
                learn(
                    &mut labels,
                    folded(&label.text),
                    Meaning { role: label.role, term: place, ambiguous: false },
                );
            }
            for parent in &term.parents {
                narrower.entry(parent.clone()).or_default().push(place);
            }
        }
        Self { revision, language, terms, places, merged, labels, narrower }
    }

    /// This vocabulary at a later revision, where these terms are new or stand otherwise.
    pub fn later(&self, revision: i64, language: Language, changes: Vec<(TermId, TermState)>) -> Self {
        let touched: HashSet<&TermId> = changes.iter().map(|(id, _)| id).collect();
        let mut merged = self.merged.clone();
        merged.retain(|id, _| !touched.contains(id));
        let mut terms: Vec<Term> =
            self.terms.iter().filter(|term| !touched.contains(&term.id)).cloned().collect();
        drop(touched);
        for (id, change) in changes {
            match change {
                TermState::Present(term) => terms.push(*term),
                TermState::Removed => {}
                TermState::Merged(into) => drop(merged.insert(id, into)),
            }
        }
        terms.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Self::new(revision, language, terms, merged)
    }

    /// All terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether there is none, so that every word of a network is a tag.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// A term, or the one that it was merged into.
    pub fn term(&self, id: &TermId) -> Option<&Term> {
        let mut id = id;
        // Merged terms form no circle: what is merged is never merged into.
        for _ in 0..=self.merged.len() {
            match self.places.get(id) {
                Some(&place) => return self.terms.get(place),
                None => id = self.merged.get(id)?,
            }
        }
        None
    }

    /// The tag of a term: its name in the vocabulary's language.
    pub fn tag<'a>(&self, term: &'a Term) -> &'a str {
        term.name(&self.language)
    }

    /// The term that a word means: one whose name it is, else one that has it as a synonym, else one that is found by it.
    /// `None` if no term has it, or several in the same role.
    pub fn meaning(&self, word: &str) -> Option<&Term> {
        let meaning = self.labels.get(&folded(word)).filter(|meaning| !meaning.ambiguous)?;
        self.terms.get(meaning.term)
    }

    /// What is broader than a term, nearest first, without headings. Cycles end it.
    pub fn broader<'a>(&'a self, term: &'a Term) -> Vec<&'a Term> {
        let mut found: Vec<&Term> = Vec::new();
        let mut seen: HashSet<&TermId> = HashSet::from([&term.id]);
        let mut level = vec![term];
        while !level.is_empty() {
            let parents = level.iter().flat_map(|term| &term.parents);
            level = parents.filter(|id| seen.insert(id)).filter_map(|id| self.term(id)).collect();
            found.extend(level.iter().filter(|term| !term.heading));
        }
        found
    }

    /// The terms directly below a term, in the order of the vocabulary.
    pub fn children<'a>(&'a self, id: &TermId) -> impl Iterator<Item = &'a Term> + use<'a> {
        let places = self.narrower.get(id).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|&place| self.terms.get(place))
    }

    /// A term and everything narrower. Cycles end it.
    pub fn narrower<'a>(&'a self, term: &'a Term) -> Vec<&'a Term> {
        let mut found = vec![term];
        let mut seen: HashSet<&TermId> = HashSet::from([&term.id]);
        let mut next = 0;
        while let Some(term) = found.get(next) {
            found.extend(self.children(&term.id).filter(|child| seen.insert(&child.id)));
            next += 1;
        }
        found
    }

    /// What networks say, in the archive's own words. A tag becomes the term that it means; a tag that means none becomes a
    /// proposal. A thing in the picture that means a term is also a tag, unless a classifier says it. A term that is off, and a
    /// heading, say nothing. Without a vocabulary everything stays as it is.
    pub fn translate(&self, suggestions: Vec<Suggestion>) -> Vec<Suggestion> {
        if self.is_empty() {
            return suggestions;
        }
        let things: Vec<Suggestion> = suggestions.iter().filter_map(|said| self.tag_of_thing(said)).collect();
        let translate = |suggestion: Suggestion| match suggestion.kind {
            Kind::Tag if suggestion.term.is_none() => self.translated(suggestion),
            _ => Some(suggestion),
        };
        let mut said = surest(suggestions.into_iter().filter_map(translate));
        let tagged: HashSet<TermId> = said.iter().filter_map(|said| said.term.clone()).collect();
        let is_new = |thing: &Suggestion| thing.term.as_ref().is_some_and(|term| !tagged.contains(term));
        said.extend(surest(things.into_iter().filter(is_new)));
        said
    }

    /// The tag for a thing that a detector found.
    fn tag_of_thing(&self, thing: &Suggestion) -> Option<Suggestion> {
        let term = self.meaning(&thing.value).filter(|_| thing.kind == Kind::Object)?;
        self.tag_by(term, thing)
    }

    /// What `said` says as the tag of a term; `None` if the term is not offered.
    fn tag_by(&self, term: &Term, said: &Suggestion) -> Option<Suggestion> {
        if !term.enabled || term.heading {
            return None;
        }
        let claim = Claim {
            kind: Kind::Tag,
            value: self.tag(term).to_owned(),
            confidence: said.confidence,
            region: None,
            implies: self.implied(term),
        };
        let mut tag = Suggestion::new(said.asset.clone(), said.analyzer, claim, said.model.clone());
        tag.term = Some(term.id.clone());
        Some(tag)
    }

    fn translated(&self, said: Suggestion) -> Option<Suggestion> {
        if let Some(term) = self.meaning(&said.value) {
            return self.tag_by(term, &said);
        }
        let implied = said.implies.iter().filter_map(|word| self.meaning(word));
        let implied = implied.filter(|term| term.enabled && !term.heading);
        let claim = Claim {
            kind: Kind::Proposal,
            implies: implied.map(|term| self.tag(term).to_owned()).collect(),
            value: said.value,
            confidence: said.confidence,
            region: said.region,
        };
        Some(Suggestion::new(said.asset, said.analyzer, claim, said.model))
    }

    /// The tags that a term implies: those of its broader terms that are on.
    pub fn implied(&self, term: &Term) -> Vec<String> {
        let broader = self.broader(term);
        broader.iter().filter(|term| term.enabled).map(|term| self.tag(term).to_owned()).collect()
    }
}

/// Several words may mean one term, and several things: of these the surest counts.
fn surest(suggestions: impl Iterator<Item = Suggestion>) -> Vec<Suggestion> {
    let mut said: Vec<Suggestion> = Vec::new();
    let mut places: HashMap<SuggestionId, usize> = HashMap::new();
    for suggestion in suggestions {
        match places.get(&suggestion.id).and_then(|&place| said.get_mut(place)) {
            Some(known) if suggestion.term.is_some() => {
                if suggestion.confidence > known.confidence {
                    *known = suggestion;
                }
            }
            _ => {
                places.insert(suggestion.id.clone(), said.len());
                said.push(suggestion);
            }
        }
    }
    said
}

/// Enters a label, unless it means something in a nearer role.
fn learn(labels: &mut HashMap<String, Meaning>, word: String, new: Meaning) {
    let known = labels.entry(word).or_insert(new);
    if new.role < known.role {
        *known = new;
    } else if new.role == known.role && new.term != known.term {
        known.ambiguous = true;
    }
}

#[cfg(test)]
mod tests {
    use docent_models::ModelRef;

    use super::*;
    use crate::AnalyzerId;
    use crate::asset::ContentHash;
    use crate::suggestion::{Confidence, Region};
    use crate::vocabulary::Label;

    fn id(name: &str) -> TermId {
        TermId::derived(&[name])
    }

    fn term(name: &str, parents: &[&str], others: &[(Role, &str)]) -> Term {
        let language = || Language::try_from("en".to_owned()).expect("is a language");
        let mut term = Term::named(id(name), language(), name);
        term.parents = parents.iter().map(|parent| id(parent)).collect();
        let label =
            |&(role, text): &(Role, &str)| Label { language: language(), role, text: text.to_owned() };
        term.labels.extend(others.iter().map(label));
        term
    }

    fn vocabulary() -> Vocabulary {
        let mut things = term("things", &[], &[]);
        things.heading = true;
        let mut off = term("off", &[], &[(Role::Alternative, "switched off")]);
        off.enabled = false;
        let terms = vec![
            things,
            term("animal", &["things"], &[]),
            term("cat", &["animal"], &[(Role::Hidden, "tabby"), (Role::Alternative, "house-cat")]),
            term("bank", &[], &[(Role::Alternative, "shore")]),
            term("seat", &[], &[(Role::Alternative, "bank"), (Role::Alternative, "bench")]),
            term("court", &[], &[(Role::Alternative, "bench")]),
            off,
        ];
        Vocabulary::new(1, Language::default(), terms, HashMap::from([(id("kitty"), id("cat"))]))
    }

    fn said(value: &str, implies: &[&str]) -> Suggestion {
        let claim = Claim {
            kind: Kind::Tag,
            value: value.to_owned(),
            confidence: Confidence::new(0.9),
            region: None,
            implies: implies.iter().map(|word| (*word).to_owned()).collect(),
        };
        let asset = ContentHash::of(b"a").asset_id();
        Suggestion::new(asset, AnalyzerId::Tags, claim, ModelRef::new("tagger", "1"))
    }

    fn heard(value: &str, implies: &[&str]) -> Option<(Kind, String, Vec<String>)> {
        let heard = vocabulary().translate(vec![said(value, implies)]);
        heard.into_iter().next().map(|heard| (heard.kind, heard.value, heard.implies))
    }

    #[test]
    fn a_networks_words_become_terms_or_proposals() {
        let tag = |value: &str, implies: &[&str]| {
            Some((Kind::Tag, value.to_owned(), implies.iter().map(|word| (*word).to_owned()).collect()))
        };
        assert_eq!(heard("Tabby", &["feline"]), tag("cat", &["animal"]));
        assert_eq!(heard("house cat", &[]), tag("cat", &["animal"]));
        let proposal = Some((Kind::Proposal, "lynx".to_owned(), vec!["cat".to_owned()]));
        assert_eq!(heard("lynx", &["cat", "feline"]), proposal);
        // A name comes before a synonym, and a synonym of two terms means neither.
        assert_eq!(heard("bank", &[]), tag("bank", &[]));
        assert_eq!(heard("bench", &[]).map(|heard| heard.0), Some(Kind::Proposal));
        // What is off, and what only groups, is not said at all.
        assert_eq!(heard("switched off", &[]), None);
        assert_eq!(heard("things", &[]), None);
    }

    #[test]
    fn a_thing_that_means_a_term_is_a_tag_too() {
        let thing = |value: &str, confidence: f64, left: f64| {
            let claim = Claim {
                kind: Kind::Object,
                value: value.to_owned(),
                confidence: Confidence::new(confidence),
                region: Region::from_corners(left, 0.0, left + 0.1, 0.5),
                implies: Vec::new(),
            };
            let asset = ContentHash::of(b"a").asset_id();
            Suggestion::new(asset, AnalyzerId::Objects, claim, ModelRef::new("detector", "1"))
        };
        let heard = vocabulary().translate(vec![
            said("tabby", &[]),
            thing("cat", 0.95, 0.1),
            thing("bank", 0.6, 0.2),
            thing("bank", 0.7, 0.4),
            thing("off", 0.9, 0.5),
            thing("kite", 0.9, 0.6),
        ]);
        let tags: Vec<(&str, AnalyzerId, f64, bool)> = heard
            .iter()
            .filter(|heard| heard.kind == Kind::Tag)
            .map(|tag| (tag.value.as_str(), tag.analyzer, tag.confidence.value(), tag.region.is_none()))
            .collect();
        // What a classifier says stays its own. Of two banks the surer one counts.
        assert_eq!(tags, [("cat", AnalyzerId::Tags, 0.9, true), ("bank", AnalyzerId::Objects, 0.7, true)]);
        assert_eq!(heard.iter().filter(|heard| heard.kind == Kind::Object).count(), 5, "things stay things");
    }

    #[test]
    fn without_a_vocabulary_every_word_is_a_tag() {
        let said = vec![said("tabby", &["feline"])];
        assert_eq!(Vocabulary::default().translate(said.clone()), said);
    }

    #[test]
    fn merged_terms_are_found_where_they_went() {
        let vocabulary = vocabulary();
        let cat = vocabulary.term(&id("kitty")).expect("is there");
        assert_eq!(vocabulary.tag(cat), "cat");
        assert!(vocabulary.term(&id("nothing")).is_none());
    }

    #[test]
    fn a_later_revision_is_as_if_read_whole() {
        let mut renamed = term("seat", &[], &[]);
        renamed.labels.truncate(1);
        let changes = vec![
            (id("seat"), TermState::Present(Box::new(renamed.clone()))),
            (id("lynx"), TermState::Present(Box::new(term("lynx", &["cat"], &[])))),
            (id("court"), TermState::Removed),
            (id("off"), TermState::Merged(id("bank"))),
            // What was merged once can come back.
            (id("kitty"), TermState::Present(Box::new(term("kitty", &[], &[])))),
        ];
        let later = vocabulary().later(7, Language::default(), changes);
        assert_eq!(later.revision, 7);
        assert_eq!(later.terms().len(), 7);
        assert!(later.terms().windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(later.term(&id("off")).map(|term| &term.id), Some(&id("bank")));
        assert_eq!(later.term(&id("kitty")).map(|term| &term.id), Some(&id("kitty")));
        assert!(later.term(&id("court")).is_none());
        // "bench" meant two terms; neither has it now.
        assert!(later.meaning("bench").is_none());
        let cat = later.term(&id("cat")).expect("is there");
        assert_eq!(later.narrower(cat).len(), 2);
    }

    #[test]
    fn circles_end() {
        let terms = vec![term("a", &["b"], &[]), term("b", &["a"], &[])];
        let vocabulary = Vocabulary::new(1, Language::default(), terms, HashMap::new());
        let a = vocabulary.term(&id("a")).expect("is there");
        assert_eq!(vocabulary.broader(a).len(), 1);
        assert_eq!(vocabulary.narrower(a).len(), 2);
    }
}
