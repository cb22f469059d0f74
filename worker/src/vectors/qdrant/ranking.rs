//! The best of what the server answers, in the order that the index promises.

use std::collections::HashSet;
use std::sync::Arc;

use docent_pipelines::AssetId;
use futures_util::{StreamExt, TryStreamExt, stream};
use qdrant_client::Qdrant;
use qdrant_client::qdrant::{CountPointsBuilder, Filter, QueryPointsBuilder, SearchParamsBuilder};

use super::QdrantIndex;
use super::fault::Failure;
use super::points::{neighbor, of_assets};
use crate::vectors::Neighbor;

/// Assets named in one filter: some 140 kB of condition.
const ASSETS_PER_FILTER: usize = 4096;
/// Filters of one search in work at once.
const FILTERS_AT_ONCE: usize = 4;
/// A collection of at most so many points is compared as a whole, without a filter, before a set of assets that needs
/// several filters is sent to the server: a second or so. In larger ones only the set is compared.
const COMPARED: u64 = 2_000_000;
/// Answers asked for then, per neighbor that is wanted, of those that would be needed if the set were spread evenly.
const SPARE: usize = 2;
/// … and at most.
const UNFILTERED: usize = 64;
/// From this limit on, a limit is cut to what there is: the server may set room aside for all of it.
const MANY: usize = 4096;

/// What is searched for.
pub(super) struct Wanted<'a> {
    pub collection: &'a str,
    pub query: &'a [f32],
    pub k: usize,
}

/// How the server searches.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// It compares one by one.
    Compare,
    /// It may go by its graph, which is much faster and nearly exact.
    Graph,
}

impl QdrantIndex {
    /// The best `k`, among the assets in `only` where given: then exactly.
    pub(super) async fn nearest(
        &self,
        wanted: &Wanted<'_>,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, Failure> {
        let Some(only) = only else { return self.best(wanted, None).await };
        let assets: Vec<&AssetId> = only.iter().collect();
        if assets.len() > ASSETS_PER_FILTER {
            let size = self.size(wanted.collection, Way::Graph).await?;
            if size <= COMPARED {
                // Most of the archive passes a set as large as this, as a rule; then it need not be sent.
                let share = usize::try_from(size).unwrap_or(usize::MAX).div_ceil(assets.len());
                let limit = wanted.k.saturating_mul((SPARE * share.max(1)).min(UNFILTERED));
                let found = self.ask(wanted, limit, None, Way::Compare).await?;
                if let Some(best) = settled(found, limit, wanted.k, Some(only)) {
                    return Ok(best);
                }
            }
        }
        let filters = assets.chunks(ASSETS_PER_FILTER).map(|assets| of_assets(assets.iter().copied()));
        let found: Vec<Vec<Neighbor>> = stream::iter(filters.collect::<Vec<_>>())
            .map(|filter| self.best(wanted, Some(filter)))
            .buffer_unordered(FILTERS_AT_ONCE)
            .try_collect()
            .await?;
        let mut best: Vec<Neighbor> = found.into_iter().flatten().collect();
        sort(&mut best);
        best.truncate(wanted.k);
        Ok(best)
    }

    /// The best `k` of what passes `filter`. Asks for more as long as a record of the last one's score may be missing.
    async fn best(&self, wanted: &Wanted<'_>, filter: Option<Filter>) -> Result<Vec<Neighbor>, Failure> {
        let mut limit = wanted.k.saturating_add(1);
        loop {
            let way = if filter.is_some() { Way::Compare } else { Way::Graph };
            let found = self.ask(wanted, limit, filter.clone(), way).await?;
            if let Some(best) = settled(found, limit, wanted.k, None) {
                return Ok(best);
            }
            limit = limit.saturating_mul(4);
        }
    }

    async fn ask(
        &self,
        wanted: &Wanted<'_>,
        limit: usize,
        filter: Option<Filter>,
        way: Way,
    ) -> Result<Vec<Neighbor>, Failure> {
        let limit = match limit {
            few @ ..=MANY => few,
            many => {
                let size = self.size(wanted.collection, Way::Compare).await?;
                many.min(usize::try_from(size).unwrap_or(many)).max(1)
            }
        };
        let found = self.query(wanted, limit, way, filter.clone()).await?;
        // Only a comparison shows that there are fewer than it was asked for.
        match way == Way::Graph && found.len() < limit {
            true => self.query(wanted, limit, Way::Compare, filter).await,
            false => Ok(found),
        }
    }

    async fn query(
        &self,
        wanted: &Wanted<'_>,
        limit: usize,
        way: Way,
        filter: Option<Filter>,
    ) -> Result<Vec<Neighbor>, Failure> {
        let mut query = QueryPointsBuilder::new(wanted.collection)
            .query(wanted.query.to_vec())
            .limit(limit as u64)
            .params(SearchParamsBuilder::default().exact(way == Way::Compare))
            .with_payload(true)
            .build();
        query.filter = filter;
        let ask = |client: Arc<Qdrant>| {
            let query = query.clone();
            async move { client.query(query).await }
        };
        self.connection.call(ask).await?.result.into_iter().map(neighbor).collect()
    }

    /// Points in a collection, exactly or about.
    async fn size(&self, collection: &str, way: Way) -> Result<u64, Failure> {
        let count = CountPointsBuilder::new(collection).exact(way == Way::Compare).build();
        let ask = |client: Arc<Qdrant>| {
            let count = count.clone();
            async move { client.count(count).await }
        };
        let answer = self.connection.call(ask).await?;
        answer.result.map(|result| result.count).ok_or_else(|| Failure::unavailable("no count in the answer"))
    }

    /// Points in a collection.
    pub(super) async fn points(&self, collection: &str) -> Result<u64, Failure> {
        self.size(collection, Way::Compare).await
    }
}

/// The best `k` of `found` that pass, unless one that was not found could be among them: `found` are the best of the
/// collection, and as many as `limit` allowed if others were left out.
fn settled(
    mut found: Vec<Neighbor>,
    limit: usize,
    k: usize,
    only: Option<&HashSet<AssetId>>,
) -> Option<Vec<Neighbor>> {
    sort(&mut found);
    let complete = found.len() < limit;
    let worst = found.last().map(|neighbor| neighbor.score);
    found.retain(|neighbor| only.is_none_or(|only| only.contains(&neighbor.asset)));
    found.truncate(k);
    // Among equals the record id decides, and an equal one may have been left out.
    let above = found.len() == k && found.last().map(|neighbor| neighbor.score) > worst;
    (complete || above).then_some(found)
}

/// By falling score, equals by record id.
fn sort(found: &mut [Neighbor]) {
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.record.cmp(&b.record)));
}
