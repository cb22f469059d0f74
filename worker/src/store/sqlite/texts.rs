//! Texts in pictures.

use async_trait::async_trait;
use docent_pipelines::{AssetId, SuggestionId};
use serde_json::{Value, json};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqliteExecutor};

use super::{SqliteStore, fault};
use crate::store::codec::{corrupt, json_array};
use crate::store::texts::{LOOKED_AT, Row, ranked, score};
use crate::store::{Holding, Part, StoreError, Texts, folded};

const OPERATION: &str = "search texts";

#[async_trait]
impl Texts for SqliteStore {
    async fn holding(&self, parts: &[Part], of: Option<&[AssetId]>) -> Result<Holding, StoreError> {
        if parts.is_empty() {
            return Ok(Holding { complete: true, ..Holding::default() });
        }
        let mut query = QueryBuilder::<Sqlite>::new("select r.suggestion_id, r.asset_id, ");
        score(&mut query, parts);
        query.push(", r.id from ");
        match of {
            None => {
                let asked: Vec<String> = parts.iter().map(|part| format!("\"{}\"", part.as_str())).collect();
                query.push("(select rowid from reading_index where reading_index match ");
                query.push_bind(asked.join(" AND "));
                query.push(" order by rowid desc limit ").push(LOOKED_AT + 1);
                query.push(") f cross join reading r on r.id = f.rowid");
            }
            Some(of) => {
                query.push("reading r indexed by reading_asset where r.living and r.asset_id in (select value from json_each(");
                query.push_bind(json_array(of)).push("))");
                for part in parts {
                    query.push(" and instr(r.folded, ").push_bind(part.as_str().to_owned()).push(") > 0");
                }
                query.push(" limit ").push(LOOKED_AT + 1);
            }
        }
        let rows: Vec<Row> = query.build_query_as().fetch_all(&self.read).await.map_err(fault(OPERATION))?;
        ranked(rows, true)
    }

    async fn texts(&self, ids: &[SuggestionId]) -> Result<Vec<(SuggestionId, String)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select id, value from suggestion where id in (select value from json_each($1)) and kind = 'text'",
        )
        .bind(json_array(ids))
        .fetch_all(&self.read)
        .await
        .map_err(fault(OPERATION))?;
        let text = |(id, value)| Ok((SuggestionId::try_from(id).map_err(corrupt("id"))?, value));
        rows.into_iter().map(text).collect()
    }
}

/// Keeps the texts of suggestions, given by their ids, so that they are found. A text that is kept already is as it is: an id
/// stands for what is said.
pub(super) async fn keep_texts<'a>(
    tx: &mut SqliteConnection,
    texts: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), sqlx::Error> {
    let rows: Vec<Value> = texts.map(|(id, value)| json!({ "id": id, "folded": folded(value) })).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into reading (suggestion_id, asset_id, living, folded)
         select s.id, s.asset_id, s.status in ('pending', 'accepted'), t.value ->> 'folded'
         from json_each($1) t cross join suggestion s on s.id = t.value ->> 'id' where true
         on conflict do nothing",
    )
    .bind(Value::from(rows).to_string())
    .execute(tx)
    .await
    .map(drop)
}

/// The texts of assets, given as a JSON array, that are not kept.
pub(super) async fn missing_texts(
    executor: impl SqliteExecutor<'_>,
    assets: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "select s.id, s.value from suggestion s indexed by suggestion_asset
         where s.asset_id in (select value from json_each($1)) and s.kind = 'text'
           and not exists (select 1 from reading r where r.suggestion_id = s.id)",
    )
    .bind(assets)
    .fetch_all(executor)
    .await
}

/// Keeps the texts of assets that are not kept yet. Answers how many there were.
pub(super) async fn mend_texts(tx: &mut SqliteConnection, assets: &str) -> Result<usize, sqlx::Error> {
    let missing = missing_texts(&mut *tx, assets).await?;
    keep_texts(tx, missing.iter().map(|(id, value)| (id.as_str(), value.as_str()))).await?;
    Ok(missing.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    use sqlx::AssertSqlSafe;

    use super::super::READERS;
    use super::*;
    use crate::store::Ledger;

    /// Steps of SQLite's machine, in thousands, to find a word that every text has.
    async fn thousand_steps(texts: u32) -> u64 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("ledger")).await.expect("opens");
        let numbers =
            format!("with recursive n (i) as (select 1 union all select i + 1 from n where i < {texts})");
        for fill in [
            "insert into asset (id, content_hash, bytes, lane, created_at)
             select printf('%032x', i), printf('%064x', i), 1, 1, i from n",
            "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at,
                 asset_at, kind_order)
             select printf('%032x', i), printf('%032x', i), 'text', 'text', 'a harbor', 0.9, 'pending', 'a@1', 1, i, i, 5
             from n",
        ] {
            let fill = AssertSqlSafe(format!("{numbers} {fill}"));
            sqlx::raw_sql(fill).execute(&store.write).await.expect("fills");
        }
        sqlx::raw_sql("update repair set finished_at = null, after = '' where name = 'texts'")
            .execute(&store.write)
            .await
            .expect("begins again");
        store.repair().await.expect("repairs");
        let steps = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let mut connection = store.read.acquire().await.expect("a connection");
            let counted = Arc::clone(&steps);
            connection.lock_handle().await.expect("is free").set_progress_handler(1000, move || {
                counted.fetch_add(1, Relaxed);
                true
            });
            readers.push(connection);
        }
        drop(readers);
        let harbor = Part::words("_harbor_").expect("is a word");
        let found = store.holding(&[harbor], None).await.expect("searches");
        assert_eq!((found.texts.len(), found.complete), (LOOKED_AT, false));
        store.close().await;
        steps.load(Relaxed)
    }

    #[tokio::test]
    async fn a_common_word_takes_as_long_in_a_large_archive() {
        let (small, large) = (thousand_steps(5_000).await, thousand_steps(20_000).await);
        assert!(
            small > 0 && large <= small + 2,
            "{small} thousand steps with 5,000 texts, {large} with 20,000"
        );
    }
}
