//! The rules of terms, and how far each was applied. Both ledgers compile this file.

use docent_pipelines::VectorSpace;
use docent_pipelines::vocabulary::TermId;

use super::dialect::{Backend, Row};
use super::terms::lock;
use super::{fault, get, parsed};
use crate::store::codec::{vector_bytes, vector_values};
use crate::store::{Standing, StoreError, StoredRule};

/// The rules of a space: all, or those that were applied up to `at`.
pub(super) async fn all(
    backend: &Backend,
    space: &VectorSpace,
    at: Option<i64>,
) -> Result<Vec<StoredRule>, StoreError> {
    let rows = sqlx::query(
        "select term_id, print, source, weights, bias, least, applied from term_match
         where space = $1 and applied = coalesce($2, applied) order by term_id",
    )
    .bind(space.as_str())
    .bind(at)
    .fetch_all(backend.reader())
    .await
    .map_err(fault("read the rules of terms"))?;
    let rule = |row: &Row| {
        Ok(StoredRule {
            term: parsed(row, "term_id")?,
            print: get(row, "print")?,
            source: get(row, "source")?,
            weights: vector_values(&get::<Vec<u8>>(row, "weights")?)?,
            bias: get(row, "bias")?,
            least: get(row, "least")?,
            applied: get(row, "applied")?,
        })
    };
    rows.iter().map(rule).collect()
}

/// How far the rules of a space are.
pub(super) async fn standing(
    backend: &Backend,
    space: &VectorSpace,
    newest: i64,
) -> Result<Standing, StoreError> {
    let row = sqlx::query(
        "select count(*) as terms, count(case when applied < $2 then 1 end) as behind,
             min(case when applied < $2 then applied end) as first,
             (select min(n.applied) from term_match n where n.space = $1 and n.applied >
                 (select min(m.applied) from term_match m where m.space = $1)) as next
         from term_match where space = $1",
    )
    .bind(space.as_str())
    .bind(newest)
    .fetch_one(backend.reader())
    .await
    .map_err(fault("read how far terms are"))?;
    let count = |column| Ok::<_, StoreError>(get::<i64>(&row, column)?.unsigned_abs());
    Ok(Standing {
        terms: count("terms")?,
        behind: count("behind")?,
        from: get(&row, "first")?,
        until: get(&row, "next")?,
    })
}

/// Enters rules, and takes some out.
pub(super) async fn set(
    backend: &Backend,
    space: &VectorSpace,
    put: &[StoredRule],
    gone: &[TermId],
) -> Result<(), StoreError> {
    const OPERATION: &str = "enter the rules of terms";
    let failed = fault(OPERATION);
    let (mut tx, _) = backend.begin_at(OPERATION).await?;
    // Whoever records matches of the old ones is done first, or finds that they changed.
    lock(&mut tx).await?;
    for rule in put {
        sqlx::query(
            "insert into term_match (space, term_id, print, source, weights, bias, least, applied, said)
             values ($1, $2, $3, $4, $5, $6, $7, 0, coalesce((select max(said) from term_match where term_id = $2), 0))
             on conflict (space, term_id) do update set print = excluded.print, source = excluded.source,
                 weights = excluded.weights, bias = excluded.bias, least = excluded.least, applied = 0",
        )
        .bind(space.as_str())
        .bind(rule.term.as_str())
        .bind(&rule.print)
        .bind(&rule.source)
        .bind(vector_bytes(&rule.weights))
        .bind(rule.bias)
        .bind(rule.least)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    }
    for term in gone {
        sqlx::query("delete from term_match where space = $1 and term_id = $2")
            .bind(space.as_str())
            .bind(term.as_str())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
    }
    tx.commit().await.map_err(failed)
}
