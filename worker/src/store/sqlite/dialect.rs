//! How SQLite says what the files below `store/sql` leave open.

use docent_pipelines::AssetId;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use super::SqliteStore;
use crate::store::StoreError;

pub(super) type Backend = SqliteStore;
pub(super) type Row = SqliteRow;
pub(super) type Tx<'t> = Transaction<'t, Sqlite>;
/// A number that says yes or no.
pub(super) type Flag = i64;

/// Every transaction here has the file to itself.
pub(super) const TAKE_VOCABULARY: &str = "select revision from vocabulary";
/// The value of a suggestion `s` as its indexes have it …
pub(super) const INDEXED_VALUE: &str = "s.value";
/// … and what it is compared with, the word of a JSON row `w`.
pub(super) const INDEXED_WORD: &str = "w.value ->> 'word'";
/// The list of implied tags in a JSON row `f`.
pub(super) const IMPLIES: &str = "f.value ->> 'implies'";

/// The revision and the language of the vocabulary.
pub(super) fn the_vocabulary() -> &'static str {
    "select revision, language from vocabulary"
}

/// The elements of the JSON array that parameter `n` is, in a column `value`.
pub(super) fn each(n: u8) -> String {
    format!("json_each(${n})")
}

/// The same, as texts.
pub(super) fn each_text(n: u8) -> String {
    each(n)
}

/// The models of a run, as they are stored.
pub(super) fn models(models: Value) -> String {
    models.to_string()
}

/// Nobody else writes.
pub(super) async fn lock_assets(_: &mut Tx<'_>, _: &[AssetId]) -> Result<(), StoreError> {
    Ok(())
}
