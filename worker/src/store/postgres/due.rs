//! Keeps what may run now: looks, brings assets up to date, repairs.

use std::time::{Duration, Instant};

use docent_pipelines::AssetId;
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::texts::{mend_texts, missing_texts};
use super::{PostgresStore, fault};
use crate::store::StoreError;
use crate::store::due::{Look, PORTION, TEXTS};
use crate::store::fault::again;

/// A look into the indexes.
const LOOK: &str = "
    with recursive due (lane, v) as (
        (select lane, due from asset where due is not null and lease_until is null order by lane, due limit 1)
        union all
        select n.lane, n.due from due d cross join lateral (
            select lane, due from asset where (lane, due) > (d.lane, d.v) and due is not null
                and lease_until is null order by lane, due limit 1) n
    ), later (v) as (
        (select pending from asset where due_next is not null and lease_until is null order by pending limit 1)
        union all
        select n.pending from later l cross join lateral (
            select pending from asset where pending > l.v and due_next is not null and lease_until is null
            order by pending limit 1) n
    )
    select 0, lane, v, null::bigint from due
    union all
    select 1, 0, v, (select due_next from asset where pending = later.v and due_next is not null
                     and lease_until is null order by due_next limit 1) from later
    union all
    select 2, 0, '', (select lease_until from asset where lease_until is not null order by lease_until limit 1)
    union all
    select 3, 0, '', docent_now()";

/// What is pending for assets that are leased: there are never many.
const LEASED: &str = "
    union all
    select distinct 4, 0, pending, null::bigint from asset where lease_until is not null and pending is not null";

/// Looks into the indexes. One statement, and no transaction where there is nothing to do.
pub(super) async fn look(executor: impl PgExecutor<'_>) -> Result<Look, sqlx::Error> {
    sqlx::query_as(LOOK).fetch_all(executor).await.map(seen)
}

/// The same, and what is leased: as it all is at one moment, so that what is leased or handed back meanwhile is not missed.
pub(super) async fn look_around(executor: impl PgExecutor<'_>) -> Result<Look, sqlx::Error> {
    sqlx::query_as(AssertSqlSafe([LOOK, LEASED].concat())).fetch_all(executor).await.map(seen)
}

fn seen(rows: Vec<(i32, i64, String, Option<i64>)>) -> Look {
    let mut look = Look::default();
    for (kind, lane, names, at) in rows {
        match (kind, at) {
            (0, _) => look.due.push((lane, names)),
            (1, Some(at)) => look.later.push((names, at)),
            (2, at) => look.expires = at,
            (3, Some(now)) => look.now = now,
            (4, _) => look.leased.push(names),
            _ => {}
        }
    }
    look
}

/// The columns that say what may run at the time of parameter `now`, for an `asset a`.
pub(super) fn due_columns(now: u32) -> String {
    format!(
        "(pending, due, due_next) = (
             select string_agg(w.analyzer, ',' order by w.analyzer),
                    string_agg(w.analyzer, ',' order by w.analyzer) filter (where w.not_before <= ${now}),
                    min(w.not_before) filter (where w.not_before > ${now})
             from work w where w.asset_id = a.id and w.state = 'pending')"
    )
}

/// Brings the assets `ids` up to date. They are locked first: what another transaction says about their work meanwhile would
/// not be seen.
pub(super) async fn refresh_due(
    tx: &mut Transaction<'_, Postgres>,
    ids: &[String],
    now: i64,
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    lock(tx, ids).await?;
    let sql = format!("update asset a set {} where id = any($1::text[])", due_columns(2));
    sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(now).execute(&mut **tx).await.map(drop)
}

/// Locks assets in the order in which everybody does.
pub(super) async fn lock(tx: &mut PgConnection, ids: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query("select 1 from asset where id = any($1::text[]) order by id for update")
        .bind(ids)
        .execute(tx)
        .await
        .map(drop)
}

/// Lets run what had to wait until now.
pub(super) async fn let_ripe_run(
    tx: &mut Transaction<'_, Postgres>,
    ripe: &[String],
    now: i64,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "with ripe as materialized (
             select c.id from unnest($1::text[]) s (names) cross join lateral (
                 select id from asset where pending = s.names and due_next <= $2 and due_next is not null
                     and lease_until is null
                 order by due_next limit $3 for update skip locked) c)
         update asset a set {} from ripe where a.id = ripe.id",
        due_columns(2)
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(ripe)
        .bind(now)
        .bind(PORTION as i64)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Between two words on how far a repair is.
const TOLD: Duration = Duration::from_secs(5);

impl PostgresStore {
    /// Ends the repairs that a migration has begun, a portion at a time. Several processes share them.
    pub(super) async fn repair(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "bring the ledger up to date";
        let (mut told, mut looked) = (Instant::now(), 0);
        while let Some(portion) = again(|| self.repair_portion()).await? {
            looked += portion;
            if told.elapsed() >= TOLD {
                told = Instant::now();
                let all: i64 = sqlx::query_scalar("select count(*) from asset")
                    .fetch_one(&self.pool)
                    .await
                    .map_err(fault(OPERATION))?;
                tracing::warn!("bringing the ledger up to date: {looked} of {all} assets");
            }
        }
        Ok(())
    }

    /// A portion of the first repair that is not finished; nothing if all are. Answers the number of assets.
    async fn repair_portion(&self) -> Result<Option<usize>, StoreError> {
        const OPERATION: &str = "bring the ledger up to date";
        let failed = fault(OPERATION);
        let unfinished: bool =
            sqlx::query_scalar("select exists(select 1 from repair where finished_at is null)")
                .fetch_one(&self.pool)
                .await
                .map_err(failed)?;
        if !unfinished {
            return Ok(None);
        }
        let (mut tx, now) = self.begin(OPERATION).await?;
        let repair: Option<(String, String)> = sqlx::query_as(
            "select name, after from repair where finished_at is null order by name limit 1 for update",
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        let Some((name, after)) = repair else { return Ok(None) };
        let ids = ids_after(&mut tx, &after).await.map_err(failed)?;
        if name == TEXTS {
            lock(&mut tx, &ids).await.map_err(failed)?;
            mend_texts(&mut tx, &ids).await.map_err(failed)?;
        } else {
            refresh_due(&mut tx, &ids, now).await.map_err(failed)?;
        }
        sqlx::query(
            "update repair set after = coalesce($2, after), looked_at = $3,
                 finished_at = case when $2 is null then $3 end where name = $1",
        )
        .bind(name)
        .bind(ids.last())
        .bind(now)
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
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let ids = ids_after(&mut connection, &after).await.map_err(failed)?;
        let stranded: Vec<String> = sqlx::query_scalar(
            "select a.id from asset a left join lateral (
                 select string_agg(w.analyzer, ',' order by w.analyzer) as pending, min(w.not_before) as first
                 from work w where w.asset_id = a.id and w.state = 'pending') w on true
             where a.id = any($1::text[])
               and (a.pending is distinct from w.pending or (a.due is null and a.due_next is distinct from w.first))",
        )
        .bind(&ids)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let unread = missing_texts(&mut *connection, &ids).await.map_err(failed)?;
        drop(connection);
        if !stranded.is_empty() || !unread.is_empty() {
            tracing::warn!(
                assets = stranded.len(),
                texts = unread.len(),
                "pending work was not due, or texts were not found; now they are"
            );
            again(|| async {
                let (mut tx, now) = self.begin(OPERATION).await?;
                lock(&mut tx, &ids).await.map_err(failed)?;
                refresh_due(&mut tx, &stranded, now).await.map_err(failed)?;
                mend_texts(&mut tx, &ids).await.map_err(failed)?;
                tx.commit().await.map_err(failed)
            })
            .await?;
        }
        let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *swept = ids.last().filter(|_| ids.len() == PORTION).cloned().unwrap_or_default();
        Ok(())
    }
}

/// The next assets behind `after`, a portion at most.
pub(super) async fn ids_after(
    connection: &mut PgConnection,
    after: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select id from asset where id > $1 order by id limit $2")
        .bind(after)
        .bind(PORTION as i64)
        .fetch_all(connection)
        .await
}

/// The ids of assets as the ledger stores them, in the order in which everybody locks them.
pub(super) fn sorted(assets: &[AssetId]) -> Vec<String> {
    let mut ids: Vec<String> = assets.iter().map(ToString::to_string).collect();
    ids.sort();
    ids.dedup();
    ids
}
