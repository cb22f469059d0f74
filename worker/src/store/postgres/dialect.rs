//! How PostgreSQL says what the files below `store/sql` leave open.

use docent_pipelines::AssetId;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, Transaction};

use super::{PostgresStore, fault};
use crate::store::StoreError;

pub(super) type Backend = PostgresStore;
pub(super) type Row = PgRow;
pub(super) type Tx<'t> = Transaction<'t, Postgres>;
/// A number that says yes or no.
pub(super) type Flag = i32;

/// Whoever records runs, or changes the vocabulary, waits.
pub(super) const TAKE_VOCABULARY: &str = "select revision from vocabulary for update";
/// The value of a suggestion `s` as its indexes have it …
pub(super) const INDEXED_VALUE: &str = "left(s.value, 128)";
/// … and what it is compared with, the word of a JSON row `w`.
pub(super) const INDEXED_WORD: &str = "left(w.value ->> 'word', 128)";
/// The list of implied tags in a JSON row `f`.
pub(super) const IMPLIES: &str = "nullif(f.value -> 'implies', 'null'::jsonb)";

/// The revision and the language of the vocabulary, which nobody changes until the transaction ends.
pub(super) fn the_vocabulary() -> &'static str {
    "select revision, language from vocabulary for share"
}

/// The elements of the JSON array that parameter `n` is, in a column `value`.
pub(super) fn each(n: u8) -> String {
    format!("jsonb_array_elements(${n}::jsonb)")
}

/// The same, as texts.
pub(super) fn each_text(n: u8) -> String {
    format!("jsonb_array_elements_text(${n}::jsonb)")
}

/// The models of a run, as they are stored.
pub(super) fn models(models: Value) -> Json<Value> {
    Json(models)
}

/// Takes the assets in order, as every write does.
pub(super) async fn lock_assets(tx: &mut Tx<'_>, assets: &[AssetId]) -> Result<(), StoreError> {
    let ids: Vec<&str> = assets.iter().map(AssetId::as_str).collect();
    sqlx::query("select 1 from asset where id = any($1::text[]) order by id for update")
        .bind(ids)
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(fault("take assets"))
}
