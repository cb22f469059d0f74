//! The nearest assets that pass a filter, without looking at more of the archive than there is time for.
//!
//! A filter that few assets pass is resolved by the ledger, and the index looks at these alone. One that many pass is not:
//! the index tells the nearest of all, the ledger says which of them pass, and where these are too few more are told.

use std::collections::{HashMap, HashSet};

use docent_pipelines::{AssetId, VectorSpace};

use super::{Hit, Hits, SearchError};
use crate::store::{AssetFilter, Catalog};
use crate::vectors::{Neighbor, VectorIndex};

/// Neighbors asked of the index beyond `k`, because one may be of an asset that was removed meanwhile.
const SPARE: usize = 8;
/// A filter that no more assets pass is given to the index.
const FEW: usize = 4096;
/// So many times as many as wanted are told at first …
const AT_FIRST: usize = 8;
/// … and at most so many.
const MOST: usize = 4096;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Where.
    pub space: &'a VectorSpace,
    /// Near to what.
    pub vector: &'a [f32],
    /// At most this many hits.
    pub k: usize,
    /// Only assets that pass.
    pub filter: &'a AssetFilter,
    /// Not this one.
    pub except: Option<&'a AssetId>,
}

/// The nearest assets, best first. What is answered is exact as far as it goes: if [`Hits::complete`] is false, more
/// assets pass than were found among the nearest 4096.
pub async fn nearest(
    catalog: &dyn Catalog,
    index: &dyn VectorIndex,
    question: Question<'_>,
) -> Result<Hits, SearchError> {
    let Question { space, vector, k, filter, except } = question;
    let wanted = k + SPARE;
    if filter.is_empty() {
        let mut asked = wanted;
        loop {
            let neighbors = index.search(space, vector, asked, None).await?;
            let is_all = neighbors.len() < asked || asked >= MOST;
            let found = split(catalog, neighbors, except).await?;
            // Others may be behind those whose files are gone, which come last.
            if found.living.len() >= k || found.gone.is_empty() || is_all {
                return Ok(found.first(k, true));
            }
            asked = (asked * 4).min(MOST);
        }
    }
    let mut judged: HashMap<AssetId, bool> = HashMap::new();
    let portions = [wanted.saturating_mul(AT_FIRST).min(MOST), MOST];
    let mut told = 0;
    let mut found = Vec::new();
    for portion in portions {
        if portion <= told {
            continue;
        }
        told = portion;
        let neighbors = index.search(space, vector, portion, None).await?;
        let everything = neighbors.len() < portion;
        let unknown: HashSet<&AssetId> = neighbors
            .iter()
            .map(|neighbor| &neighbor.asset)
            .filter(|&asset| !judged.contains_key(asset) && Some(asset) != except)
            .collect();
        let unknown: Vec<AssetId> = unknown.into_iter().cloned().collect();
        let passing = catalog.passing(filter, &unknown).await?;
        judged.extend(unknown.into_iter().map(|asset| (asset.clone(), passing.contains(&asset))));
        found = neighbors;
        found.retain(|neighbor| judged.get(&neighbor.asset).copied().unwrap_or(false));
        if everything || found.len() >= wanted {
            return hits(catalog, found, k, except, true).await;
        }
        // Rare among the nearest, and perhaps everywhere.
        if portion == portions[0]
            && let Some(few) = catalog.matching(filter, FEW).await?
        {
            let neighbors = index.search(space, vector, wanted, Some(&few)).await?;
            return hits(catalog, neighbors, k, except, true).await;
        }
    }
    let complete = found.len() >= k;
    hits(catalog, found, k, except, complete).await
}

async fn hits(
    catalog: &dyn Catalog,
    mut neighbors: Vec<Neighbor>,
    k: usize,
    except: Option<&AssetId>,
    complete: bool,
) -> Result<Hits, SearchError> {
    neighbors.truncate(k + SPARE);
    Ok(split(catalog, neighbors, except).await?.first(k, complete))
}

/// Hits, best first: those whose files are there, as far as is known, and those whose files are gone.
struct Split {
    living: Vec<Hit>,
    gone: Vec<Hit>,
}

impl Split {
    fn first(self, k: usize, complete: bool) -> Hits {
        let mut hits = self.living;
        hits.extend(self.gone);
        hits.truncate(k);
        Hits { hits, complete, weak_from: None }
    }
}

async fn split(
    catalog: &dyn Catalog,
    mut neighbors: Vec<Neighbor>,
    except: Option<&AssetId>,
) -> Result<Split, SearchError> {
    neighbors.retain(|neighbor| Some(&neighbor.asset) != except);
    let ids: Vec<AssetId> = neighbors.iter().map(|neighbor| neighbor.asset.clone()).collect();
    let mut rows: HashMap<AssetId, (String, bool)> = catalog
        .assets(&ids)
        .await?
        .into_iter()
        .filter_map(|row| Some((row.asset_id, (row.uris.into_iter().next()?, row.gone))))
        .collect();
    let mut split = Split { living: Vec::new(), gone: Vec::new() };
    for Neighbor { asset, score, .. } in neighbors {
        if let Some((uri, is_gone)) = rows.remove(&asset) {
            let hits = if is_gone { &mut split.gone } else { &mut split.living };
            hits.push(Hit { asset_id: asset, uri, score });
        }
    }
    Ok(split)
}
