//! How PostgreSQL says what the files below `store/sql` leave open.

use docent_pipelines::AssetId;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Transaction};

use super::find::in_order;
use super::{PostgresStore, fault};
use crate::store::StoreError;
use crate::store::codec::place_key;

pub(super) type Backend = PostgresStore;
pub(super) type Row = PgRow;
pub(super) type Tx<'t> = Transaction<'t, Postgres>;
pub(super) type Db = Postgres;
pub(super) type Query = QueryBuilder<Postgres>;
/// Places that one transaction gives to events.
const PLACES_AT_ONCE: i64 = 1000;
/// A number that says yes or no.
pub(super) type Flag = i32;

/// Keeps rows as they are until the transaction ends …
pub(super) const FOR_UPDATE: &str = " for update";
/// … and passes those over that somebody else has.
pub(super) const SKIP_LOCKED: &str = " for update skip locked";
/// Ends a subquery that is asked for each row by itself.
pub(super) const BY_ITSELF: &str = " offset 0";
/// What makes a text parameter JSON as columns have it.
pub(super) const AS_JSON: &str = "::jsonb";
/// The address of an `asset_path p`.
pub(super) const WHOLE_URI: &str = "coalesce(p.whole, p.uri)";
/// Whoever records runs, or changes the vocabulary, waits.
pub(super) const TAKE_VOCABULARY: &str = "select revision from vocabulary for update";
/// The value of a suggestion `s` as its indexes have it …
pub(super) const INDEXED_VALUE: &str = "left(s.value, 128)";
/// … and what it is compared with, the word of a JSON row `w`.
pub(super) const INDEXED_WORD: &str = "left(w.value ->> 'word', 128)";
/// The list of implied tags in a JSON row `f`.
pub(super) const IMPLIES: &str = "nullif(f.value -> 'implies', 'null'::jsonb)";

/// The time, in milliseconds since 1970.
pub(super) const NOW: &str = "docent_now()";
/// The place of an event, and the last that was given to one.
pub(super) const PLACE: &str = "place";
pub(super) const END: &str = "(select e.place from outbox_end e)";
/// An address of a place `p`, as it was written.
pub(super) const TOLD_PLACE: &str = "coalesce(p.whole, p.uri)";
/// To each asset in a column `value` of `a` its first places `p`, parameter 2 at most: those that were submitted with a name before
/// the others.
pub(super) const FIRST_PLACES: &str = "cross join lateral (
    select q.* from asset_path q where q.asset_id = a.value order by q.correlation is null, q.uri limit $2) p";

/// What a place is stored under.
pub(super) fn stored_place(uri: &str) -> String {
    place_key(uri)
}

/// Gives places to the events that can be seen, in the order of their ids. One process does so at a time; those that come to it
/// meanwhile need not wait, because the next reader gives the rest.
pub(super) async fn give_places(store: &PostgresStore) -> Result<(), sqlx::Error> {
    let new = "select exists (select 1 from outbox where place is null)";
    while sqlx::query_scalar(new).fetch_one(&store.pool).await? {
        let mut tx = store.pool.begin().await?;
        let end: Option<i64> = sqlx::query_scalar("select place from outbox_end for update skip locked")
            .fetch_optional(&mut *tx)
            .await?;
        let Some(end) = end else { return Ok(()) };
        // A statement of its own sees what the process before has given.
        let given = sqlx::query(
            "update outbox o set place = $1 + n.number from (
                 select id, row_number() over (order by id) as number
                 from (select id from outbox where place is null order by id limit $2) new) n
             where o.id = n.id",
        )
        .bind(end)
        .bind(PLACES_AT_ONCE)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        sqlx::query("update outbox_end set place = $1").bind(end + given as i64).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

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

/// That something is among the texts of the JSON array that parameter `n` is: each of them is a seek, which a join need not be.
pub(super) fn among(n: u8) -> String {
    format!("= any(array(select jsonb_array_elements_text(${n}::jsonb)))")
}

/// Adds the same for an array.
pub(super) fn push_among(query: &mut Query, json: String) {
    query.push(" = any(array(select jsonb_array_elements_text(").push_bind(json).push("::jsonb)))");
}

/// Takes suggestions in order, as every decision does.
pub(super) async fn lock_suggestions(tx: &mut Tx<'_>, ids: &[String]) -> Result<(), StoreError> {
    sqlx::query("select 1 from suggestion where id = any($1::text[]) order by id for update")
        .bind(ids)
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(fault("forget"))
}

/// Tables are followed by their indexes, whatever statistics believe.
pub(super) async fn steady(tx: &mut Tx<'static>) -> Result<(), StoreError> {
    in_order(tx).await
}

/// Nobody registers pictures until the transaction ends: whether one comes back is decided before or after.
pub(super) async fn take_turn(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query("select pg_advisory_xact_lock(hashtext('docent forgotten'))")
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(fault("forget"))
}

/// Lets the server's statistics, which hold samples, forget. The rest is its own affair: it overwrites deleted rows after it has
/// vacuumed, and keeps its log for as long as it is told to.
pub(super) async fn wipe(store: &PostgresStore) -> Result<(), StoreError> {
    sqlx::query("analyze asset, asset_path, work, run, suggestion, reading, review, vector, job, outbox")
        .execute(store.reader())
        .await
        .map(drop)
        .map_err(fault("forget statistics"))
}
