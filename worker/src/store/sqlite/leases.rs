//! How leases end that were not kept.

use docent_pipelines::AssetId;
use sqlx::{Sqlite, Transaction};

use super::now;
use super::requeue::refresh_ready;
use crate::store::codec::json_array;
use crate::store::lease::given_up;

/// Ends leases that have expired before `until`, or all, and counts the runs that were lost with them. Gives up assets
/// that were lost too often while they were analyzed alone.
pub(super) async fn end_leases(
    tx: &mut Transaction<'_, Sqlite>,
    until: Option<i64>,
    max_lost: u32,
) -> Result<u64, sqlx::Error> {
    let ended = sqlx::query(
        "update asset set suspect = max(suspect, run_began),
             lost_alone = lost_alone + (run_began and run_alone),
             lease_owner = null, lease_until = null, run_began = 0, run_alone = 0
         where lease_until is not null and ($1 is null or lease_until <= $1)",
    )
    .bind(until)
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if ended == 0 {
        return Ok(0);
    }
    let lost_often: Vec<(String, i64)> = sqlx::query_as(
        "select id, lost_alone from asset where ready_at is not null and suspect > 0 and lost_alone > $1",
    )
    .bind(max_lost)
    .fetch_all(&mut **tx)
    .await?;
    for (asset, lost) in &lost_often {
        give_up(tx, asset, *lost).await?;
    }
    refresh_ready(tx, &json_array(lost_often.iter().map(|(asset, _)| asset))).await?;
    Ok(ended)
}

/// Fails an asset for good.
pub(super) async fn give_up(
    tx: &mut Transaction<'_, Sqlite>,
    asset: &str,
    lost: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into work (asset_id, analyzer, state, model, attempts, failure_kind, reason, updated_at)
         values ($1, 'decode', 'failed', $2, $3, 'permanent', $4, $5)
         on conflict do update set state = 'failed', attempts = excluded.attempts,
             failure_kind = excluded.failure_kind, reason = excluded.reason, updated_at = excluded.updated_at",
    )
    .bind(asset)
    .bind(docent_pipelines::pipeline::decoder().to_string())
    .bind(lost)
    .bind(given_up(lost))
    .bind(now())
    .execute(&mut **tx)
    .await?;
    sqlx::query("update work set state = 'blocked' where asset_id = $1 and state = 'pending'")
        .bind(asset)
        .execute(&mut **tx)
        .await
        .map(drop)
}

pub(super) async fn end_lease(tx: &mut Transaction<'_, Sqlite>, asset: &AssetId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update asset set lease_owner = null, lease_until = null, run_began = 0, run_alone = 0 where id = $1",
    )
    .bind(asset.as_str())
    .execute(&mut **tx)
    .await
    .map(drop)
}
