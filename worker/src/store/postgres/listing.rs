//! The review listing: newest asset first, and within a folder without looking through everything that is newer.

use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Error, Postgres, QueryBuilder, Row};

use super::text;
use crate::store::SuggestionFilter;
use crate::store::codec::{FOLDER_FEW, FOLDER_MANY, FOLDER_NEWEST, ListingPlace, kind_order};

/// What a suggestion's row is read from; the table, or what stands for it as `s`, follows.
pub(super) const FIELDS: &str =
    "select s.id, s.asset_id, s.kind, s.value, s.confidence, s.region_x, s.region_y, s.region_width,
    s.region_height, s.status, s.model, s.analyzer, s.created_at, s.asset_at, s.kind_order,
    coalesce((select min(p.uri) from asset_path p where p.asset_id = s.asset_id), '') as uri
    from ";

const ORDER: &str = " order by -s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id limit ";

/// Adds what comes after a place as a condition on `s`.
fn behind(query: &mut QueryBuilder<Postgres>, after: &ListingPlace) {
    query.push(" and (-s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id) > (");
    query.push_bind(after.asset_at.saturating_neg()).push(", ").push_bind(text(&after.asset)).push(", ");
    query.push_bind(after.kind).push(", ").push_bind(-after.confidence).push(", ");
    query.push_bind(text(&after.id)).push(")");
}

/// The rows of the listing from `after` on, `limit` at most.
pub(super) async fn read(
    pool: &PgPool,
    filter: &SuggestionFilter,
    after: Option<&ListingPlace>,
    limit: i64,
) -> Result<Vec<PgRow>, Error> {
    // An asset or a value leads to few rows by itself.
    if filter.uri_prefix.is_some() && filter.asset.is_none() && filter.value.is_none() {
        return in_folder(pool, filter, after, limit).await;
    }
    let mut query = QueryBuilder::new(FIELDS);
    query.push("suggestion s where true");
    restrict(&mut query, filter);
    below(&mut query, filter);
    if let Some(after) = after {
        behind(&mut query, after);
    }
    query.push(ORDER).push_bind(limit);
    query.build().fetch_all(pool).await
}

async fn in_folder(
    pool: &PgPool,
    filter: &SuggestionFilter,
    after: Option<&ListingPlace>,
    limit: i64,
) -> Result<Vec<PgRow>, Error> {
    let candidates = |condition: &str| {
        let mut query = QueryBuilder::new("with s as materialized (select * from suggestion s where true");
        restrict(&mut query, filter);
        if let Some(after) = after {
            behind(&mut query, after);
        }
        query.push(condition);
        query
    };
    let mut query = candidates(ORDER);
    query.push_bind(FOLDER_NEWEST).push(") ").push(FIELDS).push("s where true");
    below(&mut query, filter);
    query.push(ORDER).push_bind(limit);
    let newest = query.build().fetch_all(pool).await?;
    if newest.len() as i64 == limit {
        return Ok(newest);
    }

    let mut rows = Vec::new();
    // The place of the last asset whose rows were read; the first may have rows left.
    let mut place = after.map(|after| (after.asset_at, text(&after.asset)));
    let (mut portion, mut comparison) = (FOLDER_FEW, ">=");
    loop {
        let mut query = QueryBuilder::new("select p.asset_at, p.asset_id from asset_path p where true");
        below_itself(&mut query, filter);
        if let Some((at, asset)) = &place {
            query.push(" and (-p.asset_at, p.asset_id) ").push(comparison).push(" (");
            query.push_bind(at.saturating_neg()).push(", ").push_bind(asset.clone()).push(")");
        }
        query.push(" order by -p.asset_at, p.asset_id limit ").push_bind(portion);
        let assets = query.build().fetch_all(pool).await?;
        let ids: Vec<String> = assets.iter().map(|row| row.try_get("asset_id")).collect::<Result<_, _>>()?;
        let mut query = candidates(" and s.asset_id = any(");
        query.push_bind(ids).push(")) ").push(FIELDS).push("s").push(ORDER);
        query.push_bind(limit - rows.len() as i64);
        rows.extend(query.build().fetch_all(pool).await?);
        let Some(last) = assets.last() else { return Ok(rows) };
        if rows.len() as i64 >= limit || (assets.len() as i64) < portion {
            return Ok(rows);
        }
        place = Some((last.try_get("asset_at")?, last.try_get("asset_id")?));
        comparison = ">";
        portion = (portion * 4).min(FOLDER_MANY);
    }
}

/// Adds the conditions of `filter` on `suggestion s`, but for the folder.
pub(super) fn restrict(query: &mut QueryBuilder<Postgres>, filter: &SuggestionFilter) {
    if let Some(status) = filter.status {
        query.push(" and s.status = ").push_bind(status.as_str());
    }
    if let Some(kind) = filter.kind {
        // The index knows kinds by their place.
        query.push(" and s.kind_order = ").push_bind(kind_order(kind));
    }
    if let Some(asset) = &filter.asset {
        query.push(" and s.asset_id = ").push_bind(asset.to_string());
    }
    if let Some(least) = filter.min_confidence {
        query.push(" and s.confidence >= ").push_bind(least);
    }
    if let Some(value) = &filter.value {
        query.push(" and s.value = ").push_bind(text(value));
        // The index holds the beginnings of values.
        query.push(" and left(s.value, 128) = left(").push_bind(text(value)).push(", 128)");
    }
}

/// Adds the folder of `filter` as a condition on `s`.
pub(super) fn below(query: &mut QueryBuilder<Postgres>, filter: &SuggestionFilter) {
    if filter.uri_prefix.is_some() {
        query.push(" and exists (select 1 from asset_path p where p.asset_id = s.asset_id");
        below_itself(query, filter);
        query.push(")");
    }
}

/// Adds the folder of `filter` as a condition on `asset_path p`.
fn below_itself(query: &mut QueryBuilder<Postgres>, filter: &SuggestionFilter) {
    if let Some(prefix) = &filter.uri_prefix {
        query.push(" and ");
        has_prefix(query, prefix);
    }
}

/// `p.uri` is `prefix` or under it. One range of the index, because text is compared by its bytes: '0' follows '/'. What
/// lies between a name and what is under it, as `a b` does, is in the range and sorted out.
pub(super) fn has_prefix(query: &mut QueryBuilder<Postgres>, prefix: &str) {
    let place = text(prefix.trim_end_matches('/'));
    query.push("p.uri >= ").push_bind(place.clone());
    query.push(" and p.uri < ").push_bind(format!("{place}0"));
    query.push(" and (p.uri = ").push_bind(place.clone());
    query.push(" or p.uri >= ").push_bind(format!("{place}/")).push(")");
}
