//! Which assets are not analyzed yet. Both ledgers compile this file.

use docent_pipelines::AssetId;

use super::dialect::{Backend, each_text};
use super::{fault, parsed};
use crate::store::codec::json_array;
use crate::store::{StoreError, Wanted};

/// Those of `assets` that have pending work of the wanted analyzers.
pub(super) async fn among(
    backend: &Backend,
    wanted: &Wanted,
    assets: &[AssetId],
) -> Result<Vec<AssetId>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select distinct asset_id from work where state = 'pending' and asset_id in (select value from {})
           and analyzer in (select value from {})",
        each_text(1),
        each_text(2)
    )))
    .bind(json_array(assets))
    .bind(json_array(wanted.keys().map(|analyzer| analyzer.as_str())))
    .fetch_all(backend.reader())
    .await
    .map_err(fault("look for pending work"))?;
    rows.iter().map(|row| parsed(row, "asset_id")).collect()
}
