//! Making work pending.

use std::collections::HashSet;

use docent_pipelines::AssetId;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::{SqliteStore, fault, now};
use crate::store::codec::{json_array, wanted_json};
use crate::store::{Requeue, StoreError, Wanted};

impl SqliteStore {
    /// See [`crate::store::Ledger::requeue`].
    pub(super) async fn queue_again(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError> {
        const OPERATION: &str = "queue work again";
        let failed = fault(OPERATION);
        let now = now();
        let ids = assets.map(json_array);
        let models = wanted_json(wanted);
        let mut tx = self.begin(OPERATION).await?;
        let mut touched: HashSet<String> = HashSet::new();
        if matches!(what, Requeue::Missing | Requeue::All) {
            let every: String;
            let ids = match &ids {
                Some(ids) => ids,
                None => {
                    let all: Vec<String> = sqlx::query_scalar("select id from asset")
                        .fetch_all(&mut *tx)
                        .await
                        .map_err(failed)?;
                    every = json_array(all);
                    &every
                }
            };
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
                   and ($2 is null or w.asset_id in (select value from json_each($2)))
                 returning asset_id"
            );
            touched.extend(
                sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql))
                    .bind(&models)
                    .bind(&ids)
                    .bind(now)
                    .fetch_all(&mut *tx)
                    .await
                    .map_err(failed)?,
            );
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
        sqlx::query(
            "update asset set suspect = 0, lost_alone = 0 where id in (select value from json_each($1))",
        )
        .bind(&touched)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        refresh_ready(&mut tx, &touched).await.map_err(failed)?;
        let ready: i64 = sqlx::query_scalar(
            "select count(*) from asset where ready_at is not null and id in (select value from json_each($1))",
        )
        .bind(&touched)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(ready.unsigned_abs())
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

/// Brings `asset.ready_at` in line with the work rows.
pub(super) async fn refresh_ready(tx: &mut SqliteConnection, ids: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update asset set ready_at =
             (select min(not_before) from work w where w.asset_id = asset.id and w.state = 'pending')
         where id in (select value from json_each($1))",
    )
    .bind(ids)
    .execute(tx)
    .await
    .map(drop)
}
