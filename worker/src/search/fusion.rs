//! The searches as one: what was accepted as a term, what a picture means, and the words in it.

use std::collections::HashMap;

use docent_pipelines::AssetId;
use docent_pipelines::vocabulary::{Role, TermId, folded};
use serde::Serialize;

use super::asked::Asked;
use super::texts::{Excerpt, TextHit, by_texts};
use super::{Hits, SearchError};
use crate::store::{AssetFilter, Store};

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): how much less a place further down counts.
const RANK: f64 = 60.0;
/// Of each search so many hits are joined at least: what both have is at the top even if neither has it there.
const JOINED: usize = 40;
/// Accepted pictures that a filter is asked about, the newest.
const FILTERED: u32 = 4096;

/// What a picture is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Somebody accepted it as the term that was typed, or as one that is narrower.
    Term,
    /// What it shows.
    Meaning,
    /// The words in it.
    Text,
}

/// A search by words.
#[derive(Debug, Clone, Copy)]
pub struct ByWords<'a> {
    /// What was typed.
    pub words: &'a str,
    /// Whether the last word may go on.
    pub unfinished: bool,
    /// By this alone; by both where it is not said.
    pub by: Option<By>,
    /// At most this many assets.
    pub k: usize,
    /// Only assets that pass.
    pub filter: &'a AssetFilter,
}

/// An asset that was found by words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Match {
    /// The asset.
    pub asset_id: AssetId,
    /// One of its places.
    pub uri: String,
    /// How near its meaning is, -1..=1, if it was found by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Whether chance gives such a score to pictures that do not fit, and no text was found.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weak: bool,
    /// What it was found by.
    pub matched: Vec<By>,
    /// What its text says, if it was found by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Excerpt>,
}

/// What was found by words.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    /// Best first; those whose files are gone last.
    pub hits: Vec<Match>,
    /// As in [`Hits::complete`].
    pub complete: bool,
    /// As in [`Hits::weak_from`].
    pub weak_from: Option<f32>,
    /// The name of the vocabulary's term that was typed, if one was.
    pub term: Option<String>,
    /// The model for meaning that is not there, in words, where texts alone were searched for that reason.
    pub without_meaning: Option<String>,
}

/// Searches by words. `meaning` finds the given number of assets by what they show, given words that its network understands: where
/// a term's name in another language was typed, its English name. Words that texts cannot be searched for are
/// searched by their meaning alone, unless texts alone were asked for.
pub async fn by_words<F>(
    store: &dyn Store,
    question: ByWords<'_>,
    meaning: impl FnOnce(String, usize) -> F,
) -> Result<Matches, SearchError>
where
    F: Future<Output = Result<Hits, SearchError>>,
{
    let ByWords { words, unfinished, by, k, filter } = question;
    let depth = if by.is_none() { k.max(JOINED) } else { k };
    let asked = match by {
        Some(By::Meaning | By::Term) => None,
        Some(By::Text) => Some(Asked::of(words, unfinished)?),
        None => Asked::of(words, unfinished).ok(),
    };
    let (texts, mut complete) = match &asked {
        // Beside meaning whole words alone count: "cat" is in many an advocate's letter.
        Some(asked) => by_texts(store, asked, by.is_some(), depth, filter).await?,
        None => (Vec::new(), true),
    };
    let (mut shown, mut weak_from, mut without_meaning) = (Vec::new(), None, None);
    if !matches!(by, Some(By::Text | By::Term)) {
        match meaning(understood(store, words).await?, depth).await {
            Ok(found) => {
                complete &= found.complete || found.hits.len() >= k;
                weak_from = found.weak_from;
                shown = found.hits;
            }
            Err(SearchError::NoModel(model)) if asked.is_some() && by.is_none() => {
                without_meaning = Some(model)
            }
            Err(error) => return Err(error),
        }
    }
    // Pictures that a person said it of come first.
    let accepted = match by {
        None | Some(By::Term) => accepted_as(store, words, k, filter).await?,
        Some(By::Meaning | By::Text) => None,
    };
    let (term, accepted) = accepted.unzip();
    let accepted = accepted.unwrap_or_default();
    let mut matches: HashMap<AssetId, (f64, Match)> = HashMap::with_capacity(shown.len() + texts.len());
    let worth = |place: usize| 1.0 / (RANK + 1.0 + place as f64);
    for (place, hit) in shown.into_iter().enumerate() {
        let found = Match {
            asset_id: hit.asset_id.clone(),
            uri: hit.uri,
            score: Some(hit.score),
            weak: weak_from.is_some_and(|least| hit.score < least),
            matched: vec![By::Meaning],
            text: None,
        };
        matches.insert(hit.asset_id, (worth(place), found));
    }
    for (place, TextHit { asset, excerpt }) in texts.into_iter().enumerate() {
        let empty = || Match {
            asset_id: asset.clone(),
            uri: String::new(),
            score: None,
            weak: false,
            matched: Vec::new(),
            text: None,
        };
        let (sum, found) = matches.entry(asset.clone()).or_insert_with(|| (0.0, empty()));
        *sum += worth(place);
        found.matched.push(By::Text);
        found.weak = false;
        found.text = Some(excerpt);
    }
    for (place, asset) in accepted.into_iter().enumerate() {
        let empty = || Match {
            asset_id: asset.clone(),
            uri: String::new(),
            score: None,
            weak: false,
            matched: Vec::new(),
            text: None,
        };
        let (sum, found) = matches.entry(asset.clone()).or_insert_with(|| (0.0, empty()));
        // More than any place in both other lists.
        *sum += 1.0 + worth(place);
        found.matched.insert(0, By::Term);
        found.weak = false;
    }
    let mut ranked: Vec<(f64, Match)> = matches.into_values().collect();
    // Of equals first what has the words: that is certain.
    let order = |found: &Match| (found.text.is_none(), found.asset_id.clone());
    ranked.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| order(one).cmp(&order(other))));
    let hits = placed(store, ranked.into_iter().map(|(_, found)| found).collect(), k).await?;
    Ok(Matches { hits, complete, weak_from, term, without_meaning })
}

/// The words as networks understand them best: of a term that has one, its English name.
async fn understood(store: &dyn Store, words: &str) -> Result<String, SearchError> {
    let known = store.vocabulary().await?;
    let english = known.meaning(words).and_then(|term| {
        let own = |role: Role| {
            term.labels.iter().find(|label| label.role == role && label.language.as_str() == "en")
        };
        let typed = term
            .labels
            .iter()
            .any(|label| label.language.as_str() == "en" && folded(&label.text) == folded(words));
        own(Role::Preferred).filter(|_| !typed).map(|label| label.text.clone())
    });
    Ok(english.unwrap_or_else(|| words.to_owned()))
}

/// The name of the term that `words` are, in any of its languages, and the assets that were accepted as it or as something
/// narrower, newest first. `None` if they are no term.
async fn accepted_as(
    store: &dyn Store,
    words: &str,
    k: usize,
    filter: &AssetFilter,
) -> Result<Option<(String, Vec<AssetId>)>, SearchError> {
    let known = store.vocabulary().await?;
    let Some(term) = known.meaning(words) else { return Ok(None) };
    let terms: Vec<TermId> = known.narrower(term).iter().map(|term| term.id.clone()).collect();
    let mut found = store.accepted_as(&terms, FILTERED).await?;
    let passing = store.passing(filter, &found).await?;
    found.retain(|asset| passing.contains(asset));
    found.truncate(k);
    Ok(Some((known.tag(term).to_owned(), found)))
}

/// The first `k` with their places, those whose files are gone behind the others.
async fn placed(store: &dyn Store, found: Vec<Match>, k: usize) -> Result<Vec<Match>, SearchError> {
    let ids: Vec<AssetId> = found.iter().map(|found| found.asset_id.clone()).collect();
    let rows = store.assets(&ids).await?;
    let mut rows: HashMap<AssetId, (String, bool)> = rows
        .into_iter()
        .filter_map(|row| Some((row.asset_id, (row.uris.into_iter().next()?, row.gone))))
        .collect();
    let (mut living, mut gone) = (Vec::new(), Vec::new());
    for mut found in found {
        if let Some((uri, is_gone)) = rows.remove(&found.asset_id) {
            found.uri = uri;
            if is_gone { &mut gone } else { &mut living }.push(found);
        }
    }
    living.extend(gone);
    living.truncate(k);
    Ok(living)
}
