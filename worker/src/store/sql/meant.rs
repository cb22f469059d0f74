//! What an order to forget means: which assets it meets, and which of them lie elsewhere, too. Both ledgers compile this file.

use super::dialect::{BY_ITSELF, Query, Row, Tx, WHOLE_URI, push_among};
use super::listing::{has_prefix, is_at};
use super::{fault, get};
use crate::store::codec::json_array;
use crate::store::find::{Archive, From, Source, Spot};
use crate::store::forget::{Cursor, FORGOTTEN_AT_ONCE, Way};
use crate::store::{Forget, PlaceFilter, StoreError, StoredFile};

const FORGET: &str = "forget";

/// The next assets on an order's ways, each once, and where the next portion begins.
pub(super) async fn meet(
    tx: &mut Tx<'_>,
    what: &Forget,
    cursor: Cursor,
) -> Result<(Vec<String>, Option<Cursor>), StoreError> {
    let ways = what.ways();
    let Some(way) = ways.get(cursor.way) else { return Ok((Vec::new(), None)) };
    let mut next = Cursor { way: cursor.way, ..Cursor::default() };
    let (mut met, is_full) = match way {
        Way::Assets(assets) => {
            let rest: Vec<&str> =
                assets.iter().map(|asset| asset.as_str()).filter(|id| *id > cursor.after.as_str()).collect();
            let now = rest.get(..FORGOTTEN_AT_ONCE).unwrap_or(&rest);
            next.after = now.last().map(ToString::to_string).unwrap_or_default();
            let mut query = Query::new("select id from asset where id");
            push_among(&mut query, json_array(now));
            let met: Vec<String> =
                query.build_query_scalar().fetch_all(&mut **tx).await.map_err(fault(FORGET))?;
            (met, now.len() < rest.len())
        }
        Way::Owner(owner) => {
            let from =
                cursor.at.map(|at| From { spot: Spot { at, asset: cursor.after.clone() }, inclusive: false });
            let source = Source::Owner((*owner).clone());
            let spots = (&mut **tx).candidates(&source, from.as_ref(), FORGOTTEN_AT_ONCE).await?;
            if let Some(last) = spots.last() {
                (next.at, next.after) = (Some(last.at), last.asset.clone());
            }
            let is_full = spots.len() == FORGOTTEN_AT_ONCE;
            (spots.into_iter().map(|spot| spot.asset).collect(), is_full)
        }
        Way::Below(_) | Way::Missing => {
            let mut query = Query::new("select ");
            if let Way::Below(place) = way {
                query.push("p.asset_id, p.uri as last from asset_path p where ");
                has_prefix(&mut query, "p", place);
                query.push(" and p.uri > ").push_bind(cursor.after.clone()).push(" order by p.uri");
            } else {
                query.push("id as asset_id, id as last from asset where id > ");
                query.push_bind(cursor.after.clone()).push(" order by id");
            }
            query.push(format!(" limit {FORGOTTEN_AT_ONCE}"));
            let rows = query.build().fetch_all(&mut **tx).await.map_err(fault(FORGET))?;
            let mut met = Vec::with_capacity(rows.len());
            for row in &rows {
                met.push(get::<String>(row, "asset_id")?);
                next.after = get(row, "last")?;
            }
            (met, rows.len() == FORGOTTEN_AT_ONCE)
        }
    };
    met.sort();
    met.dedup();
    if !is_full {
        next = Cursor { way: cursor.way + 1, ..Cursor::default() };
    }
    Ok((met, (next.way < ways.len()).then_some(next)))
}

/// Adds whether an order names `asset_path p`.
fn is_named(query: &mut Query, what: &Forget) {
    query.push("(false");
    for place in &what.places {
        query.push(" or (");
        has_prefix(query, "p", place);
        query.push(")");
    }
    if what.owner.is_some() {
        // Without an owner a comparison says neither yes nor no.
        query.push(" or (p.owner is not null");
        is_at(query, &PlaceFilter { uri_prefix: None, owner: what.owner.clone() });
        query.push(")");
    }
    query.push(")");
}

/// Those of these assets that go as a whole, and those that lie elsewhere, too, and lose places.
pub(super) async fn sorted(
    tx: &mut Tx<'_>,
    what: &Forget,
    ids: &[String],
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let failed = fault(FORGET);
    let mut query = Query::new("select a.id from asset a where a.id");
    push_among(&mut query, json_array(ids));
    query.push(" and (a.id");
    push_among(&mut query, json_array(&what.assets));
    if what.missing {
        query
            .push(" or not exists (select 1 from asset_path p where p.asset_id = a.id and p.gone_at is null");
        query.push(BY_ITSELF).push(")");
    }
    query.push(" or (exists (select 1 from asset_path p where p.asset_id = a.id and ");
    is_named(&mut query, what);
    query.push(BY_ITSELF).push(") and not exists (select 1 from asset_path p where p.asset_id = a.id");
    query.push(" and p.gone_at is null and not ");
    is_named(&mut query, what);
    query.push(BY_ITSELF).push(")))");
    let mut wholes: Vec<String> = query.build_query_scalar().fetch_all(&mut **tx).await.map_err(failed)?;
    wholes.sort();
    let mut query = Query::new("select distinct p.asset_id from asset_path p where p.asset_id");
    push_among(&mut query, json_array(ids));
    query.push(" and ");
    is_named(&mut query, what);
    let mut parts: Vec<String> = query.build_query_scalar().fetch_all(&mut **tx).await.map_err(failed)?;
    parts.retain(|id| wholes.binary_search(id).is_err());
    parts.sort();
    Ok((wholes, parts))
}

/// The places that assets lose that stay, as the ledger stores them.
pub(super) async fn lost_places(
    tx: &mut Tx<'_>,
    what: &Forget,
    parts: &[String],
) -> Result<Vec<String>, StoreError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = Query::new("select p.uri from asset_path p where p.asset_id");
    push_among(&mut query, json_array(parts));
    query.push(" and ");
    is_named(&mut query, what);
    query.build_query_scalar().fetch_all(&mut **tx).await.map_err(fault(FORGET))
}

/// The files among the places that go that docent itself stored, with their assets.
pub(super) async fn stored(
    tx: &mut Tx<'_>,
    what: &Forget,
    wholes: &[String],
    parts: &[String],
    uploads: Option<&str>,
) -> Result<Vec<(String, StoredFile)>, StoreError> {
    let Some(uploads) = uploads else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for (ids, named) in [(wholes, false), (parts, true)] {
        if ids.is_empty() {
            continue;
        }
        let mut query = Query::new("select p.asset_id, ");
        query.push(WHOLE_URI).push(" as file, p.content_hash, a.picture");
        query.push(" from asset_path p join asset a on a.id = p.asset_id where p.asset_id");
        push_among(&mut query, json_array(ids));
        query.push(" and ");
        has_prefix(&mut query, "p", uploads);
        if named {
            query.push(" and ");
            is_named(&mut query, what);
        }
        let rows: Vec<Row> = query.build().fetch_all(&mut **tx).await.map_err(fault(FORGET))?;
        for row in &rows {
            let uri = get(row, "file")?;
            let (content_hash, picture) = (get(row, "content_hash")?, get(row, "picture")?);
            files.push((get(row, "asset_id")?, StoredFile { uri, content_hash, picture }));
        }
    }
    Ok(files)
}
