//! How leases end that were not kept.

use docent_pipelines::AssetId;
use sqlx::{Postgres, Transaction};

use super::outbox::tell_given_up;
use super::requeue::refresh_ready;
use crate::store::lease::given_up;

/// Ends leases that have expired before `until`, or all, and counts the runs that were lost with them. Gives up assets
/// that were lost too often while they were analyzed alone. Leases that somebody else is ending are theirs.
pub(super) async fn end_leases(
    tx: &mut Transaction<'_, Postgres>,
    now: i64,
    until: Option<i64>,
    max_lost: u32,
    events: bool,
) -> Result<u64, sqlx::Error> {
    let ended: Vec<(String, i64)> = sqlx::query_as(
        "with ended as materialized (
             select id from asset where lease_until is not null and lease_until <= coalesce($1, lease_until)
             order by id for update skip locked)
         update asset a set suspect = greatest(suspect, run_began::int),
             lost_alone = lost_alone + (run_began and run_alone)::int,
             lease_owner = null, lease_until = null, run_began = false, run_alone = false
         from ended where a.id = ended.id
         returning a.id, case when a.ready_at is not null and a.suspect > 0 then a.lost_alone else 0 end",
    )
    .bind(until)
    .fetch_all(&mut **tx)
    .await?;
    let lost_often: Vec<&(String, i64)> =
        ended.iter().filter(|(_, lost)| *lost > i64::from(max_lost)).collect();
    for (asset, lost) in &lost_often {
        give_up(tx, asset, *lost, now, events).await?;
    }
    let ids: Vec<String> = lost_often.iter().map(|(asset, _)| asset.clone()).collect();
    refresh_ready(tx, &ids).await?;
    Ok(ended.len() as u64)
}

/// Fails an asset for good, and tells others of it where they want to know.
pub(super) async fn give_up(
    tx: &mut Transaction<'_, Postgres>,
    asset: &str,
    lost: i64,
    now: i64,
    events: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into work (asset_id, analyzer, state, model, attempts, failure_kind, reason, updated_at)
         values ($1, 'decode', 'failed', $2, $3, 'permanent', $4, $5)
         on conflict (asset_id, analyzer) do update set state = 'failed', attempts = excluded.attempts,
             failure_kind = excluded.failure_kind, reason = excluded.reason, updated_at = excluded.updated_at",
    )
    .bind(asset)
    .bind(docent_pipelines::pipeline::decoder().to_string())
    .bind(lost)
    .bind(given_up(lost))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    if events {
        tell_given_up(tx, asset, &given_up(lost), now).await?;
    }
    sqlx::query("update work set state = 'blocked' where asset_id = $1 and state = 'pending'")
        .bind(asset)
        .execute(&mut **tx)
        .await
        .map(drop)
}

pub(super) async fn end_lease(
    tx: &mut Transaction<'_, Postgres>,
    asset: &AssetId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update asset set lease_owner = null, lease_until = null, run_began = false, run_alone = false
         where id = $1",
    )
    .bind(asset.as_str())
    .execute(&mut **tx)
    .await
    .map(drop)
}
