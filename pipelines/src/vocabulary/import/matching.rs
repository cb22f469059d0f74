//! Which term of the vocabulary a term of the draft is.

use std::collections::{HashMap, HashSet, VecDeque};

use super::resolve::{Parent, Resolved};
use crate::vocabulary::draft::{KEY_MARK, folded};
use crate::vocabulary::error::shown;
use crate::vocabulary::{Draft, DraftTerm, Language, Role, Term, TermId, VocabularyError};

/// Terms with one name below one term that are looked at.
const MAX_SAME: usize = 16;
/// Names of a term that are looked for.
const MAX_NAMES: usize = 16;

/// The identities of a draft's terms.
pub(super) struct Matching {
    /// The place in the vocabulary of each term of the draft, if it is there.
    pub existing: Vec<Option<usize>>,
    /// The id of each.
    pub ids: Vec<TermId>,
    /// The ids of what is broader than each.
    pub parents: Vec<Vec<TermId>>,
}

/// Matches by id, then by address, then by the path of names.
pub(super) fn match_terms(
    existing: &[Term],
    draft: &Draft,
    resolved: &Resolved,
    order: &[usize],
) -> Result<Matching, VocabularyError> {
    let mut claims = Claims { by: vec![None; existing.len()], of: vec![None; draft.terms.len()], draft };
    let by_id: HashMap<&TermId, usize> =
        existing.iter().enumerate().map(|(at, term)| (&term.id, at)).collect();
    for (at, term) in draft.terms.iter().enumerate() {
        if let Some(&place) = term.id.as_ref().and_then(|id| by_id.get(id)) {
            claims.claim(at, place)?;
        }
    }
    let by_uri: HashMap<&str, usize> =
        existing.iter().enumerate().filter_map(|(at, term)| Some((term.uri.as_deref()?, at))).collect();
    for (at, term) in draft.terms.iter().enumerate() {
        if claims.of[at].is_none()
            && let Some(&place) = term.uri.as_deref().and_then(|uri| by_uri.get(uri))
        {
            claims.claim(at, place)?;
        }
    }
    let mut names = Names::of(existing, &claims.by);
    let mut taken: HashSet<TermId> = existing.iter().map(|term| term.id.clone()).collect();
    taken.extend(draft.terms.iter().filter_map(|term| term.id.clone()));
    let mut ids: Vec<Option<TermId>> = vec![None; draft.terms.len()];
    let mut parents: Vec<Vec<TermId>> = vec![Vec::new(); draft.terms.len()];
    for &at in order {
        let term = &draft.terms[at];
        for parent in &resolved[at] {
            let id = match parent {
                Parent::Draft(above) => ids[*above].clone(),
                Parent::Existing(place) => Some(existing[*place].id.clone()),
            };
            // Two of the draft's terms may be one of the vocabulary's.
            let above = &mut parents[at];
            if let Some(id) = id.filter(|id| !above.contains(id)) {
                above.push(id);
            }
        }
        if claims.of[at].is_none() {
            claims.of[at] = names.find(existing, term, &parents[at], draft.carries.parents);
        }
        ids[at] = Some(match claims.of[at] {
            Some(place) => existing[place].id.clone(),
            None => new_id(term, &parents[at], &mut taken),
        });
    }
    // Every place is in the order, so every term has an id.
    Ok(Matching { existing: claims.of, ids: ids.into_iter().flatten().collect(), parents })
}

/// An id that no term has: the file's, or else derived from the address, or else from what is above and the name.
fn new_id(term: &DraftTerm, parents: &[TermId], taken: &mut HashSet<TermId>) -> TermId {
    if let Some(id) = &term.id {
        return id.clone();
    }
    let above = parents.first().map(TermId::as_str);
    let parts: Vec<&str> = match &term.uri {
        Some(uri) => vec![uri],
        None => above.into_iter().chain([term.name()]).collect(),
    };
    // Another term may have got the id before it was renamed or moved.
    (1_u32..)
        .map(|count| {
            let count = count.to_string();
            let again = (count != "1").then_some(count.as_str());
            TermId::derived(&parts.iter().copied().chain(again).collect::<Vec<_>>())
        })
        .find(|id| taken.insert(id.clone()))
        .unwrap_or_else(|| TermId::derived(&parts))
}

/// Who has which term of the vocabulary.
struct Claims<'a> {
    by: Vec<Option<usize>>,
    of: Vec<Option<usize>>,
    draft: &'a Draft,
}

impl Claims<'_> {
    fn claim(&mut self, at: usize, place: usize) -> Result<(), VocabularyError> {
        if let Some(other) = self.by[place] {
            let (term, other) = (&self.draft.terms[at], self.draft.terms[other].line);
            let reason =
                format!("the term '{}' is by its id or address the one of line {other}", shown(term.name()));
            return Err(VocabularyError::at(
                term.line,
                reason,
                "make one of the two, or correct the id or address",
            ));
        }
        (self.by[place], self.of[at]) = (Some(at), Some(place));
        Ok(())
    }
}

/// Where the vocabulary's terms are that no id and no address claims, by what is above and the name.
struct Names<'a> {
    exact: HashMap<String, VecDeque<usize>>,
    folded: HashMap<String, VecDeque<usize>>,
    /// Anywhere. For a file that says nothing about what is broader.
    anywhere: HashMap<&'a str, VecDeque<usize>>,
    /// Those that a term with an id or an address of its own took.
    taken: HashSet<usize>,
}

impl<'a> Names<'a> {
    fn of(existing: &'a [Term], claimed: &[Option<usize>]) -> Self {
        let mut names = Self {
            exact: HashMap::new(),
            folded: HashMap::new(),
            anywhere: HashMap::new(),
            taken: HashSet::new(),
        };
        for (place, term) in existing.iter().enumerate().filter(|(place, _)| claimed[*place].is_none()) {
            let preferred = term.labels.iter().filter(|label| label.role == Role::Preferred);
            for label in preferred {
                let parents = term.parents.iter().map(TermId::as_str);
                let parents = parents.chain(term.parents.is_empty().then_some(""));
                for parent in parents {
                    add(&mut names.exact, key(parent, label.text.clone()), place);
                    add(&mut names.folded, key(parent, folded(&label.text)), place);
                }
                add(&mut names.anywhere, label.text.as_str(), place);
            }
        }
        names
    }

    /// The vocabulary's term with a name of `term` below one of `parents`, or on top if there are none.
    fn find(
        &mut self,
        existing: &[Term],
        term: &DraftTerm,
        parents: &[TermId],
        says_parents: bool,
    ) -> Option<usize> {
        let place = self.below(existing, term, parents).or_else(|| {
            let only = |name: &str| {
                let places = self.anywhere.get(name).filter(|places| places.len() == 1);
                let free = |place: &&usize| !self.taken.contains(place) && may_be(term, &existing[**place]);
                places?.front().filter(free).copied()
            };
            if says_parents { None } else { preferred(term).find_map(only) }
        })?;
        // Several lines of a keyword list may be one term below several. A row with an id is one term.
        if term.id.is_some() || term.uri.is_some() {
            self.taken.insert(place);
        }
        Some(place)
    }

    /// The best of those with a name of `term` below one of `parents`: rather one that is called so first, and rather one
    /// with the very same parents. Without regard to case only if none has that very name.
    fn below(&mut self, existing: &[Term], term: &DraftTerm, parents: &[TermId]) -> Option<usize> {
        let above = || parents.iter().map(TermId::as_str).chain(parents.is_empty().then_some(""));
        for fold in [false, true] {
            let map = if fold { &mut self.folded } else { &mut self.exact };
            let mut best: Option<((bool, bool), usize)> = None;
            for (name, parent) in preferred(term).flat_map(|name| above().map(move |parent| (name, parent))) {
                let key = key(parent, if fold { folded(name) } else { name.to_owned() });
                let Some(places) = map.get_mut(&key) else { continue };
                while places.front().is_some_and(|place| self.taken.contains(place)) {
                    places.pop_front();
                }
                let free = places.iter().take(MAX_SAME).filter(|place| !self.taken.contains(place)).copied();
                for place in free.filter(|&place| may_be(term, &existing[place])) {
                    let there = &existing[place];
                    let called = there.name(&Language::none()) == name;
                    let same = there.parents.len() == parents.len()
                        && parents.iter().all(|parent| there.parents.contains(parent));
                    if best.is_none_or(|(rank, _)| rank < (called, same)) {
                        best = Some(((called, same), place));
                    }
                }
            }
            if let Some((_, place)) = best {
                return Some(place);
            }
        }
        None
    }
}

/// Whether no address speaks against `term` being `other`.
fn may_be(term: &DraftTerm, other: &Term) -> bool {
    term.uri.is_none() || other.uri.is_none() || term.uri == other.uri
}

/// A name below a term, as one key.
fn key(parent: &str, mut name: String) -> String {
    name.push(KEY_MARK);
    name.push_str(parent);
    name
}

fn add<K: std::hash::Hash + Eq>(map: &mut HashMap<K, VecDeque<usize>>, key: K, place: usize) {
    let places = map.entry(key).or_default();
    if places.back() != Some(&place) {
        places.push_back(place);
    }
}

fn preferred(term: &DraftTerm) -> impl Iterator<Item = &str> {
    let preferred = term.labels.iter().filter(|label| label.role == Role::Preferred);
    preferred.map(|label| label.text.as_str()).take(MAX_NAMES)
}
