//! Removes assets from every table, in one transaction. Both ledgers compile this file.

use std::collections::HashSet;

use docent_pipelines::{AssetId, Fingerprint};
use serde_json::json;

use super::dialect::{AS_JSON, BY_ITSELF, FOR_UPDATE, Row, Tx, among, each, lock_suggestions};
use super::{fault, get};
use crate::store::codec::{corrupt, json_array};
use crate::store::jobs::{NEWEST_RUN, without};
use crate::store::{FoundFile, Mark, StoreError, SuggestionFilter};

const FORGET: &str = "forget";

/// The order by which assets are erased, and when.
pub(super) struct Order {
    pub id: i64,
    pub now: i64,
}

/// Removes these assets, which nobody else can change before the transaction ends, and marks them.
pub(super) async fn erase(tx: &mut Tx<'_>, order: &Order, ids: &[String]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let assets = json_array(ids);
    leave_vectors(tx, order, &assets).await?;
    let newest: Option<i64> =
        sqlx::query_scalar(NEWEST_RUN).fetch_one(&mut **tx).await.map_err(fault(FORGET))?;
    sqlx::query("update forgetting set newest_run = $2 where id = $1")
        .bind(order.id)
        .bind(newest.unwrap_or(0))
        .execute(&mut **tx)
        .await
        .map_err(fault(FORGET))?;
    let suggestions: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select id from suggestion where asset_id {}",
        among(1)
    )))
    .bind(&assets)
    .fetch_all(&mut **tx)
    .await
    .map_err(fault(FORGET))?;
    // A person who decides on one of them did so before this, or finds none.
    lock_suggestions(tx, &suggestions).await?;
    unlearn(tx, &assets).await?;
    leave_jobs(tx, order, ids, &suggestions).await?;
    let suggestions = json_array(&suggestions);
    delete(tx, "reading", "asset_id", &assets).await?;
    delete(tx, "suggestion", "id", &suggestions).await?;
    delete(tx, "outbox", "body ->> 'asset_id'", &assets).await?;
    for table in ["vector", "run", "work", "asset_path"] {
        delete(tx, table, "asset_id", &assets).await?;
    }
    let marks = marks(tx, &assets).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "update asset set predecessor = null, succession = null where predecessor {}",
        among(1)
    )))
    .bind(&assets)
    .execute(&mut **tx)
    .await
    .map_err(fault(FORGET))?;
    delete(tx, "asset", "id", &assets).await?;
    mark(tx, order, marks).await
}

/// Removes the rows of a table whose `column` is in a JSON array.
async fn delete(tx: &mut Tx<'_>, table: &str, column: &str, values: &str) -> Result<(), StoreError> {
    sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table} where {column} {}", among(1))))
        .bind(values)
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(fault(FORGET))
}

/// Notes that the index may hold vectors of these assets. A run that is in work may write some yet, as long as its lease lives.
async fn leave_vectors(tx: &mut Tx<'_>, order: &Order, assets: &str) -> Result<(), StoreError> {
    for (when, of) in [("cast($3 as bigint)", "true"), ("a.lease_until", "a.lease_until > $3")] {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into forgetting_rest (forgetting_id, asset_id, not_before)
             select $2, a.id, {when} from asset a where a.id {} and {of}",
            among(1)
        )))
        .bind(assets)
        .bind(order.id)
        .bind(order.now)
        .execute(&mut **tx)
        .await
        .map_err(fault(FORGET))?;
    }
    Ok(())
}

/// What was learned from decisions on these assets is not used any more, and is learned again from those that are left.
async fn unlearn(tx: &mut Tx<'_>, assets: &str) -> Result<(), StoreError> {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "update term_head set used = 0, version = version + 1, figures = '{{}}', weights = $2, bias = 0
         where term_id in (select s.term_id from suggestion s where s.asset_id {}
                           and s.status in ('accepted', 'rejected') and s.term_id is not null)",
        among(1)
    )))
    .bind(assets)
    .bind(Vec::<u8>::new())
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(fault(FORGET))
}

/// Takes these assets and suggestions out of jobs and the review log. A job of which nothing is left loses its filter.
async fn leave_jobs(
    tx: &mut Tx<'_>,
    order: &Order,
    ids: &[String],
    suggestions: &[String],
) -> Result<(), StoreError> {
    let failed = fault(FORGET);
    let (assets, said) = (json_array(ids), json_array(suggestions));
    let concerned: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select job_id from (select job_id from review where suggestion_id {}{BY_ITSELF}) r where job_id is not null
         union select id from job where filter ->> 'asset' {}
         union select id from job where state in ('collecting', 'deciding')",
        among(1),
        among(2)
    )))
    .bind(&said)
    .bind(&assets)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    delete(tx, "review", "suggestion_id", &said).await?;
    let (gone_assets, gone_said): (HashSet<&str>, HashSet<&str>) =
        (ids.iter().map(String::as_str).collect(), suggestions.iter().map(String::as_str).collect());
    for job in concerned {
        let items = sqlx::query(sqlx::AssertSqlSafe(format!(
            "delete from job_item where job_id = $2 and suggestion_id {}",
            among(1)
        )))
        .bind(&said)
        .bind(job)
        .execute(&mut **tx)
        .await
        .map_err(failed)?
        .rows_affected();
        let row: Row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select cast(filter as text) as filter, state in ('collecting', 'deciding') as is_open,
                 exists (select 1 from review where job_id = $1) as is_logged from job where id = $1{FOR_UPDATE}"
        )))
        .bind(job)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed)?;
        let filter: SuggestionFilter = serde_json::from_str(&get::<String>(&row, "filter")?)
            .map_err(|error| corrupt("filter")(error.to_string()))?;
        let (is_open, is_logged) = (get::<bool>(&row, "is_open")?, get::<bool>(&row, "is_logged")?);
        let rest = without(&filter, &gone_assets, &gone_said);
        let is_over = rest.is_none();
        let rest = match rest {
            Some(rest) if is_open || is_logged => rest,
            _ => SuggestionFilter::default(),
        };
        let rest = serde_json::to_string(&rest).map_err(|error| corrupt("filter")(error.to_string()))?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "update job set filter = $2{AS_JSON}, skipped = skipped + $3,
                 after_id = case when state in ('done', 'stopped') then null else after_id end,
                 finished_at = case when $4 and state in ('collecting', 'deciding') then $5 else finished_at end,
                 state = case when $4 and state in ('collecting', 'deciding') then 'done' else state end
             where id = $1"
        )))
        .bind(job)
        .bind(rest)
        .bind(items as i64)
        .bind(is_over)
        .bind(order.now)
        .execute(&mut **tx)
        .await
        .map_err(failed)?;
    }
    Ok(())
}

/// Keeps pictures from coming back: by their assets' ids, and by the hashes of their image data, which may be others.
async fn mark(tx: &mut Tx<'_>, order: &Order, marks: Vec<serde_json::Value>) -> Result<(), StoreError> {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into forgotten (mark, asset_mark, forgetting_id, at)
         select m.value ->> 'mark', m.value ->> 'asset', $2, $3 from {} m where true on conflict (mark) do nothing",
        each(1)
    )))
    .bind(serde_json::Value::from(marks).to_string())
    .bind(order.id)
    .bind(order.now)
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(fault(FORGET))
}

/// The marks of assets, each with that of its asset.
async fn marks(tx: &mut Tx<'_>, assets: &str) -> Result<Vec<serde_json::Value>, StoreError> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select id, picture from asset where id {} order by id",
        among(1)
    )))
    .bind(assets)
    .fetch_all(&mut **tx)
    .await
    .map_err(fault(FORGET))?;
    let mut marks = Vec::with_capacity(rows.len());
    for (id, picture) in rows {
        // An asset has the first half of a hash for its id.
        let picture = picture.and_then(|picture| picture.get(..id.len()).map(str::to_owned));
        let id = Mark::of(&AssetId::try_from(id).map_err(corrupt("asset_id"))?);
        marks.push(json!({ "mark": id, "asset": id }));
        if let Some(picture) = picture {
            let mark = Mark::of(&AssetId::try_from(picture).map_err(corrupt("picture"))?);
            if mark != id {
                marks.push(json!({ "mark": mark, "asset": id }));
            }
        }
    }
    Ok(marks)
}

/// Whether each of these files shows a picture that was forgotten, and is of no asset that is there.
pub(super) async fn barred<'e, E>(executor: E, files: &[Fingerprint]) -> Result<Vec<bool>, StoreError>
where
    E: sqlx::Executor<'e, Database = super::dialect::Db>,
{
    let mut barred = vec![false; files.len()];
    if files.is_empty() {
        return Ok(barred);
    }
    let asked = files.iter().enumerate().map(|(place, file)| {
        json!({
            "place": place, "id": file.asset_id(), "bytes": file.bytes.asset_id(), "picture": file.picture.to_hex(),
            "of_picture": Mark::of(&file.asset_id()), "of_bytes": Mark::of(&file.bytes.asset_id()),
        })
    });
    let places: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select cast(f.value ->> 'place' as bigint) from {} f
         where exists (select 1 from forgotten m where m.mark in (f.value ->> 'of_picture', f.value ->> 'of_bytes'))
           and not exists (select 1 from asset a where a.id in (f.value ->> 'id', f.value ->> 'bytes'))
           and not exists (select 1 from asset a where a.picture = f.value ->> 'picture')",
        each(1)
    )))
    .bind(serde_json::Value::from_iter(asked).to_string())
    .fetch_all(executor)
    .await
    .map_err(fault("look for forgotten pictures"))?;
    for place in places {
        if let Some(is_barred) = usize::try_from(place).ok().and_then(|place| barred.get_mut(place)) {
            *is_barred = true;
        }
    }
    Ok(barred)
}

/// Those of these assets that were forgotten.
pub(super) async fn marked<'e, E>(executor: E, assets: &[AssetId]) -> Result<HashSet<AssetId>, StoreError>
where
    E: sqlx::Executor<'e, Database = super::dialect::Db>,
{
    if assets.is_empty() {
        return Ok(HashSet::new());
    }
    let asked = assets.iter().map(|asset| json!({ "mark": Mark::of(asset), "asset": asset }));
    let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select a.value ->> 'asset' from {} a join forgotten f on f.mark = a.value ->> 'mark'",
        each(1)
    )))
    .bind(serde_json::Value::from_iter(asked).to_string())
    .fetch_all(executor)
    .await
    .map_err(fault("look for forgotten pictures"))?;
    rows.into_iter().map(AssetId::try_from).collect::<Result<_, _>>().map_err(corrupt("asset_id"))
}

/// Why an asset is not there.
pub(super) async fn absent<'e, E>(executor: E, asset: &AssetId) -> StoreError
where
    E: sqlx::Executor<'e, Database = super::dialect::Db>,
{
    match marked(executor, std::slice::from_ref(asset)).await {
        Ok(marked) if marked.is_empty() => StoreError::NotFound { what: "asset", id: asset.to_string() },
        Ok(_) => StoreError::Forgotten { asset: asset.clone() },
        Err(error) => error,
    }
}

/// Files that may be registered, and those whose assets were forgotten. Nobody forgets any before the transaction ends.
pub(super) async fn admitted<'f>(
    tx: &mut Tx<'_>,
    files: &'f [FoundFile],
) -> Result<(Vec<&'f FoundFile>, Vec<&'f FoundFile>), StoreError> {
    let prints: Vec<Fingerprint> = files.iter().map(|file| file.hash).collect();
    let barred = barred(&mut **tx, &prints).await?;
    let (mut admitted, mut refused) = (Vec::with_capacity(files.len()), Vec::new());
    for (file, is_barred) in files.iter().zip(barred) {
        if is_barred { &mut refused } else { &mut admitted }.push(file);
    }
    Ok((admitted, refused))
}
