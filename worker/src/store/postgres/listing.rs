//! The review listing: newest asset first.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, QueryBuilder};

use super::find::says;
use super::{fault, text};
use crate::store::codec::{ListingPlace, folder_key, kind_order};
use crate::store::find::{Asked, From, Spot, find};
use crate::store::{PlaceFilter, StoreError, SuggestionFilter};

/// What a suggestion's row is read from; the table, or what stands for it as `s`, follows.
pub(super) const FIELDS: &str =
    "select s.id, s.asset_id, s.kind, s.value, s.confidence, s.region_x, s.region_y, s.region_width,
    s.region_height, s.status, s.model, s.analyzer, s.created_at, s.asset_at, s.kind_order, s.implies, s.term_id,
    coalesce((select coalesce(p.whole, p.uri) from asset_path p where p.asset_id = s.asset_id
              order by p.gone_at is not null, p.uri limit 1), '') as uri
    from ";

const ORDER: &str = " order by -s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id limit ";

/// Adds what comes after a place as a condition on `s`.
fn behind(query: &mut QueryBuilder<Postgres>, after: &ListingPlace) {
    query.push(" and (-s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id) > (");
    query.push_bind(after.asset_at.saturating_neg()).push(", ").push_bind(text(&after.asset)).push(", ");
    query.push_bind(after.kind).push(", ").push_bind(-after.confidence).push(", ");
    query.push_bind(text(&after.id)).push(")");
}

/// A part of the listing.
pub(super) struct Part {
    pub rows: Vec<PgRow>,
    /// Where it goes on if the rows do not say it.
    pub rest: Option<Spot>,
}

/// The rows of the listing from `after` on, `limit` at most. There may be fewer although something is left.
pub(super) async fn read(
    connection: &mut PgConnection,
    filter: &SuggestionFilter,
    after: Option<&ListingPlace>,
    limit: usize,
) -> Result<Part, StoreError> {
    let failed = fault("list suggestions");
    let SuggestionFilter { status, kind, .. } = filter.clone();
    // An index is in this very order.
    if status.is_some() && *filter == (SuggestionFilter { status, kind, ..SuggestionFilter::default() }) {
        let mut query = QueryBuilder::new(FIELDS);
        query.push("suggestion s where true");
        restrict(&mut query, filter);
        if let Some(after) = after {
            behind(&mut query, after);
        }
        query.push(ORDER).push(limit);
        let rows = query.build().persistent(false).fetch_all(connection).await.map_err(failed)?;
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
    let mut query =
        QueryBuilder::new("with s as materialized (select * from suggestion s where s.asset_id = any(");
    query.push_bind(ids).push(")");
    asked.said.iter().for_each(|said| says(&mut query, said));
    if let Some(after) = after {
        behind(&mut query, after);
    }
    query.push(") ").push(FIELDS).push("s").push(ORDER).push(limit);
    let rows = query.build().persistent(false).fetch_all(connection).await.map_err(failed)?;
    Ok(Part { rows, rest })
}

/// Adds status and kind of `filter` on `suggestion s`.
fn restrict(query: &mut QueryBuilder<Postgres>, filter: &SuggestionFilter) {
    if let Some(status) = filter.status {
        query.push(" and s.status = ").push_bind(status.as_str());
    }
    if let Some(kind) = filter.kind {
        // The index knows kinds by their place.
        query.push(" and s.kind_order = ").push_bind(kind_order(kind));
    }
}

/// Adds `place` as a condition on `asset_path p`.
pub(super) fn is_at(query: &mut QueryBuilder<Postgres>, place: &PlaceFilter) {
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
pub(super) fn has_prefix(query: &mut QueryBuilder<Postgres>, of: &str, prefix: &str) {
    let place = text(prefix.trim_end_matches('/'));
    let (key, is_all) = folder_key(&place);
    let uri = format!("{of}.uri");
    query.push(&uri).push(" >= ").push_bind(key.to_owned()).push(" and ").push(&uri).push(" < ");
    if is_all {
        query.push_bind(format!("{key}0"));
        query.push(" and (").push(&uri).push(" = ").push_bind(key.to_owned());
        query.push(" or ").push(&uri).push(" >= ").push_bind(format!("{key}/")).push(")");
    } else {
        // Keys end in the middle of the folder; no byte of a text is above the last one here.
        let whole = format!("coalesce({of}.whole, {uri})");
        query.push_bind(format!("{key}\u{10ffff}"));
        query.push(" and (").push(&whole).push(" = ").push_bind(place.clone());
        query.push(" or starts_with(").push(whole).push(", ").push_bind(format!("{place}/")).push("))");
    }
}
