//! Texts in pictures.

use async_trait::async_trait;
use docent_pipelines::{AssetId, SuggestionId};
use sqlx::postgres::{PgConnection, PgExecutor};
use sqlx::{Postgres, QueryBuilder};

use super::{PostgresStore, fault};
use crate::store::codec::corrupt;
use crate::store::texts::{LOOKED_AT, Row, ranked, score};
use crate::store::{Holding, Part, StoreError, Texts, folded};

const OPERATION: &str = "search texts";
/// The index knows which words and trigrams a text has, and not where. Of so many texts that have them it is looked up: on
/// pages nearly every piece is made of trigrams that nearly every page has.
const COMPARED: usize = 16_384;

#[async_trait]
impl Texts for PostgresStore {
    async fn holding(&self, parts: &[Part], of: Option<&[AssetId]>) -> Result<Holding, StoreError> {
        let failed = fault(OPERATION);
        if parts.is_empty() {
            return Ok(Holding { complete: true, ..Holding::default() });
        }
        let mut query = QueryBuilder::<Postgres>::new("select r.suggestion_id, r.asset_id, ");
        score(&mut query, parts);
        query.push(
            ", r.id, r.n from (select *, row_number() over () as n from (
            select id, suggestion_id, asset_id, folded from reading where living",
        );
        match of {
            None => has(&mut query, parts),
            Some(of) => {
                query
                    .push(" and asset_id = any(")
                    .push_bind(of.iter().map(ToString::to_string).collect::<Vec<_>>());
                query.push(")");
            }
        }
        query.push(" limit ").push(COMPARED + 1).push(") r) r where n > ").push(COMPARED).push(" or (true");
        for part in parts {
            query.push(" and position(").push_bind(part.as_str().to_owned()).push(" in r.folded) > 0");
        }
        query.push(") limit ").push(LOOKED_AT + 1);
        let mut tx = self.pool.begin().await.map_err(failed)?;
        // The index is made for this; what statistics know of words is old, and of trigrams nothing.
        sqlx::query("select set_config(name, 'off', true) from unnest(array ['enable_seqscan', 'jit']) name")
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let rows: Vec<(String, String, f64, i64, i64)> =
            query.build_query_as().persistent(false).fetch_all(&mut *tx).await.map_err(failed)?;
        let all = rows.iter().all(|row| row.4 <= COMPARED as i64);
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| row.4 <= COMPARED as i64)
            .map(|(suggestion, asset, score, id, _)| (suggestion, asset, score, id))
            .collect();
        ranked(rows, all)
    }

    async fn texts(&self, ids: &[SuggestionId]) -> Result<Vec<(SuggestionId, String)>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select id, value from suggestion where id = any($1::text[]) and kind = 'text'")
                .bind(ids.iter().map(ToString::to_string).collect::<Vec<_>>())
                .fetch_all(&self.pool)
                .await
                .map_err(fault(OPERATION))?;
        let text = |(id, value)| Ok((SuggestionId::try_from(id).map_err(corrupt("id"))?, value));
        rows.into_iter().map(text).collect()
    }
}

/// Adds the words and trigrams of `parts` as conditions on the index of `reading`.
fn has(query: &mut QueryBuilder<Postgres>, parts: &[Part]) {
    let known = || parts.iter().map(Part::known);
    let words: Vec<String> = known()
        .flat_map(|(words, _)| words)
        .map(|word| format!("'{word}'"))
        .chain(known().filter_map(|(_, beginning)| beginning).map(|word| format!("'{word}':*")))
        .collect();
    if !words.is_empty() {
        query.push(" and reading_words(folded) @@ ").push_bind(words.join(" & ")).push("::tsquery");
    }
    let trigrams: Vec<String> = parts.iter().flat_map(Part::trigrams).collect();
    if !trigrams.is_empty() {
        query.push(" and reading_trigrams(folded) @> ").push_bind(trigrams).push("::text[]");
    }
}

/// Keeps the texts of suggestions, given by their ids, so that they are found. A text that is kept already is as it is: an id
/// stands for what is said.
pub(super) async fn keep_texts<'a>(
    tx: &mut PgConnection,
    texts: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), sqlx::Error> {
    let (ids, texts): (Vec<&str>, Vec<String>) = texts.map(|(id, value)| (id, folded(value))).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into reading (suggestion_id, asset_id, living, folded)
         select s.id, s.asset_id, s.status in ('pending', 'accepted'), t.folded
         from unnest($1::text[], $2::text[]) t (id, folded) join suggestion s on s.id = t.id
         on conflict do nothing",
    )
    .bind(ids)
    .bind(texts)
    .execute(tx)
    .await
    .map(drop)
}

/// The texts of assets that are not kept. Each is looked up by itself: all that are kept are many.
pub(super) async fn missing_texts(
    executor: impl PgExecutor<'_>,
    assets: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "select s.id, s.value from suggestion s where s.asset_id = any($1::text[]) and s.kind = 'text'
           and not exists (select 1 from reading r where r.suggestion_id = s.id offset 0)",
    )
    .bind(assets)
    .fetch_all(executor)
    .await
}

/// Keeps the texts of assets, which are locked, that are not kept yet. Answers how many there were.
pub(super) async fn mend_texts(tx: &mut PgConnection, assets: &[String]) -> Result<usize, sqlx::Error> {
    let missing = missing_texts(&mut *tx, assets).await?;
    keep_texts(tx, missing.iter().map(|(id, value)| (id.as_str(), value.as_str()))).await?;
    Ok(missing.len())
}
