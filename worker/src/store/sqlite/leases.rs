//! How leases become runs, and how those end that were not kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

use docent_pipelines::{AnalyzerId, AssetId};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::due::refresh_due;
use super::erase::absent;
use super::outbox::tell_given_up;
use super::{SqliteStore, fault, get, now, parsed};
use crate::queue::AnalyzeAsset;
use crate::store::codec::{LONGEST_RUN, analyzer, corrupt, json_array, lane_of, millis};
use crate::store::due::Look;
use crate::store::lease::{Lease, Standing, given_up};
use crate::store::{Begun, LeaseRequest, StoreError};

/// The first assets of what may run and is asked for: of each kind the first ones, of all together the first of these.
pub(super) async fn first_due(
    tx: &mut Transaction<'_, Sqlite>,
    seen: &Look,
    request: &LeaseRequest,
) -> Result<Vec<AnalyzeAsset>, StoreError> {
    let (lanes, names) = seen.due_for(&request.wanted, request.lane);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<Sqlite>::new("with chosen as materialized (");
    for (number, (lane, names)) in lanes.into_iter().zip(names).enumerate() {
        query.push(if number == 0 { "" } else { " union all " });
        query.push(
            "select * from (select id, lane, suspect, lost_alone, created_at from asset indexed by asset_due",
        );
        query.push(" where lane = ").push_bind(lane).push(" and due = ").push_bind(names);
        query.push(" and due is not null and lease_until is null");
        query.push(" order by suspect, lost_alone, created_at, id limit ").push_bind(request.limit);
        query.push(")");
    }
    query.push(
        ") select id, lane, suspect,
             (select json_group_array(uri) from
                 (select uri from asset_path where asset_id = c.id order by gone_at is not null, uri)) as uris,
             (select json_group_array(analyzer) from work where asset_id = c.id and state = 'pending'
                 and not_before <= ",
    );
    query.push_bind(seen.now).push(" and analyzer in (select value from json_each(");
    query.push_bind(json_array(request.wanted.keys())).push("))) as analyzers");
    query.push(" from chosen c order by lane, suspect, lost_alone, created_at, id limit ");
    query.push_bind(request.limit);
    let rows = query.build().fetch_all(&mut **tx).await.map_err(fault("lease work"))?;
    rows.iter().map(leased).collect()
}

/// A row of `first_due` as a job.
fn leased(row: &SqliteRow) -> Result<AnalyzeAsset, StoreError> {
    let list = |column| {
        serde_json::from_str::<Vec<String>>(&get::<String>(row, column)?)
            .map_err(|error| corrupt(column)(error.to_string()))
    };
    Ok(AnalyzeAsset {
        asset: parsed(row, "id")?,
        uris: list("uris")?,
        analyzers: list("analyzers")?.iter().map(|name| analyzer(name)).collect::<Result<_, _>>()?,
        lane: lane_of(get(row, "lane")?),
        alone: get::<i64>(row, "suspect")? != 0,
    })
}

/// Begins a run that nothing stands in the way of, in one statement: that is nearly every run, and each statement wakes the
/// database's thread. Nothing if somebody else has begun one, or there is nothing to do; `begin_whole` then says what that means.
pub(super) async fn begin_unhindered(
    write: &SqlitePool,
    job: &AnalyzeAsset,
    owner: &str,
    now: i64,
) -> Result<Option<BTreeMap<AnalyzerId, u32>>, StoreError> {
    let begun: Vec<String> = sqlx::query_scalar(
        "update asset set run_began = 1, run_alone = $2, lease_owner = $3,
             lease_until = max(coalesce(lease_until, 0), $4)
         where id = $1 and (run_began = 0 or lease_owner = $3) and (suspect = 0 or $2)
           and exists (select 1 from work where asset_id = $1 and state = 'pending'
                       and analyzer in (select value from json_each($5)))
         returning (select json_group_object(analyzer, attempts) from work where asset_id = $1 and state = 'pending'
                    and analyzer in (select value from json_each($5)))",
    )
    .bind(job.asset.as_str())
    .bind(job.alone)
    .bind(owner)
    .bind(now.saturating_add(millis(LONGEST_RUN)))
    .bind(json_array(&job.analyzers))
    .fetch_all(write)
    .await
    .map_err(fault("begin a run"))?;
    let Some(pending) = begun.first() else { return Ok(None) };
    let pending: HashMap<String, i64> =
        serde_json::from_str(pending).map_err(|error| corrupt("attempts")(error.to_string()))?;
    attempts(pending).map(Some)
}

impl SqliteStore {
    /// Begins a run, or says why not.
    pub(super) async fn begin_whole(
        &self,
        job: &AnalyzeAsset,
        owner: &str,
        now: i64,
    ) -> Result<Begun, StoreError> {
        const OPERATION: &str = "begin a run";
        let failed = fault(OPERATION);
        let mut tx = self.begin(OPERATION).await?;
        let row = sqlx::query(
            "select lease_owner, lease_until, run_began, run_alone, lost_alone, suspect,
                 (select p.alive_until < $2
                         and not exists (select 1 from process me where me.owner = $3
                                         and (me.judges_at > $2 or me.alive_until < $2))
                  from process p where p.owner = lease_owner) as gone
             from asset where id = $1",
        )
        .bind(job.asset.as_str())
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
            lost_alone: get(&row, "lost_alone")?,
            suspect: get::<i64>(&row, "suspect")? != 0,
            gone: get(&row, "gone")?,
        };
        let standing = held.standing(owner, job.alone, now);
        if let Standing::Lost { alone } = standing {
            sqlx::query(
                "update asset set suspect = 1, lost_alone = $2, run_began = 0, run_alone = 0, lease_owner = $3
                 where id = $1",
            )
            .bind(job.asset.as_str())
            .bind(alone)
            .bind(owner)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        if let Some(answer) = standing.answer(self.max_lost.load(Relaxed)) {
            if let Begun::GivenUp { lost } = answer {
                give_up(&mut tx, job.asset.as_str(), lost.into()).await.map_err(failed)?;
                end_lease(&mut tx, &job.asset).await.map_err(failed)?;
                refresh_due(&mut tx, &json_array([job.asset.as_str()]), now).await.map_err(failed)?;
            }
            tx.commit().await.map_err(failed)?;
            return Ok(answer);
        }
        let pending: Vec<(String, i64)> = sqlx::query_as(
            "select analyzer, attempts from work where asset_id = $1 and state = 'pending'
             and analyzer in (select value from json_each($2))",
        )
        .bind(job.asset.as_str())
        .bind(json_array(&job.analyzers))
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
            "update asset set run_began = 1, run_alone = $2, lease_owner = $3,
                 lease_until = max(coalesce(lease_until, 0), $4) where id = $1",
        )
        .bind(job.asset.as_str())
        .bind(job.alone)
        .bind(owner)
        .bind(now.saturating_add(millis(LONGEST_RUN)))
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        attempts(pending).map(Begun::Run)
    }
}

/// How often each analyzer was tried.
fn attempts(
    pending: impl IntoIterator<Item = (String, i64)>,
) -> Result<BTreeMap<AnalyzerId, u32>, StoreError> {
    let attempt =
        |(name, attempts): (String, i64)| Ok((analyzer(&name)?, u32::try_from(attempts).unwrap_or(u32::MAX)));
    pending.into_iter().map(attempt).collect()
}

/// Ends leases that have expired before `until`, or all, and counts the runs that were lost with them. Gives up assets
/// that were lost too often while they were analyzed alone.
pub(super) async fn end_leases(
    tx: &mut Transaction<'_, Sqlite>,
    until: Option<i64>,
    max_lost: u32,
) -> Result<u64, sqlx::Error> {
    let ended: Vec<(String, i64)> = sqlx::query_as(
        "update asset set suspect = max(suspect, run_began),
             lost_alone = lost_alone + (run_began and run_alone),
             lease_owner = null, lease_until = null, run_began = 0, run_alone = 0
         where lease_until is not null and lease_until <= coalesce($1, lease_until)
         returning id, case when pending is not null and suspect > 0 then lost_alone else 0 end",
    )
    .bind(until)
    .fetch_all(&mut **tx)
    .await?;
    let lost_often: Vec<&(String, i64)> =
        ended.iter().filter(|(_, lost)| *lost > i64::from(max_lost)).collect();
    for (asset, lost) in &lost_often {
        give_up(tx, asset, *lost).await?;
    }
    if !lost_often.is_empty() {
        refresh_due(tx, &json_array(lost_often.iter().map(|(asset, _)| asset)), now()).await?;
    }
    Ok(ended.len() as u64)
}

/// Fails an asset for good.
async fn give_up(tx: &mut Transaction<'_, Sqlite>, asset: &str, lost: i64) -> Result<(), sqlx::Error> {
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
    tell_given_up(tx, asset, &given_up(lost), now()).await?;
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

#[cfg(test)]
mod tests {
    use docent_models::ModelRef;
    use docent_pipelines::asset::ContentHash;

    use super::*;
    use crate::queue::Lane;
    use crate::store::{FileStamp, FoundFile, Ledger, Wanted};

    #[tokio::test]
    async fn one_statement_begins_what_nothing_stands_in_the_way_of() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("ledger")).await.expect("opens");
        let hash = ContentHash::of(b"a picture");
        let file = FoundFile {
            uri: "file:///a".to_owned(),
            stamp: FileStamp { bytes: 9, modified_ns: 0 },
            hash: hash.into(),
            lane: Lane::Backfill,
            owner: None,
        };
        let wanted: Wanted = [(AnalyzerId::Tags, ModelRef::new("tags", "1"))].into();
        store.register(&[file], &wanted).await.expect("is registered");
        let job = |analyzers: &[AnalyzerId], alone| AnalyzeAsset {
            asset: hash.asset_id(),
            uris: Vec::new(),
            analyzers: analyzers.to_vec(),
            lane: Lane::Backfill,
            alone,
        };
        let now = now();
        let mut begun = 0;
        for (owner, until, run_began, alone) in [None, Some("me"), Some("another")]
            .into_iter()
            .flat_map(|owner| [None, Some(now - 9), Some(now + 9000)].map(|until| (owner, until)))
            .flat_map(|(owner, until)| [false, true].map(|began| (owner, until, began)))
            .flat_map(|(owner, until, began)| [false, true].map(|alone| (owner, until, began, alone)))
        {
            let set = || async {
                sqlx::query(
                    "update asset set lease_owner = $1, lease_until = $2, run_began = $3, run_alone = 0",
                )
                .bind(owner)
                .bind(until)
                .bind(run_began)
                .execute(&store.write)
                .await
                .expect("is set");
            };
            let case = format!("{owner:?} {until:?} {run_began} {alone}");
            let row = || async {
                sqlx::query_as::<_, (String, i64, bool, bool)>(
                    "select lease_owner, lease_until, run_began, run_alone from asset",
                )
                .fetch_one(&store.write)
                .await
                .expect("is there")
            };
            let wanted = job(&[AnalyzerId::Tags, AnalyzerId::Faces], alone);
            set().await;
            match begin_unhindered(&store.write, &wanted, "me", now).await.expect("is asked") {
                Some(attempts) => {
                    begun += 1;
                    assert_eq!(attempts, BTreeMap::from([(AnalyzerId::Tags, 0)]), "{case}");
                    let begun = row().await;
                    set().await;
                    let whole = store.begin_whole(&wanted, "me", now).await.expect("is asked");
                    assert_eq!((whole, row().await), (Begun::Run(attempts), begun), "{case}");
                }
                // What is left for the whole way: a run that somebody else has begun.
                None => assert!(run_began && owner != Some("me"), "{case}"),
            }
            set().await;
            let nothing = job(&[AnalyzerId::Faces], alone);
            assert_eq!(begin_unhindered(&store.write, &nothing, "me", now).await.expect("is asked"), None);
        }
        assert_eq!(begun, 24);
        store.close().await;
    }
}
