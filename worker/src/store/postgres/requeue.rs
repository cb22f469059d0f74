//! Making work pending.

use std::collections::HashSet;

use docent_pipelines::AssetId;
use sqlx::{Postgres, Transaction};

use super::{PostgresStore, fault, get};
use crate::store::{Requeue, StoreError, Wanted};

/// Assets made pending in one transaction: others must get their turn in between.
const PORTION: usize = 5000;

impl PostgresStore {
    /// See [`crate::store::Ledger::requeue`]: many short transactions, so that others get their turn.
    pub(super) async fn queue_again(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError> {
        let mut touched: HashSet<String> = HashSet::new();
        if matches!(what, Requeue::Missing | Requeue::All) {
            touched.extend(self.requeue_missing(wanted, assets).await?);
        }
        for (analyzer, model) in wanted {
            for rows in rows(what) {
                loop {
                    let portion =
                        self.requeue_portion(rows, analyzer.as_str(), &model.to_string(), assets).await?;
                    let full = portion.len() >= PORTION;
                    touched.extend(portion);
                    if !full {
                        break;
                    }
                }
            }
        }
        let touched: Vec<String> = touched.into_iter().collect();
        let mut ready = 0;
        for portion in touched.chunks(PORTION) {
            ready += self.make_ready(portion).await?;
        }
        Ok(ready)
    }

    /// Adds the wanted work rows that assets lack, a portion at a time. Answers the assets that lacked some.
    async fn requeue_missing(
        &self,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<Vec<String>, StoreError> {
        const OPERATION: &str = "queue missing work";
        let failed = fault(OPERATION);
        let mut touched = Vec::new();
        if let Some(assets) = assets {
            let mut ids: Vec<String> = assets.iter().map(ToString::to_string).collect();
            ids.sort();
            for portion in ids.chunks(PORTION) {
                let (mut tx, now) = self.begin(OPERATION).await?;
                touched.extend(add_missing(&mut tx, portion, wanted, now).await.map_err(failed)?);
                tx.commit().await.map_err(failed)?;
            }
            return Ok(touched);
        }
        let mut after = String::new();
        loop {
            let (mut tx, now) = self.begin(OPERATION).await?;
            let portion: Vec<String> =
                sqlx::query_scalar("select id from asset where id > $1 order by id limit $2")
                    .bind(&after)
                    .bind(PORTION as i64)
                    .fetch_all(&mut *tx)
                    .await
                    .map_err(failed)?;
            let Some(last) = portion.last() else { return Ok(touched) };
            after.clone_from(last);
            touched.extend(add_missing(&mut tx, &portion, wanted, now).await.map_err(failed)?);
            tx.commit().await.map_err(failed)?;
        }
    }

    /// Makes work of one analyzer pending again, at most a portion. Answers the assets.
    async fn requeue_portion(
        &self,
        rows: &str,
        analyzer: &str,
        model: &str,
        assets: Option<&[AssetId]>,
    ) -> Result<Vec<String>, StoreError> {
        const OPERATION: &str = "queue work again";
        let ids: Option<Vec<&str>> = assets.map(|assets| assets.iter().map(AssetId::as_str).collect());
        let sql = format!(
            "with chosen as materialized (
                 select asset_id from work
                 where analyzer = $1 and {rows} and ($3::text[] is null or asset_id = any($3))
                 order by model, asset_id limit $4 for update)
             update work w set state = 'pending', attempts = 0, not_before = 0, failure_kind = null, reason = null,
                 updated_at = docent_now()
             from chosen where w.asset_id = chosen.asset_id and w.analyzer = $1
             returning w.asset_id"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(analyzer)
            .bind(model)
            .bind(ids)
            .bind(PORTION as i64)
            .fetch_all(&self.pool)
            .await
            .map_err(fault(OPERATION))
    }

    /// Lets assets that have new work be leased. Answers how many have.
    async fn make_ready(&self, ids: &[String]) -> Result<u64, StoreError> {
        const OPERATION: &str = "queue work again";
        let failed = fault(OPERATION);
        let (mut tx, _) = self.begin(OPERATION).await?;
        sqlx::query("select 1 from asset where id = any($1::text[]) order by id for update")
            .bind(ids)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        sqlx::query(
            "update work w set state = 'pending', not_before = 0
             where state = 'blocked' and asset_id = any($1::text[])
               and not exists (select 1 from work d where d.asset_id = w.asset_id and d.analyzer = 'decode'
                               and d.state = 'failed')",
        )
        .bind(ids)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let ready = sqlx::query(
            "update asset a set suspect = 0, lost_alone = 0, ready_at =
                 (select min(not_before) from work w where w.asset_id = a.id and w.state = 'pending')
             where id = any($1::text[])
             returning ready_at is not null as ready",
        )
        .bind(ids)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let ready: Vec<bool> = ready.iter().map(|row| get(row, "ready")).collect::<Result<_, _>>()?;
        Ok(ready.into_iter().filter(|ready| *ready).count() as u64)
    }
}

/// The rows to be made pending, in conditions that are each one range of an index; `<>` would be none.
fn rows(what: Requeue) -> &'static [&'static str] {
    match what {
        Requeue::Failed => &["state = 'failed' and $2 <> ''"],
        Requeue::Stale => &["state = 'done' and model < $2", "state = 'done' and model > $2"],
        Requeue::All => &["state = 'failed' and $2 <> ''", "state = 'done' and $2 <> ''"],
        Requeue::Missing => &[],
    }
}

/// Adds the wanted work rows that the assets `ids` lack. Answers the assets that lacked some.
pub(super) async fn add_missing(
    tx: &mut Transaction<'_, Postgres>,
    ids: &[String],
    wanted: &Wanted,
    now: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let analyzers: Vec<&str> = wanted.keys().map(|analyzer| analyzer.as_str()).collect();
    let models: Vec<String> = wanted.values().map(ToString::to_string).collect();
    sqlx::query_scalar(
        "with new as (
             insert into work (asset_id, analyzer, state, model, updated_at)
             select a.id, m.analyzer,
                    case when exists (select 1 from work d where d.asset_id = a.id and d.analyzer = 'decode'
                                      and d.state = 'failed') then 'blocked' else 'pending' end,
                    m.model, $4
             from asset a cross join unnest($2::text[], $3::text[]) m (analyzer, model)
             where a.id = any($1::text[])
             order by a.id, m.analyzer
             on conflict do nothing returning asset_id)
         select distinct asset_id from new",
    )
    .bind(ids)
    .bind(&analyzers)
    .bind(&models)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// Brings `asset.ready_at` in line with the work rows.
pub(super) async fn refresh_ready(
    tx: &mut Transaction<'_, Postgres>,
    ids: &[String],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update asset a set ready_at =
             (select min(not_before) from work w where w.asset_id = a.id and w.state = 'pending')
         where id = any($1::text[])",
    )
    .bind(ids)
    .execute(&mut **tx)
    .await
    .map(drop)
}
