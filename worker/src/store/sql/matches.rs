//! What terms say of a portion of vectors. Both ledgers compile this file.

use std::collections::BTreeSet;

use docent_pipelines::vocabulary::TermId;
use docent_pipelines::{AssetId, Kind, Suggestion, VectorSpace};
use serde_json::{Value, json};

use super::dialect::{Backend, IMPLIES, Tx, each, each_text, models};
use super::{fault, get, parsed};
use crate::store::codec::{json_array, text};
use crate::store::{MatchedPortion, StoreError};

const MATCH: &str = "record matches";

/// The assets that something may have to be withdrawn from, in their order.
pub(super) async fn to_withdraw_from(
    tx: &mut Tx<'_>,
    portion: &MatchedPortion<'_>,
) -> Result<Vec<AssetId>, StoreError> {
    if let Some(assets) = portion.assets {
        return Ok(assets.to_vec());
    }
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select distinct asset_id from suggestion where status = 'pending' and analyzer = 'terms'
           and term_id in (select value from {}) and id not in (select value from {}) order by asset_id",
        each_text(1),
        each_text(2)
    )))
    .bind(json_array(portion.terms.iter().map(|(term, _)| term)))
    .bind(json_array(portion.found.iter().map(|found| &found.id)))
    .fetch_all(&mut **tx)
    .await
    .map_err(fault(MATCH))?;
    rows.iter().map(|row| parsed(row, "asset_id")).collect()
}

/// What these terms said of these assets, and no longer say.
pub(super) async fn withdraw(
    tx: &mut Tx<'_>,
    portion: &MatchedPortion<'_>,
    assets: &[AssetId],
) -> Result<(), StoreError> {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "update suggestion set status = 'superseded'
         where asset_id in (select value from {}) and status = 'pending' and analyzer = 'terms'
           and term_id in (select value from {}) and id not in (select value from {})",
        each_text(1),
        each_text(2),
        each_text(3)
    )))
    .bind(json_array(assets))
    .bind(json_array(portion.terms.iter().map(|(term, _)| term)))
    .bind(json_array(portion.found.iter().map(|found| &found.id)))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(fault(MATCH))
}

/// What these terms say, unless it is decided, or said by another analyzer.
pub(super) async fn raise(tx: &mut Tx<'_>, portion: &MatchedPortion<'_>, now: i64) -> Result<(), StoreError> {
    let failed = fault(MATCH);
    let Some(first) = portion.found.first() else { return Ok(()) };
    // Some may have been forgotten since their vectors were read.
    let run: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "insert into run (asset_id, owner, finished_at, models)
         select min(id), $2, $3, $4 from asset where id in (select value from {}) having count(*) > 0 returning id",
        each_text(1)
    )))
    .bind(json_array(portion.found.iter().map(|found| &found.asset)))
    .bind(portion.owner)
    .bind(now)
    .bind(models(json!({ "terms": first.model })))
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed)?;
    let Some(run) = run else { return Ok(()) };
    let mut terms: Vec<&str> =
        portion.found.iter().filter_map(|found| Some(found.term.as_ref()?.as_str())).collect();
    terms.sort_unstable();
    terms.dedup();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "update term_match set said = 1 where space = $2 and said = 0 and term_id in (select value from {})",
        each_text(1)
    )))
    .bind(json_array(terms))
    .bind(portion.space.as_str())
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    let rows = portion.found.iter().map(|found| {
        json!({
            "id": found.id, "asset": found.asset, "value": text(&found.value), "confidence": found.confidence.value(),
            "model": found.model.to_string(), "term": found.term,
            "implies": Some(&found.implies).filter(|implies| !implies.is_empty()),
        })
    });
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at,
             asset_at, kind_order, implies, term_id)
         select f.value ->> 'id', f.value ->> 'asset', 'terms', 'tag', f.value ->> 'value',
                cast(f.value ->> 'confidence' as double precision), 'pending', f.value ->> 'model', $2, $3,
                a.created_at, 0, {}, f.value ->> 'term'
         from {} f join asset a on a.id = f.value ->> 'asset'
         where not exists (
             select 1 from suggestion d where d.asset_id = f.value ->> 'asset'
             and d.status in ('pending', 'accepted', 'rejected') and d.kind = 'tag'
             and d.value = f.value ->> 'value' and d.id <> f.value ->> 'id')
         on conflict (id) do update set confidence = excluded.confidence, model = excluded.model, run_id = excluded.run_id,
             implies = excluded.implies, term_id = excluded.term_id, status = 'pending'
         where suggestion.status in ('pending', 'superseded')",
        IMPLIES,
        each(1)
    )))
    .bind(Value::from_iter(rows).to_string())
    .bind(run)
    .bind(now)
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(failed)
}

/// A tag is said once: by a person who accepted it before an edit, or else by a classifier, or else by a thing in the picture, or
/// else by the vocabulary.
pub(super) async fn give_way(tx: &mut Tx<'_>, raised: &[&Suggestion]) -> Result<(), StoreError> {
    let assets: BTreeSet<&AssetId> = raised
        .iter()
        .filter(|said| said.kind == Kind::Tag && said.term.is_some())
        .map(|said| &said.asset)
        .collect();
    if assets.is_empty() {
        return Ok(());
    }
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "update suggestion set status = 'superseded'
         where asset_id in (select value from {}) and status = 'pending' and kind = 'tag'
           and analyzer in ('tags', 'objects', 'terms')
           and exists (
             select 1 from suggestion o where o.asset_id = suggestion.asset_id and o.status = 'pending' and o.kind = 'tag'
             and o.term_id = suggestion.term_id
             and (o.analyzer = 'predecessor' or (o.analyzer = 'tags' and suggestion.analyzer in ('objects', 'terms'))
                  or (o.analyzer = 'objects' and suggestion.analyzer = 'terms')))",
        each_text(1)
    )))
    .bind(json_array(assets))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(fault("record runs"))
}

/// How many suggestions of these terms' rules are pending, at most `most`.
pub(super) async fn pending(backend: &Backend, terms: &[TermId], most: u32) -> Result<u64, StoreError> {
    let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select count(*) from (
             select 1 from suggestion where term_id in (select value from {}) and status = 'pending' and analyzer = 'terms'
             limit $2) pending",
        each_text(1)
    )))
    .bind(json_array(terms))
    .bind(i64::from(most))
    .fetch_one(backend.reader())
    .await
    .map_err(fault("count matches"))?;
    Ok(found.unsigned_abs())
}

/// Where the rules of some terms came from.
pub(super) async fn sources(
    backend: &Backend,
    space: &VectorSpace,
    terms: &[TermId],
) -> Result<Vec<(TermId, String)>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select term_id, source from term_match where space = $1 and term_id in (select value from {})",
        each_text(2)
    )))
    .bind(space.as_str())
    .bind(json_array(terms))
    .fetch_all(backend.reader())
    .await
    .map_err(fault("read the rules of terms"))?;
    rows.iter().map(|row| Ok((parsed(row, "term_id")?, get(row, "source")?))).collect()
}
