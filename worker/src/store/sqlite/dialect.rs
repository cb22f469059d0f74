//! How SQLite says what the files below `store/sql` leave open.

use docent_pipelines::AssetId;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::{SqliteStore, fault};
use crate::store::StoreError;

pub(super) type Backend = SqliteStore;
pub(super) type Row = SqliteRow;
pub(super) type Tx<'t> = Transaction<'t, Sqlite>;
pub(super) type Db = Sqlite;
pub(super) type Query = QueryBuilder<Sqlite>;
/// A number that says yes or no.
pub(super) type Flag = i64;

/// Every transaction that writes has the file to itself: rows need no locks.
pub(super) const FOR_UPDATE: &str = "";
pub(super) const SKIP_LOCKED: &str = "";
/// Ends a subquery that is asked for each row by itself.
pub(super) const BY_ITSELF: &str = "";
/// What makes a text parameter JSON as columns have it.
pub(super) const AS_JSON: &str = "";
/// The address of an `asset_path p`.
pub(super) const WHOLE_URI: &str = "p.uri";
/// Every transaction here has the file to itself.
pub(super) const TAKE_VOCABULARY: &str = "select revision from vocabulary";
/// The value of a suggestion `s` as its indexes have it …
pub(super) const INDEXED_VALUE: &str = "s.value";
/// … and what it is compared with, the word of a JSON row `w`.
pub(super) const INDEXED_WORD: &str = "w.value ->> 'word'";
/// The list of implied tags in a JSON row `f`.
pub(super) const IMPLIES: &str = "f.value ->> 'implies'";

/// The time, in milliseconds since 1970.
pub(super) const NOW: &str = "cast(unixepoch('subsec') * 1000 as integer)";
/// The place of an event, and the last that was given to one.
pub(super) const PLACE: &str = "id";
pub(super) const END: &str = "coalesce((select seq from sqlite_sequence where name = 'outbox'), 0)";
/// An address of a place `p`, as it was written.
pub(super) const TOLD_PLACE: &str = "p.uri";
/// To each asset in a column `value` of `a` its first places `p`, parameter 2 at most: those that were submitted with a name before
/// the others.
pub(super) const FIRST_PLACES: &str = "join asset_path p on p.uri in (
    select q.uri from asset_path q where q.asset_id = a.value order by q.correlation is null, q.uri limit $2)";

/// What a place is stored under.
pub(super) fn stored_place(uri: &str) -> String {
    uri.to_owned()
}

/// Events have their places: one process writes at a time.
pub(super) async fn give_places(_: &SqliteStore) -> Result<(), sqlx::Error> {
    Ok(())
}

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

/// That something is among the texts of the JSON array that parameter `n` is.
pub(super) fn among(n: u8) -> String {
    format!("in (select value from json_each(${n}))")
}

/// Adds the same for an array.
pub(super) fn push_among(query: &mut Query, json: String) {
    query.push(" in (select value from json_each(").push_bind(json).push("))");
}

/// Nobody else writes.
pub(super) async fn lock_suggestions(_: &mut Tx<'_>, _: &[String]) -> Result<(), StoreError> {
    Ok(())
}

/// Statistics mislead nobody.
pub(super) async fn steady(_: &mut Tx<'_>) -> Result<(), StoreError> {
    Ok(())
}

/// Nobody else registers.
pub(super) async fn take_turn(_: &mut Tx<'_>) -> Result<(), StoreError> {
    Ok(())
}

/// docent does not rewrite a larger ledger: others would wait too long for it.
const WRITTEN_ANEW: i64 = 256 << 20;

/// Rewrites the ledger, if it is not too large, and empties its log. Deleted rows are overwritten, but pages that were split when
/// rows came keep stale copies of them until something else comes there. Waits for those who read.
pub(super) async fn wipe(store: &SqliteStore) -> Result<(), StoreError> {
    const OPERATION: &str = "empty the ledger's log";
    // Samples of what indexes hold, for plans; the next upkeep takes new ones.
    let is_sampled = "select exists (select 1 from sqlite_schema where name = 'sqlite_stat4')";
    if sqlx::query_scalar::<_, bool>(is_sampled).fetch_one(&store.write).await.map_err(fault(OPERATION))? {
        sqlx::query("delete from sqlite_stat4").execute(&store.write).await.map_err(fault(OPERATION))?;
    }
    let bytes: i64 =
        sqlx::query_scalar("select page_count * page_size from pragma_page_count, pragma_page_size")
            .fetch_one(&store.write)
            .await
            .map_err(fault(OPERATION))?;
    if bytes <= WRITTEN_ANEW {
        sqlx::query("vacuum").execute(&store.write).await.map_err(fault(OPERATION))?;
    } else {
        tracing::warn!(
            "the ledger is too large to be rewritten while others work; `docent backup` writes one without traces"
        );
    }
    let (busy, ..): (i64, i64, i64) = sqlx::query_as("pragma wal_checkpoint(truncate)")
        .fetch_one(&store.write)
        .await
        .map_err(fault(OPERATION))?;
    if busy == 0 {
        return Ok(());
    }
    let source = anyhow::anyhow!(
        "another process reads the ledger for long; what was forgotten may still be in its log"
    );
    Err(StoreError::Contended { operation: OPERATION, source })
}
