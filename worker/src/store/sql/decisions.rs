//! Who decided last. Both ledgers compile this file.

use docent_pipelines::SuggestionId;

use super::dialect::{Backend, each_text};
use super::{fault, get, parsed};
use crate::store::codec::{json_array, rfc3339};
use crate::store::{Decided, StoreError};

/// The last decision on each of these suggestions, of those with any.
pub(super) async fn last(
    backend: &Backend,
    suggestions: &[SuggestionId],
) -> Result<Vec<(SuggestionId, Decided)>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select suggestion_id, at, reviewer from review where id in (
             select max(id) from review where suggestion_id in (select value from {}) group by suggestion_id)",
        each_text(1)
    )))
    .bind(json_array(suggestions))
    .fetch_all(backend.reader())
    .await
    .map_err(fault("read decisions"))?;
    let decided = rows.iter().map(|row| {
        let decided = Decided { at: rfc3339(get(row, "at")?), reviewer: get(row, "reviewer")? };
        Ok((parsed(row, "suggestion_id")?, decided))
    });
    decided.collect()
}
