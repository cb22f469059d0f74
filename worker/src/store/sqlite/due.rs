//! Keeps what may run now: looks, brings assets up to date, repairs.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, SqliteConnection, SqliteExecutor};

use super::{SqliteStore, fault, now};
use crate::store::StoreError;
use crate::store::codec::json_array;
use crate::store::due::{Look, PORTION};
use crate::store::fault::again;

/// Looks into the indexes, at the time `now`. It is one statement that only reads.
pub(super) async fn look(executor: impl SqliteExecutor<'_>, now: i64) -> Result<Look, sqlx::Error> {
    let rows: Vec<(i64, i64, String, Option<i64>)> = sqlx::query_as(
        "with recursive due (at, v) as (
             select * from (select lane, due from asset indexed by asset_due
                            where due is not null and lease_until is null order by lane, due limit 1)
             union all
             select (select lane from asset indexed by asset_due where (lane, due) > (d.at, d.v)
                         and due is not null and lease_until is null order by lane, due limit 1),
                    (select due from asset indexed by asset_due where (lane, due) > (d.at, d.v)
                         and due is not null and lease_until is null order by lane, due limit 1)
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
                           order by lease_until limit 1)",
    )
    .fetch_all(executor)
    .await?;
    let mut look = Look { now, ..Look::default() };
    for (kind, lane, names, at) in rows {
        match (kind, at) {
            (0, _) => look.due.push((lane, names)),
            (1, Some(at)) => look.later.push((names, at)),
            (2, at) => look.expires = at,
            _ => {}
        }
    }
    Ok(look)
}

/// What is pending for assets that are leased: there are never many.
pub(super) async fn leased(executor: impl SqliteExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select distinct pending from asset indexed by asset_leased
         where lease_until is not null and pending is not null",
    )
    .fetch_all(executor)
    .await
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
        refresh_due(&mut tx, &json_array(&ids), now()).await.map_err(failed)?;
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
        if !stranded.is_empty() {
            tracing::warn!(assets = stranded.len(), "pending work was not due; it is now");
            let mut tx = self.begin(OPERATION).await?;
            refresh_due(&mut tx, &json_array(&stranded), now()).await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
        }
        let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *swept = ids.last().filter(|_| ids.len() == PORTION).cloned().unwrap_or_default();
        Ok(())
    }
}
