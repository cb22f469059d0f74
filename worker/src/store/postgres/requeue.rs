//! Making work pending: each portion is one transaction, after which its assets can be leased.

use std::collections::BTreeSet;

use docent_pipelines::AssetId;
use sqlx::{Postgres, Transaction};

use super::due::{due_columns, ids_after, lock, sorted};
use super::{PostgresStore, fault};
use crate::store::due::PORTION;
use crate::store::fault::again;
use crate::store::{Requeue, StoreError, Wanted};

const OPERATION: &str = "queue work again";

impl PostgresStore {
    /// See [`crate::store::Ledger::requeue`]. A portion that was interrupted did not happen, and the next call goes on.
    pub(super) async fn queue_again(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError> {
        let mut ready = 0;
        if let Some(assets) = assets {
            for ids in sorted(assets).chunks(PORTION) {
                ready += again(|| self.requeue_portion(what, wanted, ids)).await?;
            }
            return Ok(ready);
        }
        match what {
            // Few of many: found by what they are, which they are not any more afterwards.
            Requeue::Failed => {
                let names: Vec<&str> = wanted.keys().map(|analyzer| analyzer.as_str()).collect();
                // What fails once more meanwhile is left alone.
                let began: i64 = sqlx::query_scalar("select docent_now()")
                    .fetch_one(&self.pool)
                    .await
                    .map_err(fault(OPERATION))?;
                loop {
                    let ids: Vec<String> = sqlx::query_scalar(
                        "select distinct asset_id from (
                             select asset_id from work
                             where state = 'failed' and updated_at <= $1 and analyzer = any($2::text[]) limit $3) f
                         order by asset_id",
                    )
                    .bind(began)
                    .bind(&names)
                    .bind(PORTION as i64)
                    .fetch_all(&self.pool)
                    .await
                    .map_err(fault(OPERATION))?;
                    if ids.is_empty() {
                        return Ok(ready);
                    }
                    ready += again(|| self.requeue_portion(what, wanted, &ids)).await?;
                }
            }
            Requeue::Stale => {
                for (analyzer, model) in wanted {
                    // Two ranges of the index; `<>` would be none.
                    for comparison in ["<", ">"] {
                        let sql = format!(
                            "select asset_id from work where state = 'done' and analyzer = $1
                             and model {comparison} $2 order by model, asset_id limit $3"
                        );
                        loop {
                            let mut ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone()))
                                .bind(analyzer.as_str())
                                .bind(model.to_string())
                                .bind(PORTION as i64)
                                .fetch_all(&self.pool)
                                .await
                                .map_err(fault(OPERATION))?;
                            if ids.is_empty() {
                                break;
                            }
                            ids.sort();
                            ready += again(|| self.requeue_portion(what, wanted, &ids)).await?;
                        }
                    }
                }
                Ok(ready)
            }
            // The whole archive, each asset once, whatever becomes of it meanwhile.
            Requeue::Missing | Requeue::All => {
                let mut after = String::new();
                loop {
                    let mut connection = self.pool.acquire().await.map_err(fault(OPERATION))?;
                    let ids = ids_after(&mut connection, &after).await.map_err(fault(OPERATION))?;
                    drop(connection);
                    let Some(last) = ids.last() else { return Ok(ready) };
                    after.clone_from(last);
                    ready += again(|| self.requeue_portion(what, wanted, &ids)).await?;
                }
            }
        }
    }

    /// Makes work of these assets pending, and lets it be leased. Answers how many have new work that is not set aside.
    async fn requeue_portion(
        &self,
        what: Requeue,
        wanted: &Wanted,
        ids: &[String],
    ) -> Result<u64, StoreError> {
        let failed = fault(OPERATION);
        let (mut tx, now) = self.begin(OPERATION).await?;
        lock(&mut tx, ids).await.map_err(failed)?;
        let mut touched: BTreeSet<String> = BTreeSet::new();
        if matches!(what, Requeue::Missing | Requeue::All) {
            touched.extend(add_missing(&mut tx, ids, wanted, now).await.map_err(failed)?);
        }
        let condition = match what {
            Requeue::Missing => None,
            Requeue::Failed => Some("w.state = 'failed'"),
            Requeue::Stale => Some("w.state = 'done' and w.model <> m.model"),
            Requeue::All => Some("w.state in ('done', 'failed')"),
        };
        if let Some(condition) = condition {
            let (analyzers, models) = columns(wanted);
            let sql = format!(
                "update work w set state = 'pending', attempts = 0, not_before = 0, failure_kind = null,
                     reason = null, updated_at = $4
                 from unnest($2::text[], $3::text[]) m (analyzer, model)
                 where w.asset_id = any($1::text[]) and w.analyzer = m.analyzer and {condition}
                 returning w.asset_id"
            );
            let again: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(ids)
                .bind(analyzers)
                .bind(models)
                .bind(now)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
            touched.extend(again);
        }
        if touched.is_empty() {
            return Ok(0);
        }
        let touched: Vec<String> = touched.into_iter().collect();
        sqlx::query(
            "update work w set state = 'pending', not_before = 0
             where state = 'blocked' and asset_id = any($1::text[])
               and not exists (select 1 from work d where d.asset_id = w.asset_id and d.analyzer = 'decode'
                               and d.state = 'failed')",
        )
        .bind(&touched)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let sql = format!(
            "update asset a set suspect = 0, lost_alone = 0, {} where id = any($1::text[])
             returning pending is not null",
            due_columns(2)
        );
        let ready: Vec<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(&touched)
            .bind(now)
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(ready.into_iter().filter(|ready| *ready).count() as u64)
    }
}

fn columns(wanted: &Wanted) -> (Vec<&'static str>, Vec<String>) {
    wanted.iter().map(|(analyzer, model)| (analyzer.as_str(), model.to_string())).unzip()
}

/// Adds the wanted work rows that the assets `ids` lack. Answers the assets that lacked some, each once.
pub(super) async fn add_missing(
    tx: &mut Transaction<'_, Postgres>,
    ids: &[String],
    wanted: &Wanted,
    now: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let (analyzers, models) = columns(wanted);
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
