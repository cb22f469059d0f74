//! Keeps what may run now: looks, brings assets up to date, repairs.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, SqliteConnection, SqliteExecutor};

use super::texts::{mend_texts, missing_texts};
use super::{SqliteStore, fault, now};
use crate::queue::Lane;
use crate::store::StoreError;
use crate::store::codec::{json_array, lane_number};
use crate::store::due::{Look, PORTION, TEXTS};
use crate::store::fault::again;

/// A look into the indexes; `$1` are the lanes. For each lane by itself: of a comparison of rows SQLite seeks the first column only.
const LOOK: &str = "
    with recursive due (at, v) as (
        select l.value, (select due from asset indexed by asset_due where lane = l.value
                         and due is not null and lease_until is null order by due limit 1)
        from json_each($1) l
        union all
        select d.at, (select due from asset indexed by asset_due where lane = d.at and due > d.v
                      and due is not null and lease_until is null order by due limit 1)
        from due d where d.v is not null
    ), later (v) as (
        select * from (select pending from asset indexed by asset_later
                       where due_next is not null and lease_until is null order by pending limit 1)
        union all
        select (select pending from asset indexed by asset_later where pending > l.v
                    and due_next is not null and lease_until is null order by pending limit 1)
        from later l where l.v is not null
    )
    select 0, at, v, null from due where v is not null
    union all
    select 1, 0, v, (select due_next from asset indexed by asset_later where pending = later.v
                     and due_next is not null and lease_until is null order by due_next limit 1)
    from later where v is not null
    union all
    select 2, 0, '', (select lease_until from asset indexed by asset_leased where lease_until is not null
                      order by lease_until limit 1)";

/// What is pending for assets that are leased: there are never many.
const LEASED: &str = "
    union all
    select distinct 3, 0, pending, null from asset indexed by asset_leased
    where lease_until is not null and pending is not null";

/// Looks into the indexes, at the time `now`. It is one statement that only reads.
pub(super) async fn look(executor: impl SqliteExecutor<'_>, now: i64) -> Result<Look, sqlx::Error> {
    seen(executor, LOOK.to_owned(), now).await
}

/// The same, and what is leased: as it all is at one moment, so that what is leased or handed back meanwhile is not missed.
pub(super) async fn look_around(executor: impl SqliteExecutor<'_>, now: i64) -> Result<Look, sqlx::Error> {
    seen(executor, [LOOK, LEASED].concat(), now).await
}

async fn seen(executor: impl SqliteExecutor<'_>, sql: String, now: i64) -> Result<Look, sqlx::Error> {
    let rows: Vec<(i64, i64, String, Option<i64>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(json_array([Lane::Interactive, Lane::Backfill].map(lane_number)))
        .fetch_all(executor)
        .await?;
    let mut look = Look { now, ..Look::default() };
    for (kind, lane, names, at) in rows {
        match (kind, at) {
            (0, _) => look.due.push((lane, names)),
            (1, Some(at)) => look.later.push((names, at)),
            (2, at) => look.expires = at,
            (3, _) => look.leased.push(names),
            _ => {}
        }
    }
    Ok(look)
}

/// The columns that say what may run at the time of parameter `now`, for an `asset`.
pub(super) fn due_columns(now: u32) -> String {
    format!(
        "(pending, due, due_next) = (
             select group_concat(w.analyzer, ',' order by w.analyzer),
                    group_concat(w.analyzer, ',' order by w.analyzer) filter (where w.not_before <= ${now}),
                    min(w.not_before) filter (where w.not_before > ${now})
             from work w where w.asset_id = asset.id and w.state = 'pending')"
    )
}

/// Brings the assets `ids`, a JSON array, up to date.
pub(super) async fn refresh_due(tx: &mut SqliteConnection, ids: &str, now: i64) -> Result<(), sqlx::Error> {
    let sql = format!("update asset set {} where id in (select value from json_each($1))", due_columns(2));
    sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(now).execute(tx).await.map(drop)
}

/// Lets run what had to wait until now.
pub(super) async fn let_ripe_run(
    tx: &mut SqliteConnection,
    ripe: &[String],
    now: i64,
) -> Result<(), sqlx::Error> {
    for names in ripe {
        let sql = format!(
            "update asset set {} where id in (
                 select id from asset indexed by asset_later where pending = $1 and due_next <= $2
                     and due_next is not null and lease_until is null order by due_next limit $3)",
            due_columns(2)
        );
        sqlx::query(AssertSqlSafe(sql)).bind(names).bind(now).bind(PORTION as i64).execute(&mut *tx).await?;
    }
    Ok(())
}

/// The next assets behind `after`, a portion at most.
pub(super) async fn ids_after(
    executor: impl SqliteExecutor<'_>,
    after: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select id from asset where id > $1 order by id limit $2")
        .bind(after)
        .bind(PORTION as i64)
        .fetch_all(executor)
        .await
}

/// Between two words on how far a repair is.
const TOLD: Duration = Duration::from_secs(5);

impl SqliteStore {
    /// Ends the repairs that a migration has begun, a portion at a time.
    pub(super) async fn repair(&self) -> Result<(), StoreError> {
        let (mut told, mut looked) = (Instant::now(), 0);
        while let Some(portion) = again(|| self.repair_portion()).await? {
            looked += portion;
            if told.elapsed() >= TOLD {
                told = Instant::now();
                tracing::warn!("bringing the ledger up to date: {looked} assets");
            }
        }
        Ok(())
    }

    /// A portion of the first repair that is not finished; nothing if all are. Answers the number of assets.
    async fn repair_portion(&self) -> Result<Option<usize>, StoreError> {
        const OPERATION: &str = "bring the ledger up to date";
        const UNFINISHED: &str =
            "select name, after from repair where finished_at is null order by name limit 1";
        let failed = fault(OPERATION);
        let unfinished = || sqlx::query_as::<_, (String, String)>(UNFINISHED);
        if unfinished().fetch_optional(&self.read).await.map_err(failed)?.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin(OPERATION).await?;
        let Some((name, after)) = unfinished().fetch_optional(&mut *tx).await.map_err(failed)? else {
            return Ok(None);
        };
        let ids = ids_after(&mut *tx, &after).await.map_err(failed)?;
        let portion = json_array(&ids);
        match name.as_str() {
            TEXTS => mend_texts(&mut tx, &portion).await.map(drop),
            _ => refresh_due(&mut tx, &portion, now()).await,
        }
        .map_err(failed)?;
        sqlx::query(
            "update repair set after = coalesce($2, after), looked_at = $3,
                 finished_at = case when $2 is null then $3 end where name = $1",
        )
        .bind(name)
        .bind(ids.last())
        .bind(now())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(Some(ids.len()))
    }

    /// Looks whether a portion of the archive is up to date, and mends what is not: nothing should ever be, but what is
    /// pending without being due would wait for ever. Begins again at the end.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "tidy the ledger";
        let failed = fault(OPERATION);
        let after = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let ids = ids_after(&self.read, &after).await.map_err(failed)?;
        let stranded: Vec<String> = sqlx::query_scalar(
            "select id from (
                 select a.id, a.pending as told, a.due, a.due_next,
                     (select group_concat(w.analyzer, ',' order by w.analyzer) from work w
                      where w.asset_id = a.id and w.state = 'pending') as pending,
                     (select min(w.not_before) from work w
                      where w.asset_id = a.id and w.state = 'pending') as first
                 from asset a where a.id in (select value from json_each($1)))
             where told is not pending or (due is null and due_next is not first)",
        )
        .bind(json_array(&ids))
        .fetch_all(&self.read)
        .await
        .map_err(failed)?;
        let unread = missing_texts(&self.read, &json_array(&ids)).await.map_err(failed)?.len();
        if !stranded.is_empty() || unread > 0 {
            tracing::warn!(
                assets = stranded.len(),
                texts = unread,
                "pending work was not due, or texts were not found; now they are"
            );
            let mut tx = self.begin(OPERATION).await?;
            refresh_due(&mut tx, &json_array(&stranded), now()).await.map_err(failed)?;
            mend_texts(&mut tx, &json_array(&ids)).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
        }
        let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *swept = ids.last().filter(|_| ids.len() == PORTION).cloned().unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use docent_models::ModelRef;
    use docent_pipelines::AnalyzerId;

    use super::super::leases::first_due;
    use super::*;
    use crate::store::{LeaseRequest, Ledger, Wanted};

    /// Steps of SQLite's machine, in thousands, for a look and a lease.
    async fn thousand_steps(assets: u32) -> u64 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("ledger")).await.expect("opens");
        let fill = format!(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < {assets})
             insert into asset (id, content_hash, bytes, lane, created_at, pending, due, due_next)
             select printf('%032x', i), printf('%064x', i), 1, 1, i,
                 case i % 3 when 0 then 'tags' when 1 then 'faces,tags' else 'text' end,
                 case i % 3 when 0 then 'tags' when 1 then 'tags' end,
                 case i % 3 when 0 then null else 9000000000000 end
             from n"
        );
        sqlx::raw_sql(AssertSqlSafe(fill)).execute(&store.write).await.expect("fills");
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let mut connection = store.write.acquire().await.expect("a connection");
        connection.lock_handle().await.expect("is free").set_progress_handler(1000, move || {
            counted.fetch_add(1, Relaxed);
            true
        });
        drop(connection);
        let mut tx = store.begin("look").await.expect("begins");
        let seen = look(&mut *tx, 1).await.expect("looks");
        assert_eq!(seen.due, [(1, "tags".to_owned())]);
        assert_eq!(seen.later.len(), 2);
        let wanted: Wanted = [(AnalyzerId::Tags, ModelRef::new("tags", "1"))].into();
        let request = LeaseRequest {
            owner: "me".to_owned(),
            limit: 10,
            duration: Duration::from_secs(9),
            lane: None,
            wanted,
        };
        assert_eq!(first_due(&mut tx, &seen, &request).await.expect("leases").len(), 10);
        tx.commit().await.expect("ends");
        store.close().await;
        steps.load(Relaxed)
    }

    #[tokio::test]
    async fn a_look_and_a_lease_take_as_long_in_a_large_archive() {
        let (small, large) = (thousand_steps(60).await, thousand_steps(60_000).await);
        assert!(large <= small + 2, "{small} thousand steps with 60 assets, {large} with 60,000");
    }
}
