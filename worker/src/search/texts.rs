//! Assets by the words in them.

use std::collections::{HashMap, HashSet};

use docent_pipelines::{AssetId, SuggestionId};
use serde::Serialize;

use super::SearchError;
use super::asked::Asked;
use crate::store::{AssetFilter, Held, Part, Store, characters, places};

/// A filter that no more assets pass is resolved first.
const FEW: usize = 4096;
/// Assets that are asked for at once whether they pass a filter, or are there.
const AT_ONCE: usize = 512;
/// Beyond what is wanted, because files of some may be gone.
const SPARE: usize = 8;
/// An excerpt is so long at most, in characters …
const EXCERPT: usize = 160;
/// … begins so far before what was found …
const BEFORE: usize = 40;
/// … and shows so many places at most.
const PLACES: usize = 32;

/// A part of a text, with what was looked for in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The suggestion that the text is the value of.
    pub suggestion_id: SuggestionId,
    /// The part, in one line.
    pub text: String,
    /// Where in it the words are: first and one behind the last character, counted from 0.
    pub places: Vec<(usize, usize)>,
}

/// An asset, and the text that it was found by.
#[derive(Debug, Clone)]
pub struct TextHit {
    /// The asset.
    pub asset: AssetId,
    /// Its best text.
    pub excerpt: Excerpt,
}

/// The `k` best assets with a text that holds what was asked for and that pass, best first, and those whose files are gone last.
/// Where whole words give too few, `pieces` of longer ones follow. Answers also whether these are all that were asked for.
pub(super) async fn by_texts(
    store: &dyn Store,
    asked: &Asked,
    pieces: bool,
    k: usize,
    filter: &AssetFilter,
) -> Result<(Vec<TextHit>, bool), SearchError> {
    let (mut living, mut gone) = (Vec::new(), Vec::new());
    let (mut seen, mut complete) = (HashSet::new(), true);
    let loose = asked.loose.as_ref().filter(|_| pieces);
    for parts in std::iter::once(&asked.exact).chain(loose) {
        let (held, all) = passing(store, parts, k + SPARE, filter).await?;
        complete &= all;
        let fresh: Vec<Held> = held.into_iter().filter(|held| seen.insert(held.asset.clone())).collect();
        for some in fresh.chunks(k.clamp(1, AT_ONCE)) {
            let ids: Vec<AssetId> = some.iter().map(|held| held.asset.clone()).collect();
            let there: HashSet<AssetId> = store
                .assets(&ids)
                .await?
                .into_iter()
                .filter(|row| !row.gone)
                .map(|row| row.asset_id)
                .collect();
            let (here, elsewhere): (Vec<_>, Vec<_>) = some
                .iter()
                .cloned()
                .map(|held| (held, parts))
                .partition(|(held, _)| there.contains(&held.asset));
            living.extend(here);
            gone.extend(elsewhere);
            if living.len() >= k {
                break;
            }
        }
        if living.len() >= k {
            complete = true;
            break;
        }
    }
    living.extend(gone);
    living.truncate(k);
    let ids: Vec<SuggestionId> = living.iter().map(|(held, _)| held.suggestion.clone()).collect();
    let texts: HashMap<SuggestionId, String> = store.texts(&ids).await?.into_iter().collect();
    let hit = |(held, parts): (Held, &Vec<Part>)| {
        // Between two questions it may have been removed.
        let excerpt = excerpt(held.suggestion.clone(), texts.get(&held.suggestion)?, parts);
        Some(TextHit { asset: held.asset, excerpt })
    };
    Ok((living.into_iter().filter_map(hit).collect(), complete))
}

/// Texts that hold `parts` and whose assets pass, and whether these are all or at least `k`.
async fn passing(
    store: &dyn Store,
    parts: &[Part],
    k: usize,
    filter: &AssetFilter,
) -> Result<(Vec<Held>, bool), SearchError> {
    let mut holding = store.holding(parts, None).await?;
    if filter.is_empty() {
        return Ok((holding.texts, holding.complete));
    }
    let mut distinct = HashSet::new();
    let assets: Vec<AssetId> = holding
        .texts
        .iter()
        .filter(|held| distinct.insert(&held.asset))
        .map(|held| held.asset.clone())
        .collect();
    let mut passing: HashSet<AssetId> = HashSet::new();
    let mut groups = assets.chunks(AT_ONCE);
    let mut is_first = true;
    while passing.len() < k
        && let Some(group) = groups.next()
    {
        passing.extend(store.passing(filter, group).await?);
        let is_rest = groups.len() > 0 || !holding.complete;
        // Rare among the best, and perhaps everywhere.
        if passing.len() < k
            && std::mem::take(&mut is_first)
            && is_rest
            && let Some(few) = store.matching(filter, FEW).await?
        {
            let few: Vec<AssetId> = few.into_iter().collect();
            let holding = store.holding(parts, Some(&few)).await?;
            return Ok((holding.texts, holding.complete));
        }
    }
    holding.texts.retain(|held| passing.contains(&held.asset));
    Ok((holding.texts, holding.complete || passing.len() >= k))
}

/// The part of `text` that holds the first of `parts`, and what else of them is there.
fn excerpt(suggestion_id: SuggestionId, text: &str, parts: &[Part]) -> Excerpt {
    let text = characters(text);
    let parts: Vec<&str> = parts.iter().map(Part::as_str).collect();
    let found = places(&text, &parts, PLACES);
    let first = found.first().map_or(0, |place| place.start);
    let mut from =
        if text.len() <= EXCERPT { 0 } else { first.saturating_sub(BEFORE).min(text.len() - EXCERPT) };
    // Not amid a word, if a space is near.
    if from > 0
        && let Some(space) = text[from..first.max(from)].iter().position(|c| c.is_whitespace())
    {
        from += space + 1;
    }
    let to = (from + EXCERPT).min(text.len());
    let mut shown: String =
        text[from..to].iter().map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { *c }).collect();
    let mut shift = 0;
    if from > 0 {
        shown.insert(0, '…');
        shift = 1;
    }
    if to < text.len() {
        shown.push('…');
    }
    let places = found
        .into_iter()
        .filter(|place| place.start >= from && place.end <= to)
        .map(|place| (place.start - from + shift, place.end - from + shift))
        .collect();
    Excerpt { suggestion_id, text: shown, places }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, typed: &str) -> (String, Vec<String>) {
        let id = SuggestionId::try_from("0".repeat(32)).expect("an id");
        let asked = Asked::of(typed, false).expect("has words");
        let excerpt = excerpt(id, text, &asked.exact);
        let characters: Vec<char> = excerpt.text.chars().collect();
        let marked =
            excerpt.places.iter().map(|(from, to)| characters[*from..*to].iter().collect()).collect();
        (excerpt.text, marked)
    }

    #[test]
    fn an_excerpt_shows_what_was_found() {
        let (text, marked) = shown("GRAND\nHÔTEL Métropole", "hotel \"grand hotel\"");
        assert_eq!((text.as_str(), marked), ("GRAND HÔTEL Métropole", vec!["GRAND HÔTEL".to_owned()]));
        let page =
            format!("{} the Harbor at night {} harbor", "lorem ipsum ".repeat(50), "dolor ".repeat(100));
        let (text, marked) = shown(&page, "harbor");
        assert_eq!(marked, ["Harbor"]);
        assert!(
            text.starts_with("…ipsum") && text.ends_with('…') && text.chars().count() <= EXCERPT + 2,
            "{text}"
        );
        let (text, marked) = shown(&format!("{}Harbor", "x".repeat(1000)), "nothing");
        assert!(text.starts_with("xxx") && marked.is_empty(), "{text}");
        assert_eq!(shown(&format!("{} harbor", "x".repeat(1000)), "harbor").1, ["harbor"]);
    }
}
