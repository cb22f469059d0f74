//! Registering, leasing, recording.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::{AssetId, Fingerprint, Owner, VectorSpace};

use super::due::{look_around, refresh_due};
use super::erase::{absent, admitted, barred, marked};
use super::identity::{identify, look_again};
use super::leases::{end_lease, end_leases, give_up};
use super::outbox::tell_submitted;
use super::requeue::add_missing;
use super::succession::follow;
use super::{PostgresStore, fault, get, parsed};
use crate::queue::AnalyzeAsset;
use crate::store::codec::{
    DROPPED_AT_ONCE, LONGEST_RUN, analyzer, lane_number, millis, owner, place_key, whole_place,
};
use crate::store::due::concerns;
use crate::store::fault::again;
use crate::store::lease::{Lease, Standing};
use crate::store::{
    Begun, FileStamp, Finished, FoundFile, KnownFile, KnownPlace, LeaseRequest, Ledger, Recorded, Registered,
    Requeue, StoreError, Waiting, Wanted,
};

#[async_trait]
impl Ledger for PostgresStore {
    async fn known_files(&self, uris: &[String]) -> Result<HashMap<String, KnownFile>, StoreError> {
        let rows = sqlx::query(
            "select coalesce(p.whole, p.uri) as uri, p.bytes, p.modified_ns, p.asset_id, p.owner,
                 p.gone_at is not null as gone, p.content_hash, a.picture is not null as identified
             from asset_path p join asset a on a.id = p.asset_id
             where p.uri = any($1::text[])",
        )
        .bind(uris.iter().map(|uri| place_key(uri)).collect::<Vec<String>>())
        .fetch_all(&self.pool)
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
        let mut tx = self.pool.begin().await.map_err(fault("identify pictures"))?;
        identify(&mut tx, files).await
    }

    async fn register(&self, files: &[FoundFile], wanted: &Wanted) -> Result<Registered, StoreError> {
        again(|| self.register_once(files, wanted)).await
    }

    async fn barred(&self, files: &[Fingerprint]) -> Result<Vec<bool>, StoreError> {
        barred(&self.pool, files).await
    }

    async fn forgotten(&self, assets: &[AssetId]) -> Result<HashSet<AssetId>, StoreError> {
        marked(&self.pool, assets).await
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
        again(|| self.lease_once(request)).await
    }

    async fn recover(&self, max_lost: u32) -> Result<u64, StoreError> {
        const OPERATION: &str = "take over lost work";
        self.max_lost.store(max_lost, Relaxed);
        again(|| async {
            let (mut tx, now) = self.begin(OPERATION).await?;
            let ended = end_leases(&mut tx, now, None, max_lost).await.map_err(fault(OPERATION))?;
            tx.commit().await.map_err(fault(OPERATION))?;
            Ok(ended)
        })
        .await
    }

    fn give_up_after(&self, max_lost: u32) {
        self.max_lost.store(max_lost, Relaxed);
    }

    async fn begin_run(&self, job: &AnalyzeAsset, owner: &str) -> Result<Begun, StoreError> {
        again(|| self.begin_run_once(job, owner)).await
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
        again(|| self.record_runs(runs)).await
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

    async fn outstanding(&self, wanted: &Wanted) -> Result<u64, StoreError> {
        let kept: Vec<(String, i64)> =
            sqlx::query_as("select a, sum(delta)::bigint from tally where what = 'pending' group by a")
                .fetch_all(&self.pool)
                .await
                .map_err(fault("count outstanding work"))?;
        let assets: i64 = kept.iter().filter(|(names, _)| concerns(names, wanted)).map(|(_, n)| n).sum();
        Ok(assets.max(0).unsigned_abs())
    }

    async fn pending_among(&self, wanted: &Wanted, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        super::pending::among(self, wanted, assets).await
    }

    async fn waiting(&self, wanted: &Wanted) -> Result<Waiting, StoreError> {
        let look = look_around(&self.pool).await.map_err(fault("look for work"))?;
        Ok(look.waiting(wanted))
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
            // None may also mean that another removal, or one whose process was killed, had the same ones in hand.
            if gone == 0
                && !sqlx::query_scalar::<_, bool>("select exists (select 1 from vector where space = $1)")
                    .bind(space.as_str())
                    .fetch_one(&self.pool)
                    .await
                    .map_err(fault("drop a vector space"))?
            {
                return Ok(all);
            }
        }
    }

    async fn upkeep(&self) -> Result<(), StoreError> {
        sqlx::query("select docent_sum_up()").execute(&self.pool).await.map_err(fault("tidy the ledger"))?;
        self.trim_outbox().await?;
        self.sweep().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().await
    }

    async fn close(&self) {
        self.line.close().await;
        self.pool.close().await;
    }
}

impl PostgresStore {
    /// See [`Ledger::register`].
    async fn register_once(&self, files: &[FoundFile], wanted: &Wanted) -> Result<Registered, StoreError> {
        const OPERATION: &str = "register files";
        let failed = fault(OPERATION);
        let (mut tx, now) = self.begin(OPERATION).await?;
        // Who forgets takes the other side.
        sqlx::query("select pg_advisory_xact_lock_shared(hashtext('docent forgotten'))")
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let (files, refused) = admitted(&mut tx, files).await?;
        if !refused.is_empty() {
            let places: BTreeSet<String> = refused.iter().map(|file| place_key(&file.uri)).collect();
            sqlx::query(
                "update asset_path p set gone_at = $2 from (
                     select uri from asset_path where uri = any($1::text[]) and gone_at is null order by uri for update) n
                 where p.uri = n.uri",
            )
            .bind(places.into_iter().collect::<Vec<_>>())
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        // The last of several at one place counts; everybody writes places in the same order.
        let prints: Vec<Fingerprint> = files.iter().map(|file| file.hash).collect();
        let assets = identify(&mut tx, &prints).await?;
        let by_place: BTreeMap<&str, (&FoundFile, &AssetId)> =
            files.iter().zip(&assets).map(|(file, asset)| (file.uri.as_str(), (*file, asset))).collect();
        let mut by_id: BTreeMap<String, &FoundFile> = BTreeMap::new();
        for (file, asset) in files.iter().zip(&assets) {
            by_id.entry(asset.to_string()).or_insert(file);
        }
        let ids: Vec<String> = by_id.keys().cloned().collect();
        let hashes: Vec<String> = by_id.values().map(|file| file.hash.bytes.to_hex()).collect();
        let pictures: Vec<String> = by_id.values().map(|file| file.hash.picture.to_hex()).collect();
        let bytes: Vec<i64> = by_id.values().map(|file| file.stamp.bytes.cast_signed()).collect();
        let lanes: Vec<i64> = by_id.values().map(|file| lane_number(file.lane)).collect();
        let uris: Vec<String> = by_place.keys().map(|uri| place_key(uri)).collect();
        let wholes: Vec<Option<String>> = by_place.keys().map(|uri| whole_place(uri)).collect();
        let places: Vec<String> = by_place.values().map(|(_, asset)| asset.to_string()).collect();
        let sizes: Vec<i64> = by_place.values().map(|(file, _)| file.stamp.bytes.cast_signed()).collect();
        let times: Vec<i64> = by_place.values().map(|(file, _)| file.stamp.modified_ns).collect();
        let contents: Vec<String> = by_place.values().map(|(file, _)| file.hash.bytes.to_hex()).collect();
        let owners: Vec<Option<&str>> =
            by_place.values().map(|(file, _)| file.owner.as_ref().map(Owner::as_str)).collect();

        // What is uploaded again while it waits in the backfill is wanted now.
        let new_assets: i64 = sqlx::query_scalar(
            "with new as (
                 insert into asset as a (id, content_hash, bytes, lane, picture, created_at)
                 select *, $6 from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
                 on conflict (id) do update set lane = least(a.lane, excluded.lane),
                     picture = coalesce(a.picture, excluded.picture)
                     where excluded.lane < a.lane or a.picture is null
                 returning (xmax = 0) as inserted)
             select count(*) from new where inserted",
        )
        .bind(&ids)
        .bind(&hashes)
        .bind(&bytes)
        .bind(&lanes)
        .bind(&pictures)
        .bind(now)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        let again = look_again(&mut tx, &files, &assets, place_key, now).await.map_err(failed)?;
        follow(&mut tx, &files, &assets, place_key, now).await.map_err(failed)?;
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
            "insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, asset_at, owner, whole, content_hash)
             select f.uri, a.id, f.bytes, f.modified_ns, $6, a.created_at, f.owner, f.whole, f.content_hash
             from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $7::text[], $8::text[])
                 f (uri, id, bytes, modified_ns, owner, whole, content_hash)
             join asset a on a.id = f.id
             on conflict (uri) do update set asset_id = excluded.asset_id, asset_at = excluded.asset_at,
                 bytes = excluded.bytes, content_hash = excluded.content_hash,
                 modified_ns = excluded.modified_ns, seen_at = excluded.seen_at,
                 owner = coalesce(excluded.owner, asset_path.owner), gone_at = null",
        )
        .bind(&uris)
        .bind(&places)
        .bind(&sizes)
        .bind(&times)
        .bind(&owners)
        .bind(now)
        .bind(&wholes)
        .bind(&contents)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let mut due = add_missing(&mut tx, &ids, wanted, now).await.map_err(failed)?;
        due.extend(again);
        refresh_due(&mut tx, &due, now).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Registered {
            new_assets: new_assets.unsigned_abs(),
            new_paths: (by_place.len() as u64).saturating_sub(same.unsigned_abs()),
            forgotten: refused.len() as u64,
        })
    }

    /// See [`Ledger::begin_run`].
    async fn begin_run_once(&self, job: &AnalyzeAsset, owner: &str) -> Result<Begun, StoreError> {
        const OPERATION: &str = "begin a run";
        let failed = fault(OPERATION);
        let asset = job.asset.as_str();
        let (mut tx, now) = self.begin(OPERATION).await?;
        let row = sqlx::query(
            "select lease_owner, lease_until, run_began, run_alone, lost_alone, suspect,
                 (select p.alive_until < $2
                         and not exists (select 1 from process me where me.owner = $3
                                         and (me.judges_at > $2 or me.alive_until < $2))
                  from process p where p.owner = lease_owner) as gone
             from asset where id = $1 for update",
        )
        .bind(asset)
        .bind(now)
        .bind(owner)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        let Some(row) = row else {
            return match absent(&mut *tx, &job.asset).await {
                StoreError::Forgotten { .. } => Ok(Begun::Forgotten),
                error => Err(error),
            };
        };
        let held = Lease {
            owner: get(&row, "lease_owner")?,
            until: get(&row, "lease_until")?,
            run_began: get(&row, "run_began")?,
            run_alone: get(&row, "run_alone")?,
            lost_alone: u32::try_from(get::<i64>(&row, "lost_alone")?).unwrap_or(u32::MAX),
            suspect: get::<i64>(&row, "suspect")? != 0,
            gone: get(&row, "gone")?,
        };
        let standing = held.standing(owner, job.alone, now);
        if let Standing::Lost { alone } = standing {
            sqlx::query(
                "update asset set suspect = 1, lost_alone = $2, run_began = false, run_alone = false,
                     lease_owner = $3 where id = $1",
            )
            .bind(asset)
            .bind(i64::from(alone))
            .bind(owner)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        if let Some(answer) = standing.answer(self.max_lost.load(Relaxed)) {
            if let Begun::GivenUp { lost } = answer {
                give_up(&mut tx, asset, lost.into(), now).await.map_err(failed)?;
                end_lease(&mut tx, &job.asset).await.map_err(failed)?;
                refresh_due(&mut tx, &[asset.to_owned()], now).await.map_err(failed)?;
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
            if !held.run_began || matches!(standing, Standing::Lost { .. }) {
                end_lease(&mut tx, &job.asset).await.map_err(failed)?;
            }
            tx.commit().await.map_err(failed)?;
            return Ok(Begun::Done);
        }
        if !job.alone && held.must_be_alone(&standing) {
            tx.commit().await.map_err(failed)?;
            return Ok(Begun::Suspect);
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
}
