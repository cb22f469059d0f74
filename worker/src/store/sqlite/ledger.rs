//! Registering, leasing, recording.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::{AssetId, Fingerprint, VectorSpace};
use serde_json::json;

use super::due::{let_ripe_run, look, look_around, refresh_due};
use super::erase::{admitted, barred, marked};
use super::identity::{identify, look_again};
use super::leases::{begin_unhindered, end_lease, end_leases, first_due};
use super::outbox::tell_submitted;
use super::requeue::add_missing;
use super::succession::follow;
use super::{SqliteStore, fault, get, now, parsed};
use crate::queue::AnalyzeAsset;
use crate::store::codec::{DROPPED_AT_ONCE, json_array, lane_number, millis, owner};
use crate::store::due::concerns;
use crate::store::{
    Begun, FileStamp, Finished, FoundFile, KnownFile, KnownPlace, LeaseRequest, Ledger, Recorded, Registered,
    Requeue, StoreError, Waiting, Wanted,
};

#[async_trait]
impl Ledger for SqliteStore {
    async fn known_files(&self, uris: &[String]) -> Result<HashMap<String, KnownFile>, StoreError> {
        let rows = sqlx::query(
            "select p.uri, p.bytes, p.modified_ns, p.asset_id, p.owner, p.gone_at is not null as gone, p.content_hash,
                 a.picture is not null as identified
             from asset_path p join asset a on a.id = p.asset_id
             where p.uri in (select value from json_each($1))",
        )
        .bind(json_array(uris))
        .fetch_all(&self.read)
        .await
        .map_err(fault("look up files"))?;
        rows.iter()
            .map(|row| {
                let bytes = get::<i64>(row, "bytes")?.unsigned_abs();
                let stamp = FileStamp { bytes, modified_ns: get(row, "modified_ns")? };
                Ok((
                    get(row, "uri")?,
                    KnownFile {
                        stamp,
                        asset: parsed(row, "asset_id")?,
                        owner: owner(get(row, "owner")?)?,
                        gone: get(row, "gone")?,
                        content_hash: get(row, "content_hash")?,
                        identified: get(row, "identified")?,
                    },
                ))
            })
            .collect()
    }

    async fn known_assets(
        &self,
        assets: &[AssetId],
    ) -> Result<HashMap<AssetId, Vec<KnownPlace>>, StoreError> {
        self.places_of(assets).await
    }

    async fn identify(&self, files: &[Fingerprint]) -> Result<Vec<AssetId>, StoreError> {
        let mut tx = self.read.begin().await.map_err(fault("identify pictures"))?;
        identify(&mut tx, files).await
    }

    async fn register(&self, files: &[FoundFile], wanted: &Wanted) -> Result<Registered, StoreError> {
        const OPERATION: &str = "register files";
        let failed = fault(OPERATION);
        let now = now();
        let mut tx = self.begin(OPERATION).await?;
        let (files, refused) = admitted(&mut tx, files).await?;
        if !refused.is_empty() {
            sqlx::query(
                "update asset_path set gone_at = $2 where gone_at is null and uri in (select value from json_each($1))",
            )
            .bind(json_array(refused.iter().map(|file| &file.uri)))
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        let prints: Vec<Fingerprint> = files.iter().map(|file| file.hash).collect();
        let assets = identify(&mut tx, &prints).await?;
        let listed = json_array(files.iter().zip(&assets).map(|(file, asset)| {
            json!({
                "uri": file.uri, "id": asset, "hash": file.hash.bytes.to_hex(), "picture": file.hash.picture.to_hex(),
                "bytes": file.stamp.bytes, "modified": file.stamp.modified_ns, "lane": lane_number(file.lane),
                "owner": file.owner,
            })
        }));
        let new_assets = sqlx::query(
            "insert or ignore into asset (id, content_hash, picture, bytes, lane, created_at)
             select value ->> 'id', value ->> 'hash', value ->> 'picture', value ->> 'bytes', value ->> 'lane', $2
             from json_each($1)",
        )
        .bind(&listed)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(failed)?
        .rows_affected();
        sqlx::query(
            "update asset set picture = f.value ->> 'picture' from json_each($1) f
             where asset.id = f.value ->> 'id' and asset.picture is null",
        )
        .bind(&listed)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        look_again(&mut tx, &files, &assets, str::to_owned, now).await.map_err(failed)?;
        follow(&mut tx, &files, &assets, str::to_owned, now).await.map_err(failed)?;
        let same: i64 = sqlx::query_scalar(
            "select count(*) from json_each($1) f join asset_path p on p.uri = f.value ->> 'uri'
             and p.asset_id = f.value ->> 'id'",
        )
        .bind(&listed)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        sqlx::query(
            "insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, owner, content_hash)
             select value ->> 'uri', value ->> 'id', value ->> 'bytes', value ->> 'modified', $2,
                 value ->> 'owner', value ->> 'hash'
             from json_each($1) where true
             on conflict (uri) do update set asset_id = excluded.asset_id, bytes = excluded.bytes,
                 content_hash = excluded.content_hash, modified_ns = excluded.modified_ns, seen_at = excluded.seen_at,
                 owner = coalesce(excluded.owner, asset_path.owner), gone_at = null",
        )
        .bind(&listed)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let ids = json_array(&assets);
        add_missing(&mut tx, &ids, wanted, now).await.map_err(failed)?;
        refresh_due(&mut tx, &ids, now).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Registered {
            new_assets,
            new_paths: (files.len() as u64).saturating_sub(same.unsigned_abs()),
            forgotten: refused.len() as u64,
        })
    }

    async fn barred(&self, files: &[Fingerprint]) -> Result<Vec<bool>, StoreError> {
        barred(&self.read, files).await
    }

    async fn forgotten(&self, assets: &[AssetId]) -> Result<HashSet<AssetId>, StoreError> {
        marked(&self.read, assets).await
    }

    async fn note_places(&self, gone: &[String], found: &[String]) -> Result<(), StoreError> {
        self.note(gone, found).await
    }

    async fn places_below(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KnownPlace>, StoreError> {
        self.below(folder, after, limit).await
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError> {
        const OPERATION: &str = "lease work";
        let failed = fault(OPERATION);
        let now = now();
        // Where there is nothing to lease, nothing is written and nobody has to wait.
        let mut seen = look(&self.read, now).await.map_err(failed)?;
        let (expired, ripe) = (seen.has_expired(), seen.ripe());
        if !expired && ripe.is_empty() && seen.due_for(&request.wanted, request.lane).1.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin(OPERATION).await?;
        if expired {
            end_leases(&mut tx, Some(now), self.max_lost.load(Relaxed)).await.map_err(failed)?;
        }
        if !ripe.is_empty() {
            let_ripe_run(&mut tx, &ripe, now).await.map_err(failed)?;
        }
        if expired || !ripe.is_empty() {
            seen = look(&mut *tx, now).await.map_err(failed)?;
        }
        let jobs = first_due(&mut tx, &seen, request).await?;
        if !jobs.is_empty() {
            sqlx::query(
                "update asset set lease_owner = $2, lease_until = $3, run_began = 0, run_alone = 0
                 where id in (select value from json_each($1))",
            )
            .bind(json_array(jobs.iter().map(|job| &job.asset)))
            .bind(&request.owner)
            .bind(now.saturating_add(millis(request.duration)))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        Ok(jobs)
    }

    async fn recover(&self, max_lost: u32) -> Result<u64, StoreError> {
        const OPERATION: &str = "take over lost work";
        self.max_lost.store(max_lost, Relaxed);
        let mut tx = self.begin(OPERATION).await?;
        let ended = end_leases(&mut tx, None, max_lost).await.map_err(fault(OPERATION))?;
        tx.commit().await.map_err(fault(OPERATION))?;
        Ok(ended)
    }

    fn give_up_after(&self, max_lost: u32) {
        self.max_lost.store(max_lost, Relaxed);
    }

    async fn begin_run(&self, job: &AnalyzeAsset, owner: &str) -> Result<Begun, StoreError> {
        let now = now();
        if let Some(attempts) = begin_unhindered(&self.write, job, owner, now).await? {
            return Ok(Begun::Run(attempts));
        }
        self.begin_whole(job, owner, now).await
    }

    async fn submit(
        &self,
        file: &FoundFile,
        wanted: &Wanted,
        correlation: Option<&str>,
    ) -> Result<Registered, StoreError> {
        let registered = self.register(std::slice::from_ref(file), wanted).await?;
        if registered.forgotten == 0 {
            tell_submitted(self, file, registered, correlation).await?;
        }
        Ok(registered)
    }

    async fn record(&self, runs: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
        self.record_runs(runs).await
    }

    async fn hand_back(&self, asset: &AssetId) -> Result<(), StoreError> {
        const OPERATION: &str = "hand work back";
        let mut tx = self.begin(OPERATION).await?;
        end_lease(&mut tx, asset).await.map_err(fault(OPERATION))?;
        tx.commit().await.map_err(fault(OPERATION))
    }

    async fn hand_back_all(&self, owner: &str) -> Result<(), StoreError> {
        sqlx::query(
            "update asset set lease_owner = null, lease_until = null, run_began = 0, run_alone = 0
             where id in (select id from asset indexed by asset_leased where lease_until is not null and lease_owner = $1)",
        )
        .bind(owner)
        .execute(&self.write)
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

    async fn outstanding(&self, wanted: &Wanted) -> Result<u64, StoreError> {
        // Most of the time nothing is, which a few seeks tell. Counting reads every asset: the indexes do not hold what is pending
        // for each, and rows that are looked up one by one cost more than all of them in a row.
        if !self.waiting(wanted).await?.left {
            return Ok(0);
        }
        let kept: Vec<(String, i64)> =
            sqlx::query_as("select pending, count(*) from asset where pending is not null group by pending")
                .fetch_all(&self.read)
                .await
                .map_err(fault("count outstanding work"))?;
        let assets: i64 = kept.iter().filter(|(names, _)| concerns(names, wanted)).map(|(_, n)| n).sum();
        Ok(assets.unsigned_abs())
    }

    async fn pending_among(&self, wanted: &Wanted, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        super::pending::among(self, wanted, assets).await
    }

    async fn waiting(&self, wanted: &Wanted) -> Result<Waiting, StoreError> {
        let look = look_around(&self.read, now()).await.map_err(fault("look for work"))?;
        Ok(look.waiting(wanted))
    }

    async fn prolong(&self, assets: &[AssetId], owner: &str, duration: Duration) -> Result<(), StoreError> {
        sqlx::query(
            "update asset set lease_until = $3
             where id in (select value from json_each($1)) and lease_owner = $2 and run_began = 0",
        )
        .bind(json_array(assets))
        .bind(owner)
        .bind(now().saturating_add(millis(duration)))
        .execute(&self.write)
        .await
        .map(drop)
        .map_err(fault("prolong leases"))
    }

    async fn holders(&self, space: &VectorSpace, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        let rows = sqlx::query(
            "select id from asset where id in (select value from json_each($1)) and (suspect > 0
             or exists (select 1 from vector v where v.asset_id = asset.id and v.space = $2))",
        )
        .bind(json_array(assets))
        .bind(space.as_str())
        .fetch_all(&self.read)
        .await
        .map_err(fault("look for vectors"))?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let gone = sqlx::query(
                "delete from vector where sequence in (select sequence from vector where space = $1 limit $2)",
            )
            .bind(space.as_str())
            .bind(DROPPED_AT_ONCE)
            .execute(&self.write)
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
        sqlx::query("pragma optimize").execute(&self.write).await.map_err(fault("tidy the ledger"))?;
        self.trim_outbox().await?;
        self.sweep().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().await
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
