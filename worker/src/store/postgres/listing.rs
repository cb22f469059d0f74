//! The review listing: newest asset first, and of some places without looking through everything that is newer.

use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Error, Postgres, QueryBuilder, Row};

use super::text;
use crate::store::codec::{FOLDER_MANY, FOLDER_NEWEST, FOLDER_PORTIONS, ListingPlace, kind_order};
use crate::store::{PlaceFilter, SuggestionFilter};

/// What a suggestion's row is read from; the table, or what stands for it as `s`, follows.
pub(super) const FIELDS: &str =
    "select s.id, s.asset_id, s.kind, s.value, s.confidence, s.region_x, s.region_y, s.region_width,
    s.region_height, s.status, s.model, s.analyzer, s.created_at, s.asset_at, s.kind_order,
    coalesce((select min(p.uri) from asset_path p where p.asset_id = s.asset_id and p.gone_at is null),
        (select min(p.uri) from asset_path p where p.asset_id = s.asset_id), '') as uri
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
    if !filter.place.is_empty() && filter.asset.is_none() && filter.value.is_none() {
        return by_place(pool, filter, after, limit).await;
    }
    let mut query = QueryBuilder::new(FIELDS);
    query.push("suggestion s where true");
    restrict(&mut query, filter);
    in_place(&mut query, filter);
    if let Some(after) = after {
        behind(&mut query, after);
    }
    query.push(ORDER).push_bind(limit);
    query.build().fetch_all(pool).await
}

async fn by_place(
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
    in_place(&mut query, filter);
    query.push(ORDER).push_bind(limit);
    let newest = query.build().fetch_all(pool).await?;
    if newest.len() as i64 == limit {
        return Ok(newest);
    }

    let mut rows = Vec::new();
    // The place of the last asset that was looked at; the first may have rows left.
    let mut place = after.map(|after| (after.asset_at, text(&after.asset)));
    let mut comparison = ">=";
    for portion in FOLDER_PORTIONS.into_iter().chain(std::iter::repeat(FOLDER_MANY)) {
        let missing = limit - rows.len() as i64;
        // The assets that have rows, each one at least, and the portion's last.
        let mut query = QueryBuilder::new(
            "with portion as materialized (select p.asset_at, p.asset_id from asset_path p where true",
        );
        is_at(&mut query, &filter.place);
        if let Some((at, asset)) = &place {
            query.push(" and (-p.asset_at, p.asset_id) ").push(comparison).push(" (");
            query.push_bind(at.saturating_neg()).push(", ").push_bind(asset.clone()).push(")");
        }
        query.push(" order by -p.asset_at, p.asset_id limit ").push_bind(portion);
        query.push(
            "), telling as (select asset_at, asset_id, 0::bigint as size from portion p where exists (",
        );
        query.push("select 1 from suggestion s where s.asset_id = p.asset_id");
        restrict(&mut query, filter);
        query.push(") order by -asset_at, asset_id limit ").push_bind(missing);
        query.push(
            "), ending as (select asset_at, asset_id, (select count(*) from portion) as size from portion",
        );
        query.push(" order by -asset_at desc, asset_id desc limit 1) select * from (select * from telling");
        query.push(" union all select * from ending) found order by size, -asset_at, asset_id");
        let mut found = query.build().fetch_all(pool).await?;
        let Some(end) = found.pop() else { return Ok(rows) };
        let ids: Vec<String> = found.iter().map(|row| row.try_get("asset_id")).collect::<Result<_, _>>()?;
        let full = found.len() as i64 == missing;
        if !ids.is_empty() {
            let mut query = candidates(" and s.asset_id = any(");
            query.push_bind(ids).push(")) ").push(FIELDS).push("s").push(ORDER);
            query.push_bind(missing);
            rows.extend(query.build().fetch_all(pool).await?);
        }
        if rows.len() as i64 >= limit || (!full && end.try_get::<i64, _>("size")? < portion) {
            return Ok(rows);
        }
        let last = found.last().filter(|_| full).unwrap_or(&end);
        place = Some((last.try_get("asset_at")?, last.try_get("asset_id")?));
        comparison = ">";
    }
    Ok(rows)
}

/// Adds the conditions of `filter` on `suggestion s`, but for the place.
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

/// Adds the place of `filter` as a condition on `s`.
pub(super) fn in_place(query: &mut QueryBuilder<Postgres>, filter: &SuggestionFilter) {
    if !filter.place.is_empty() {
        query.push(" and exists (select 1 from asset_path p where p.asset_id = s.asset_id");
        is_at(query, &filter.place);
        query.push(")");
    }
}

/// Adds `place` as a condition on `asset_path p`.
pub(super) fn is_at(query: &mut QueryBuilder<Postgres>, place: &PlaceFilter) {
    if let Some(owner) = &place.owner {
        query.push(" and p.owner = ").push_bind(owner.to_string());
    }
    if let Some(prefix) = &place.uri_prefix {
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
