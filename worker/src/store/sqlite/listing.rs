//! The review listing: newest asset first.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Sqlite};

use super::fault;
use super::find::says;
use crate::store::codec::{ListingPlace, json_array};
use crate::store::find::{Asked, From, Spot, find};
use crate::store::{PlaceFilter, StoreError, SuggestionFilter};

/// What a suggestion's row is read from; the table, or what stands for it as `s`, follows.
pub(super) const FIELDS: &str =
    "select s.id, s.asset_id, s.kind, s.value, s.confidence, s.region_x, s.region_y, s.region_width,
    s.region_height, s.status, s.model, s.analyzer, s.created_at, s.asset_at, s.kind_order, s.implies, s.term_id,
    coalesce((select min(p.uri) from asset_path p where p.asset_id = s.asset_id and p.gone_at is null),
        (select min(p.uri) from asset_path p where p.asset_id = s.asset_id), '') as uri
    from ";

const ORDER: &str = " order by s.asset_at desc, s.asset_id, s.kind_order, s.confidence desc, s.id limit ";

/// Adds what comes after a place as a condition on `s`.
fn behind(query: &mut QueryBuilder<Sqlite>, after: &ListingPlace) {
    let ListingPlace { asset_at, asset, kind, confidence, id } = after;
    query.push(" and s.asset_at <= ").push_bind(*asset_at);
    query.push(" and (s.asset_at < ").push_bind(*asset_at);
    query.push(" or s.asset_id > ").push_bind(asset.clone());
    query.push(" or (s.asset_id = ").push_bind(asset.clone());
    query.push(" and (s.kind_order > ").push_bind(*kind);
    query.push(" or (s.kind_order = ").push_bind(*kind);
    query.push(" and (s.confidence < ").push_bind(*confidence);
    query.push(" or (s.confidence = ").push_bind(*confidence);
    query.push(" and s.id > ").push_bind(id.clone()).push("))))))");
}

/// A part of the listing.
pub(super) struct Part {
    pub rows: Vec<SqliteRow>,
    /// Where it goes on if the rows do not say it.
    pub rest: Option<Spot>,
}

/// The rows of the listing from `after` on, `limit` at most. There may be fewer although something is left.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    filter: &SuggestionFilter,
    after: Option<&ListingPlace>,
    limit: usize,
) -> Result<Part, StoreError> {
    let failed = fault("list suggestions");
    // An index is in this very order.
    if let Some(status) = filter.status
        && *filter == (SuggestionFilter { status: Some(status), ..SuggestionFilter::default() })
    {
        let mut query = QueryBuilder::new(FIELDS);
        query.push("suggestion s where true");
        query.push(" and s.status = ").push_bind(status.as_str());
        if let Some(after) = after {
            behind(&mut query, after);
        }
        query.push(ORDER).push(limit);
        let rows = query.build().fetch_all(connection).await.map_err(failed)?;
        return Ok(Part { rows, rest: None });
    }
    // Else the assets are found first: each has a row at least, but for the one that the page before ended in.
    let from = after
        .map(|after| From { spot: Spot { at: after.asset_at, asset: after.asset.clone() }, inclusive: true });
    let asked = Asked::of_suggestions(filter, None);
    let found = find(&mut &mut *connection, &asked, from, limit).await?;
    let ids: Vec<String> = found.spots.into_iter().map(|spot| spot.asset).collect();
    let rest = found.rest;
    if ids.is_empty() {
        return Ok(Part { rows: Vec::new(), rest });
    }
    let mut query = QueryBuilder::new(FIELDS);
    query.push("suggestion s indexed by suggestion_asset where true");
    query.push(" and s.asset_id in (select value from json_each(").push_bind(json_array(ids)).push("))");
    asked.said.iter().for_each(|said| says(&mut query, said));
    if let Some(after) = after {
        behind(&mut query, after);
    }
    query.push(ORDER).push(limit);
    let rows = query.build().fetch_all(connection).await.map_err(failed)?;
    Ok(Part { rows, rest })
}

/// Adds `place` as a condition on `asset_path p`.
pub(super) fn is_at(query: &mut QueryBuilder<Sqlite>, place: &PlaceFilter) {
    if let Some(owner) = &place.owner {
        query.push(" and p.owner = ").push_bind(owner.to_string());
    }
    if let Some(prefix) = &place.uri_prefix {
        query.push(" and ");
        has_prefix(query, "p", prefix);
    }
}

/// The `uri` of `of`, a row of `asset_path`, is `prefix` or under it. One range of the index, because text is compared by its bytes: '0' follows '/'. What
/// lies between a name and what is under it, as `a b` does, is in the range and sorted out.
pub(super) fn has_prefix(query: &mut QueryBuilder<Sqlite>, of: &str, prefix: &str) {
    let place = prefix.trim_end_matches('/').to_owned();
    query.push(of).push(".uri >= ").push_bind(place.clone());
    query.push(" and ").push(of).push(".uri < ").push_bind(format!("{place}0"));
    query.push(" and (").push(of).push(".uri = ").push_bind(place.clone());
    query.push(" or ").push(of).push(".uri >= ").push_bind(format!("{place}/")).push(")");
}
