//! What was decided of terms, and what was learned from it. Both ledgers compile this file.

use docent_pipelines::vocabulary::TermId;
use docent_pipelines::{AssetId, VectorSpace};

use super::dialect::{Backend, Flag, Row, each_text};
use super::{fault, get, parsed};
use crate::store::codec::{json_array, vector_bytes, vector_values};
use crate::store::{Example, StoreError, StoredHead};

/// How many pictures were decided for each term.
pub(super) async fn decided(store: &Backend) -> Result<Vec<(TermId, u64, u64)>, StoreError> {
    let rows = sqlx::query(
        "select term_id, sum(case when status = 'accepted' then 1 else 0 end) as accepted, count(*) as decided
         from suggestion where term_id is not null and status in ('accepted', 'rejected')
         group by term_id order by term_id",
    )
    .fetch_all(store.reader())
    .await
    .map_err(fault("count decisions"))?;
    let counts = |row: &Row| {
        let (accepted, decided): (i64, i64) = (get(row, "accepted")?, get(row, "decided")?);
        Ok((parsed(row, "term_id")?, accepted.unsigned_abs(), (decided - accepted).unsigned_abs()))
    };
    rows.iter().map(counts).collect()
}

/// Decided pictures of a term.
pub(super) async fn examples(
    store: &Backend,
    term: &TermId,
    space: &VectorSpace,
    limit: u32,
) -> Result<Vec<Example>, StoreError> {
    let mut examples = Vec::new();
    for status in ["accepted", "rejected"] {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select v.data from (
                 select distinct asset_id from suggestion where term_id = $1 and status = '{status}'
                 order by asset_id limit $3) s
             join vector v on v.asset_id = s.asset_id and v.space = $2",
        )))
        .bind(term.as_str())
        .bind(space.as_str())
        .bind(i64::from(limit))
        .fetch_all(store.reader())
        .await
        .map_err(fault("read decided pictures"))?;
        for row in &rows {
            let vector = vector_values(&get::<Vec<u8>>(row, "data")?)?;
            examples.push(Example { shows: status == "accepted", vector });
        }
    }
    Ok(examples)
}

/// The rules learned from decisions in a space.
pub(super) async fn heads(store: &Backend, space: &VectorSpace) -> Result<Vec<StoredHead>, StoreError> {
    let rows = sqlx::query(
        "select term_id, version, used, figures, weights, bias, least from term_head where space = $1 order by term_id",
    )
    .bind(space.as_str())
    .fetch_all(store.reader())
    .await
    .map_err(fault("read heads"))?;
    let head = |row: &Row| {
        Ok(StoredHead {
            term: parsed(row, "term_id")?,
            version: get(row, "version")?,
            used: get::<Flag>(row, "used")? != 0,
            figures: get(row, "figures")?,
            weights: vector_values(&get::<Vec<u8>>(row, "weights")?)?,
            bias: get(row, "bias")?,
            least: get(row, "least")?,
        })
    };
    rows.iter().map(head).collect()
}

/// Keeps what was learned.
pub(super) async fn keep(store: &Backend, space: &VectorSpace, head: &StoredHead) -> Result<(), StoreError> {
    const OPERATION: &str = "keep a head";
    let (mut tx, now) = store.begin_at(OPERATION).await?;
    sqlx::query(
        "insert into term_head (space, term_id, version, used, figures, weights, bias, least, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (space, term_id) do update set version = excluded.version, used = excluded.used,
             figures = excluded.figures, weights = excluded.weights, bias = excluded.bias, least = excluded.least,
             at = excluded.at",
    )
    .bind(space.as_str())
    .bind(head.term.as_str())
    .bind(head.version)
    .bind(Flag::from(head.used))
    .bind(&head.figures)
    .bind(vector_bytes(&head.weights))
    .bind(head.bias)
    .bind(head.least)
    .bind(now)
    .execute(&mut *tx)
    .await
    .map_err(fault(OPERATION))?;
    tx.commit().await.map_err(fault(OPERATION))
}

/// The accepted assets of some terms, newest first.
pub(super) async fn accepted_as(
    store: &Backend,
    terms: &[TermId],
    limit: u32,
) -> Result<Vec<AssetId>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select asset_id, max(asset_at) as newest from suggestion
         where term_id in (select value from {}) and status = 'accepted'
         group by asset_id order by newest desc, asset_id limit $2",
        each_text(1)
    )))
    .bind(json_array(terms))
    .bind(i64::from(limit))
    .fetch_all(store.reader())
    .await
    .map_err(fault("list what was accepted"))?;
    rows.iter().map(|row| parsed(row, "asset_id")).collect()
}
