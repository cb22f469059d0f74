//! Both searches, by meaning and by the words in pictures, as one.

use std::collections::HashMap;

use docent_pipelines::AssetId;
use serde::Serialize;

use super::asked::Asked;
use super::texts::{Excerpt, TextHit, by_texts};
use super::{Hits, SearchError};
use crate::store::{AssetFilter, Store};

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): how much less a place further down counts.
const RANK: f64 = 60.0;
/// Of each search so many hits are joined at least: what both have is at the top even if neither has it there.
const JOINED: usize = 40;

/// What a picture is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
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
    /// The model for meaning that is not there, in words, where texts alone were searched for that reason.
    pub without_meaning: Option<String>,
}

/// Searches by words. `meaning` finds the given number of assets by what they show. Words that texts cannot be searched for are
/// searched by their meaning alone, unless texts alone were asked for.
pub async fn by_words<F>(
    store: &dyn Store,
    question: ByWords<'_>,
    meaning: impl FnOnce(usize) -> F,
) -> Result<Matches, SearchError>
where
    F: Future<Output = Result<Hits, SearchError>>,
{
    let ByWords { words, unfinished, by, k, filter } = question;
    let depth = if by.is_none() { k.max(JOINED) } else { k };
    let asked = match by {
        Some(By::Meaning) => None,
        Some(By::Text) => Some(Asked::of(words, unfinished)?),
        None => Asked::of(words, unfinished).ok(),
    };
    let (texts, mut complete) = match &asked {
        // Beside meaning whole words alone count: "cat" is in many an advocate's letter.
        Some(asked) => by_texts(store, asked, by.is_some(), depth, filter).await?,
        None => (Vec::new(), true),
    };
    let (mut shown, mut weak_from, mut without_meaning) = (Vec::new(), None, None);
    if by != Some(By::Text) {
        match meaning(depth).await {
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
    let mut ranked: Vec<(f64, Match)> = matches.into_values().collect();
    // Of equals first what has the words: that is certain.
    let order = |found: &Match| (found.text.is_none(), found.asset_id.clone());
    ranked.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| order(one).cmp(&order(other))));
    let hits = placed(store, ranked.into_iter().map(|(_, found)| found).collect(), k).await?;
    Ok(Matches { hits, complete, weak_from, without_meaning })
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
