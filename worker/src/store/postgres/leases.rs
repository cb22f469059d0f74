//! How leases begin, and how those end that were not kept.

use std::sync::atomic::Ordering::Relaxed;

use docent_pipelines::AssetId;
use sqlx::{Postgres, Transaction};

use super::due::{let_ripe_run, look, refresh_due};
use super::outbox::tell_given_up;
use super::{PostgresStore, fault, get, parsed};
use crate::queue::AnalyzeAsset;
use crate::store::codec::{analyzer, lane_of, millis};
use crate::store::lease::given_up;
use crate::store::{LeaseRequest, StoreError};

impl PostgresStore {
    /// See [`crate::store::Ledger::lease`]. Where there is nothing to lease, nothing is written and nothing is locked.
    pub(super) async fn lease_once(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError> {
        const OPERATION: &str = "lease work";
        let failed = fault(OPERATION);
        let mut seen = look(&self.pool).await.map_err(failed)?;
        let (expired, ripe) = (seen.has_expired(), seen.ripe());
        if !expired && ripe.is_empty() && seen.due_for(&request.wanted, request.lane).1.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<&str> = request.wanted.keys().map(|analyzer| analyzer.as_str()).collect();
        let (mut tx, now) = self.begin(OPERATION).await?;
        if expired {
            end_leases(&mut tx, now, Some(now), self.max_lost.load(Relaxed)).await.map_err(failed)?;
        }
        if !ripe.is_empty() {
            let_ripe_run(&mut tx, &ripe, now).await.map_err(failed)?;
        }
        if expired || !ripe.is_empty() {
            seen = look(&mut *tx).await.map_err(failed)?;
        }
        let (lanes, names) = seen.due_for(&request.wanted, request.lane);
        // Of each kind the first ones, of all together the first of these.
        let rows = sqlx::query(
            "with chosen as materialized (
                 select c.id from unnest($1::bigint[], $2::text[]) s (lane, names) cross join lateral (
                     select id, lane, suspect, lost_alone, created_at from asset a
                     where a.lane = s.lane and a.due = s.names and a.due is not null and a.lease_until is null
                     order by suspect, lost_alone, created_at, id limit $3 for update skip locked) c
                 order by c.lane, c.suspect, c.lost_alone, c.created_at, c.id limit $3)
             update asset a set lease_owner = $4, lease_until = $5, run_began = false, run_alone = false
             from chosen where a.id = chosen.id
             returning a.id, a.lane, a.suspect, a.lost_alone, a.created_at,
                 array(select coalesce(p.whole, p.uri) from asset_path p where p.asset_id = a.id
                       order by p.gone_at is not null, p.uri) as uris,
                 array(select w.analyzer from work w where w.asset_id = a.id and w.state = 'pending'
                       and w.not_before <= $6 and w.analyzer = any($7::text[])) as analyzers",
        )
        .bind(lanes)
        .bind(names)
        .bind(i64::from(request.limit))
        .bind(&request.owner)
        .bind(now.saturating_add(millis(request.duration)))
        .bind(now)
        .bind(&wanted)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            let asset: AssetId = parsed(row, "id")?;
            let (lane, suspect): (i64, i64) = (get(row, "lane")?, get(row, "suspect")?);
            let order = (lane, suspect, get::<i64>(row, "lost_alone")?, get::<i64>(row, "created_at")?);
            let names: Vec<String> = get(row, "analyzers")?;
            let job = AnalyzeAsset {
                asset,
                uris: get(row, "uris")?,
                analyzers: names.iter().map(|name| analyzer(name)).collect::<Result<_, _>>()?,
                lane: lane_of(lane),
                alone: suspect != 0,
            };
            jobs.push((order, job));
        }
        // `returning` keeps no order.
        jobs.sort_by(|(a, one), (b, other)| (a, &one.asset).cmp(&(b, &other.asset)));
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }
}

/// Ends leases that have expired before `until`, or all, and counts the runs that were lost with them. Gives up assets
/// that were lost too often while they were analyzed alone. Leases that somebody else is ending are theirs.
pub(super) async fn end_leases(
    tx: &mut Transaction<'_, Postgres>,
    now: i64,
    until: Option<i64>,
    max_lost: u32,
) -> Result<u64, sqlx::Error> {
    let ended: Vec<(String, i64)> = sqlx::query_as(
        "with ended as materialized (
             select id from asset where lease_until is not null and lease_until <= coalesce($1, lease_until)
             order by id for update skip locked)
         update asset a set suspect = greatest(suspect, run_began::int),
             lost_alone = lost_alone + (run_began and run_alone)::int,
             lease_owner = null, lease_until = null, run_began = false, run_alone = false
         from ended where a.id = ended.id
         returning a.id, case when a.pending is not null and a.suspect > 0 then a.lost_alone else 0 end",
    )
    .bind(until)
    .fetch_all(&mut **tx)
    .await?;
    let lost_often: Vec<&(String, i64)> =
        ended.iter().filter(|(_, lost)| *lost > i64::from(max_lost)).collect();
    for (asset, lost) in &lost_often {
        give_up(tx, asset, *lost, now).await?;
    }
    let ids: Vec<String> = lost_often.iter().map(|(asset, _)| asset.clone()).collect();
    refresh_due(tx, &ids, now).await?;
    Ok(ended.len() as u64)
}

/// Fails an asset for good, and tells of it.
pub(super) async fn give_up(
    tx: &mut Transaction<'_, Postgres>,
    asset: &str,
    lost: i64,
    now: i64,
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
    tell_given_up(tx, asset, &given_up(lost), now).await?;
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
