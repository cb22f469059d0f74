//! Which asset a picture is, and how it is turned. Both ledgers compile this file.

use std::collections::HashMap;

use docent_pipelines::{AssetId, Fingerprint};
use serde_json::{Value, json};

use super::dialect::{Tx, each, each_text};
use super::{fault, get, parsed};
use crate::store::codec::json_array;
use crate::store::turn::Turn;
use crate::store::{Finished, FoundFile, StoreError};

/// See [`crate::store::Ledger::identify`].
pub(super) async fn identify(tx: &mut Tx<'_>, files: &[Fingerprint]) -> Result<Vec<AssetId>, StoreError> {
    let listed = files.iter().enumerate().map(|(place, file)| {
        json!({
            "place": place, "id": file.asset_id(), "picture": file.picture.to_hex(), "bytes": file.bytes.asset_id(),
        })
    });
    let sql = format!(
        "select coalesce(
             (select id from asset where id = f.value ->> 'bytes'),
             (select id from asset where picture = f.value ->> 'picture' order by created_at, id limit 1),
             f.value ->> 'id') as id
         from {} f order by cast(f.value ->> 'place' as integer)",
        each(1)
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(Value::from_iter(listed).to_string())
        .fetch_all(&mut **tx)
        .await
        .map_err(fault("identify pictures"))?;
    rows.iter().map(|row| parsed(row, "id")).collect()
}

/// Lets files be decoded again whose picture is as it was, and whose bytes are not: somebody wrote into them. Before their places are
/// written, while their assets are locked. `key` is a place as the table has it. Answers the assets.
pub(super) async fn look_again(
    tx: &mut Tx<'_>,
    files: &[&FoundFile],
    assets: &[AssetId],
    key: fn(&str) -> String,
    now: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let listed = files
        .iter()
        .zip(assets)
        .map(|(file, asset)| json!({ "uri": key(&file.uri), "id": asset, "hash": file.hash.bytes.to_hex() }));
    let sql = format!(
        "update work set state = 'pending', attempts = 0, not_before = 0, updated_at = $2
         where analyzer = 'decode' and state = 'done' and asset_id in (
             select a.id from {} f
             join asset_path p on p.uri = f.value ->> 'uri' and p.asset_id = f.value ->> 'id'
             join asset a on a.id = p.asset_id
             where coalesce(p.content_hash, a.content_hash) <> f.value ->> 'hash')
         returning asset_id",
        each(1)
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(Value::from_iter(listed).to_string())
        .bind(now)
        .fetch_all(&mut **tx)
        .await
}

/// Turns what was said of pictures that stand another way than when they were looked at, and lets all analyzers that are not of these
/// runs look at them again.
pub(super) async fn turn(tx: &mut Tx<'_>, runs: &[Finished]) -> Result<(), StoreError> {
    let failed = fault("turn a picture");
    let now_is = runs
        .iter()
        .filter_map(|Finished { run, .. }| Some((run.asset.as_str(), run.picture.as_ref()?.orientation)));
    let now_is: HashMap<&str, u8> = now_is.collect();
    let sql = format!(
        "select id, orientation from asset
         where orientation is not null and id in (select value from {})",
        each_text(1)
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(json_array(now_is.keys()))
        .fetch_all(&mut **tx)
        .await
        .map_err(failed)?;
    for row in &rows {
        let (asset, was): (String, i64) = (get(row, "id")?, get(row, "orientation")?);
        let Some(turn) = now_is.get(asset.as_str()).and_then(|is| Turn::between(was, *is)) else { continue };
        let [x, y, width, height] = turn.columns();
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "update suggestion set region_x = {x}, region_y = {y}, region_width = {width}, region_height = {height}
             where asset_id = $1 and region_x is not null"
        )))
        .bind(&asset)
        .execute(&mut **tx)
        .await
        .map_err(failed)?;
        sqlx::query(
            "update work set state = 'pending', attempts = 0, not_before = 0
             where asset_id = $1 and state = 'done' and analyzer <> 'decode'",
        )
        .bind(&asset)
        .execute(&mut **tx)
        .await
        .map_err(failed)?;
    }
    Ok(())
}
