//! Registering, leasing, recording.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::{AssetId, Owner, VectorSpace};

use super::leases::{end_lease, end_leases, give_up};
use super::requeue::{add_missing, refresh_ready};
use super::{PostgresStore, fault, get, parsed};
use crate::queue::AnalyzeAsset;
use crate::store::codec::{DROPPED_AT_ONCE, LONGEST_RUN, analyzer, lane_number, lane_of, millis, owner};
use crate::store::lease::{Lease, Standing};
use crate::store::{
    Begun, EventSink, FileStamp, Finished, FoundFile, KnownFile, LeaseRequest, Ledger, Outstanding, Recorded,
    Registered, Requeue, StoreError, Wanted,
};

#[async_trait]
impl Ledger for PostgresStore {
    async fn known_files(&self, uris: &[String]) -> Result<HashMap<String, KnownFile>, StoreError> {
        let rows = sqlx::query(
            "select uri, bytes, modified_ns, asset_id, owner from asset_path where uri = any($1::text[])",
        )
        .bind(uris)
        .fetch_all(&self.pool)
        .await
        .map_err(fault("look up files"))?;
        rows.iter()
            .map(|row| {
                let bytes = get::<i64>(row, "bytes")?.unsigned_abs();
                let stamp = FileStamp { bytes, modified_ns: get(row, "modified_ns")? };
                Ok((
                    get(row, "uri")?,
                    KnownFile { stamp, asset: parsed(row, "asset_id")?, owner: owner(get(row, "owner")?)? },
                ))
            })
            .collect()
    }

    async fn register(&self, files: &[FoundFile], wanted: &Wanted) -> Result<Registered, StoreError> {
        const OPERATION: &str = "register files";
        let failed = fault(OPERATION);
        // The last of several at one place counts; everybody writes places in the same order.
        let by_place: BTreeMap<&str, &FoundFile> =
            files.iter().map(|file| (file.uri.as_str(), file)).collect();
        let mut by_id: BTreeMap<String, &FoundFile> = BTreeMap::new();
        for file in files {
            by_id.entry(file.hash.asset_id().to_string()).or_insert(file);
        }
        let ids: Vec<String> = by_id.keys().cloned().collect();
        let hashes: Vec<String> = by_id.values().map(|file| file.hash.to_hex()).collect();
        let bytes: Vec<i64> = by_id.values().map(|file| file.stamp.bytes.cast_signed()).collect();
        let lanes: Vec<i64> = by_id.values().map(|file| lane_number(file.lane)).collect();
        let uris: Vec<&str> = by_place.keys().copied().collect();
        let places: Vec<String> = by_place.values().map(|file| file.hash.asset_id().to_string()).collect();
        let sizes: Vec<i64> = by_place.values().map(|file| file.stamp.bytes.cast_signed()).collect();
        let times: Vec<i64> = by_place.values().map(|file| file.stamp.modified_ns).collect();
        let owners: Vec<Option<&str>> =
            by_place.values().map(|file| file.owner.as_ref().map(Owner::as_str)).collect();

        let (mut tx, now) = self.begin(OPERATION).await?;
        // What is uploaded again while it waits in the backfill is wanted now.
        let new_assets: i64 = sqlx::query_scalar(
            "with new as (
                 insert into asset as a (id, content_hash, bytes, lane, created_at)
                 select *, $5 from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                 on conflict (id) do update set lane = excluded.lane where excluded.lane < a.lane
                 returning (xmax = 0) as inserted)
             select count(*) from new where inserted",
        )
        .bind(&ids)
        .bind(&hashes)
        .bind(&bytes)
        .bind(&lanes)
        .bind(now)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        let same: i64 = sqlx::query_scalar(
            "select count(*) from unnest($1::text[], $2::text[]) f (uri, id)
             join asset_path p on p.uri = f.uri and p.asset_id = f.id",
        )
        .bind(&uris)
        .bind(&places)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        sqlx::query(
            "insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, asset_at, owner)
             select f.uri, a.id, f.bytes, f.modified_ns, $6, a.created_at, f.owner
             from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
                 f (uri, id, bytes, modified_ns, owner)
             join asset a on a.id = f.id
             on conflict (uri) do update set asset_id = excluded.asset_id, asset_at = excluded.asset_at,
                 bytes = excluded.bytes, modified_ns = excluded.modified_ns, seen_at = excluded.seen_at,
                 owner = coalesce(excluded.owner, asset_path.owner)",
        )
        .bind(&uris)
        .bind(&places)
        .bind(&sizes)
        .bind(&times)
        .bind(&owners)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let missing = add_missing(&mut tx, &ids, wanted, now).await.map_err(failed)?;
        refresh_ready(&mut tx, &missing).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Registered {
            new_assets: new_assets.unsigned_abs(),
            new_paths: (by_place.len() as u64).saturating_sub(same.unsigned_abs()),
        })
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError> {
        const OPERATION: &str = "lease work";
        let failed = fault(OPERATION);
        let wanted: Vec<&str> = request.wanted.keys().map(|analyzer| analyzer.as_str()).collect();
        let (mut tx, now) = self.begin(OPERATION).await?;
        end_leases(&mut tx, now, Some(now), self.max_lost.load(Relaxed)).await.map_err(failed)?;
        let rows = sqlx::query(
            "with chosen as materialized (
                 select id from asset a
                 where ready_at is not null and lease_until is null and ready_at <= $1
                   and lane = any($6::bigint[])
                   and exists (select 1 from work w where w.asset_id = a.id and w.state = 'pending'
                               and w.not_before <= $1 and w.analyzer = any($2::text[]))
                 order by lane, suspect, lost_alone, created_at, id limit $3
                 for update skip locked)
             update asset a set lease_owner = $4, lease_until = $5, run_began = false, run_alone = false
             from chosen where a.id = chosen.id
             returning a.id, a.lane, a.suspect, a.lost_alone, a.created_at,
                 array(select p.uri from asset_path p where p.asset_id = a.id order by p.uri) as uris,
                 array(select w.analyzer from work w where w.asset_id = a.id and w.state = 'pending'
                       and w.not_before <= $1 and w.analyzer = any($2::text[])) as analyzers",
        )
        .bind(now)
        .bind(&wanted)
        .bind(i64::from(request.limit))
        .bind(&request.owner)
        .bind(now.saturating_add(millis(request.duration)))
        .bind(match request.lane {
            Some(lane) => vec![lane_number(lane)],
            None => vec![0, 1],
        })
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

    async fn recover(&self, max_lost: u32) -> Result<u64, StoreError> {
        const OPERATION: &str = "take over lost work";
        self.max_lost.store(max_lost, Relaxed);
        let (mut tx, now) = self.begin(OPERATION).await?;
        let ended = end_leases(&mut tx, now, None, max_lost).await.map_err(fault(OPERATION))?;
        tx.commit().await.map_err(fault(OPERATION))?;
        Ok(ended)
    }

    fn give_up_after(&self, max_lost: u32) {
        self.max_lost.store(max_lost, Relaxed);
    }

    async fn begin_run(&self, job: &AnalyzeAsset, owner: &str) -> Result<Begun, StoreError> {
        const OPERATION: &str = "begin a run";
        let failed = fault(OPERATION);
        let asset = job.asset.as_str();
        let (mut tx, now) = self.begin(OPERATION).await?;
        let row = sqlx::query(
            "select lease_owner, lease_until, run_began, run_alone, lost_alone from asset where id = $1 for update",
        )
        .bind(asset)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?
        .ok_or_else(|| StoreError::NotFound { what: "asset", id: job.asset.to_string() })?;
        let held = Lease {
            owner: get(&row, "lease_owner")?,
            until: get(&row, "lease_until")?,
            run_began: get(&row, "run_began")?,
            run_alone: get(&row, "run_alone")?,
            lost_alone: u32::try_from(get::<i64>(&row, "lost_alone")?).unwrap_or(u32::MAX),
        };
        let standing = held.standing(owner, job.alone, now);
        if let Standing::Lost { alone } = standing {
            sqlx::query("update asset set suspect = 1, lost_alone = $2 where id = $1")
                .bind(asset)
                .bind(i64::from(alone))
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        if let Some(answer) = standing.answer(self.max_lost.load(Relaxed)) {
            if let Begun::GivenUp { lost } = answer {
                give_up(&mut tx, asset, lost.into(), now).await.map_err(failed)?;
                end_lease(&mut tx, &job.asset).await.map_err(failed)?;
                refresh_ready(&mut tx, &[asset.to_owned()]).await.map_err(failed)?;
            }
            tx.commit().await.map_err(failed)?;
            return Ok(answer);
        }
        let names: Vec<&str> = job.analyzers.iter().map(|analyzer| analyzer.as_str()).collect();
        let pending: Vec<(String, i64)> = sqlx::query_as(
            "select analyzer, attempts from work where asset_id = $1 and state = 'pending'
             and analyzer = any($2::text[])",
        )
        .bind(asset)
        .bind(&names)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        if pending.is_empty() {
            // The lease may belong to a run of other analyzers.
            if !held.run_began {
                end_lease(&mut tx, &job.asset).await.map_err(failed)?;
            }
            tx.commit().await.map_err(failed)?;
            return Ok(Begun::Done);
        }
        sqlx::query(
            "update asset set run_began = true, run_alone = $2, lease_owner = $3,
                 lease_until = greatest(coalesce(lease_until, 0), $4) where id = $1",
        )
        .bind(asset)
        .bind(job.alone)
        .bind(owner)
        .bind(now.saturating_add(millis(LONGEST_RUN)))
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let attempt = |(name, attempts): (String, i64)| {
            Ok((analyzer(&name)?, u32::try_from(attempts).unwrap_or(u32::MAX)))
        };
        pending.into_iter().map(attempt).collect::<Result<_, _>>().map(Begun::Run)
    }

    async fn record(&self, runs: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
        self.record_runs(runs).await
    }

    async fn hand_back(&self, asset: &AssetId) -> Result<(), StoreError> {
        const OPERATION: &str = "hand work back";
        let (mut tx, _) = self.begin(OPERATION).await?;
        end_lease(&mut tx, asset).await.map_err(fault(OPERATION))?;
        tx.commit().await.map_err(fault(OPERATION))
    }

    async fn hand_back_all(&self, owner: &str) -> Result<(), StoreError> {
        sqlx::query(
            "update asset set lease_owner = null, lease_until = null, run_began = false, run_alone = false
             where id in (select id from asset where lease_owner = $1 and lease_until is not null
                          order by id for update)",
        )
        .bind(owner)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(fault("hand work back"))
    }

    async fn requeue(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError> {
        self.queue_again(what, wanted, assets).await
    }

    async fn outstanding(&self, wanted: &Wanted) -> Result<Outstanding, StoreError> {
        let names: Vec<&str> = wanted.keys().map(|analyzer| analyzer.as_str()).collect();
        let row = sqlx::query(
            "select count(*) as assets,
                    count(*) filter (where ready_at <= n.now and lease_until is null) as ready,
                    min(ready_at) filter (where lease_until is null and ready_at > n.now) - min(n.now) as next
             from (select docent_now() as now) n, asset a where ready_at is not null
               and exists (select 1 from work w where w.asset_id = a.id and w.state = 'pending'
                           and w.analyzer = any($1::text[]))",
        )
        .bind(&names)
        .fetch_one(&self.pool)
        .await
        .map_err(fault("count outstanding work"))?;
        Ok(Outstanding {
            assets: get::<i64>(&row, "assets")?.unsigned_abs(),
            ready: get::<i64>(&row, "ready")?.unsigned_abs(),
            next_ready_in: get::<Option<i64>>(&row, "next")?
                .map(|wait| Duration::from_millis(wait.max(0).unsigned_abs())),
        })
    }

    async fn relay_events(&self, sink: &dyn EventSink, limit: u32) -> Result<u64, StoreError> {
        self.relay(sink, limit).await
    }

    async fn prolong(&self, assets: &[AssetId], owner: &str, duration: Duration) -> Result<(), StoreError> {
        let ids: Vec<&str> = assets.iter().map(AssetId::as_str).collect();
        sqlx::query(
            "update asset a set lease_until = docent_now() + $3
             from (select id from asset where id = any($1::text[]) and lease_owner = $2 and not run_began
                   order by id for update) mine
             where a.id = mine.id",
        )
        .bind(&ids)
        .bind(owner)
        .bind(millis(duration))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(fault("prolong leases"))
    }

    async fn holders(&self, space: &VectorSpace, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        let ids: Vec<&str> = assets.iter().map(AssetId::as_str).collect();
        let rows = sqlx::query(
            "select id from asset a where id = any($1::text[]) and (suspect > 0
             or exists (select 1 from vector v where v.asset_id = a.id and v.space = $2))",
        )
        .bind(&ids)
        .bind(space.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(fault("look for vectors"))?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let gone = sqlx::query(
                "delete from vector where id in (select id from vector where space = $1 order by id limit $2)",
            )
            .bind(space.as_str())
            .bind(DROPPED_AT_ONCE)
            .execute(&self.pool)
            .await
            .map_err(fault("drop a vector space"))?
            .rows_affected();
            all += gone;
            if gone == 0 {
                return Ok(all);
            }
        }
    }

    async fn upkeep(&self) -> Result<(), StoreError> {
        sqlx::query("select docent_sum_up()")
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(fault("tidy the ledger"))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await.map(drop).map_err(fault("reach the ledger"))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
