//! Making work pending: each portion is one transaction, after which its assets can be leased.

use std::collections::BTreeSet;

use docent_pipelines::AssetId;
use sqlx::{Sqlite, Transaction};

use super::due::{due_columns, ids_after};
use super::{SqliteStore, fault, now};
use crate::store::codec::{json_array, wanted_json};
use crate::store::due::PORTION;
use crate::store::{Requeue, StoreError, Wanted};

const OPERATION: &str = "queue work again";

impl SqliteStore {
    /// See [`crate::store::Ledger::requeue`]. A portion that was interrupted did not happen, and the next call goes on.
    pub(super) async fn queue_again(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError> {
        let failed = fault(OPERATION);
        let mut ready = 0;
        if let Some(assets) = assets {
            for ids in assets.chunks(PORTION) {
                ready += self.requeue_portion(what, wanted, &json_array(ids)).await?;
            }
            return Ok(ready);
        }
        match what {
            // Few of many: found by what they are, which they are not any more afterwards.
            Requeue::Failed => {
                // What fails once more meanwhile is left alone.
                let began = now();
                loop {
                    let ids: Vec<String> = sqlx::query_scalar(
                        "select distinct asset_id from (
                             select asset_id from work indexed by work_failed
                             where state = 'failed' and updated_at <= $1
                               and analyzer in (select key from json_each($2)) limit $3)",
                    )
                    .bind(began)
                    .bind(wanted_json(wanted))
                    .bind(PORTION as i64)
                    .fetch_all(&self.read)
                    .await
                    .map_err(failed)?;
                    if ids.is_empty() {
                        return Ok(ready);
                    }
                    ready += self.requeue_portion(what, wanted, &json_array(ids)).await?;
                }
            }
            Requeue::Stale => {
                for (analyzer, model) in wanted {
                    // Two ranges of the index; `<>` would be none.
                    for comparison in ["<", ">"] {
                        let sql = format!(
                            "select asset_id from work indexed by work_counts
                             where state = 'done' and analyzer = $1 and model {comparison} $2 limit $3"
                        );
                        loop {
                            let ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone()))
                                .bind(analyzer.as_str())
                                .bind(model.to_string())
                                .bind(PORTION as i64)
                                .fetch_all(&self.read)
                                .await
                                .map_err(failed)?;
                            if ids.is_empty() {
                                break;
                            }
                            ready += self.requeue_portion(what, wanted, &json_array(ids)).await?;
                        }
                    }
                }
                Ok(ready)
            }
            // The whole archive, each asset once, whatever becomes of it meanwhile.
            Requeue::Missing | Requeue::All => {
                let mut after = String::new();
                loop {
                    let ids = ids_after(&self.read, &after).await.map_err(failed)?;
                    let Some(last) = ids.last() else { return Ok(ready) };
                    after.clone_from(last);
                    ready += self.requeue_portion(what, wanted, &json_array(ids)).await?;
                }
            }
        }
    }

    /// Makes work of these assets pending, and lets it be leased. Answers how many have new work that is not set aside.
    async fn requeue_portion(&self, what: Requeue, wanted: &Wanted, ids: &str) -> Result<u64, StoreError> {
        let failed = fault(OPERATION);
        let now = now();
        let mut tx = self.begin(OPERATION).await?;
        let mut touched: BTreeSet<String> = BTreeSet::new();
        if matches!(what, Requeue::Missing | Requeue::All) {
            touched.extend(add_missing(&mut tx, ids, wanted, now).await.map_err(failed)?);
        }
        let condition = match what {
            Requeue::Missing => None,
            Requeue::Failed => Some("w.state = 'failed'"),
            Requeue::Stale => Some("w.state = 'done' and w.model <> m.value"),
            Requeue::All => Some("w.state in ('done', 'failed')"),
        };
        if let Some(condition) = condition {
            let sql = format!(
                "update work as w set state = 'pending', attempts = 0, not_before = 0, failure_kind = null,
                     reason = null, updated_at = $3
                 from json_each($1) m
                 where m.key = w.analyzer and {condition}
                   and w.asset_id in (select value from json_each($2))
                 returning asset_id"
            );
            let again: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(wanted_json(wanted))
                .bind(ids)
                .bind(now)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
            touched.extend(again);
        }
        if touched.is_empty() {
            return Ok(0);
        }
        let touched = json_array(touched);
        sqlx::query(
            "update work as w set state = 'pending', not_before = 0
             where state = 'blocked' and asset_id in (select value from json_each($1))
               and not exists (select 1 from work d where d.asset_id = w.asset_id and d.analyzer = 'decode'
                               and d.state = 'failed')",
        )
        .bind(&touched)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let sql = format!(
            "update asset set suspect = 0, lost_alone = 0, {} where id in (select value from json_each($1))
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

/// Adds the wanted work rows that the assets `ids` lack. Answers the assets that lacked some.
pub(super) async fn add_missing(
    tx: &mut Transaction<'_, Sqlite>,
    ids: &str,
    wanted: &Wanted,
    now: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "insert into work (asset_id, analyzer, state, model, updated_at)
         select distinct a.id, m.key,
                case when exists (select 1 from work d where d.asset_id = a.id and d.analyzer = 'decode'
                                  and d.state = 'failed') then 'blocked' else 'pending' end,
                m.value, $3
         from json_each($1) i join asset a on a.id = i.value join json_each($2) m where true
         on conflict do nothing returning asset_id",
    )
    .bind(ids)
    .bind(wanted_json(wanted))
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}
