//! Who is told, how far that is, and what is kept for them. Both ledgers compile this file.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::dialect::{Backend, END, FIRST_PLACES, NOW, PLACE, Row, TOLD_PLACE, each_text, give_places};
use super::{fault, get};
use crate::store::StoreError;
use crate::store::codec::{corrupt, json_array, millis, rfc3339, text};
use crate::store::outbox::{
    ABANDONED, DELETED_AT_ONCE, DELETIONS, EventRow, KEPT, MOST_KEPT, MOST_REASON, Outbox, PLACES_TOLD, SEEN,
    STREAM, SinkFailure, SinkRow,
};

const READ: &str = "read events";
const KEEP: &str = "note who is told";
const TURN: &str = "note what was told";

#[async_trait]
impl Outbox for Backend {
    async fn keep_sinks(&self, names: &[String]) -> Result<(), StoreError> {
        let failed = fault(KEEP);
        if names.is_empty() {
            return Ok(());
        }
        let listed = json_array(names);
        let fresh: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) from sink where name in (select value from {}) and seen_at > {NOW} - $2",
            each_text(1)
        )))
        .bind(&listed)
        .bind(millis(SEEN))
        .fetch_one(self.reader())
        .await
        .map_err(failed)?;
        if fresh == names.len() as i64 {
            return Ok(());
        }
        // A new sink begins after what can be seen.
        give_places(self).await.map_err(failed)?;
        let (mut tx, now) = self.begin_at(KEEP).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into sink (name, place, seen_at) select value, {END}, $2 from {} where true
             on conflict (name) do update set seen_at = excluded.seen_at",
            each_text(1)
        )))
        .bind(&listed)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    async fn sinks(&self) -> Result<Vec<SinkRow>, StoreError> {
        let sql = format!("select *, {END} - place as waiting from sink where name <> $1 order by name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(STREAM).fetch_all(self.reader()).await;
        rows.map_err(fault(READ))?.iter().map(sink).collect()
    }

    async fn take_sink(
        &self,
        name: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<SinkRow>, StoreError> {
        const FREE: &str = "disabled_at is null and (lease_until <= $2 or owner = $3) and retry_at <= $2";
        let failed = fault(TURN);
        give_places(self).await.map_err(failed)?;
        // Most of the time there is nothing to tell.
        let asked = format!(
            "select exists (select 1 from sink where name = $1 and {}
                            and exists (select 1 from outbox where {PLACE} > sink.place))",
            FREE.replace("$2", NOW).replace("$3", "$2")
        );
        let any: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(asked))
            .bind(name)
            .bind(owner)
            .fetch_one(self.reader())
            .await
            .map_err(failed)?;
        if !any {
            return Ok(None);
        }
        let (mut tx, now) = self.begin_at(TURN).await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "update sink set owner = $3, lease_until = $2 + $4 where name = $1 and {FREE}
             returning *, {END} - place as waiting"
        )))
        .bind(name)
        .bind(now)
        .bind(owner)
        .bind(millis(lease))
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        let taken = row.as_ref().map(sink).transpose()?;
        tx.commit().await.map_err(failed)?;
        Ok(taken)
    }

    async fn events_after(&self, place: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let failed = fault(READ);
        give_places(self).await.map_err(failed)?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {PLACE} as place, id, event, cast(body as text) as body, created_at from outbox
             where {PLACE} > $1 order by {PLACE} limit $2"
        )))
        .bind(place)
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await
        .map_err(failed)?;
        let mut events: Vec<EventRow> = rows.iter().map(event).collect::<Result<_, _>>()?;
        let assets = events.iter().filter_map(|event| asset_of(&event.data)).collect();
        let places = self.places_told(assets).await?;
        for event in &mut events {
            if let Some(asset) = asset_of(&event.data) {
                let known = places.get(asset).cloned().unwrap_or_default();
                event.data.insert("places".to_owned(), Value::Array(known));
            }
        }
        Ok(events)
    }

    async fn newest_event(&self) -> Result<i64, StoreError> {
        give_places(self).await.map_err(fault(READ))?;
        let sql = format!("select {END}");
        let end = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(self.reader()).await;
        end.map_err(fault(READ))
    }

    async fn sink_took(
        &self,
        name: &str,
        owner: &str,
        place: i64,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let failed = fault(TURN);
        let (mut tx, now) = self.begin_at(TURN).await?;
        let noted = sqlx::query(
            "update sink set lease_until = $4, attempts = case when place = $3 then attempts else 0 end,
                 failing_since = case when place = $3 then failing_since end,
                 retry_at = case when place = $3 then retry_at else 0 end,
                 reason = case when place = $3 then reason end, place = $3
             where name = $1 and owner = $2",
        )
        .bind(name)
        .bind(owner)
        .bind(place)
        .bind(if lease.is_zero() { 0 } else { now + millis(lease) })
        .execute(&mut *tx)
        .await
        .map_err(failed)?
        .rows_affected();
        tx.commit().await.map_err(failed)?;
        Ok(noted > 0)
    }

    async fn sink_refused(&self, name: &str, owner: &str, failure: &SinkFailure) -> Result<bool, StoreError> {
        let failed = fault(TURN);
        let (mut tx, now) = self.begin_at(TURN).await?;
        let reason: String = text(&failure.reason).chars().take(MOST_REASON).collect();
        let disabled: Option<bool> = sqlx::query_scalar(
            "update sink set lease_until = 0, reason = $5, retry_at = $4 + $6,
                 failing_since = case when place = $3 then coalesce(failing_since, $4) else $4 end,
                 attempts = case when place = $3 then attempts else 0 end + 1,
                 disabled_at = case
                     when $4 - case when place = $3 then coalesce(failing_since, $4) else $4 end >= $7 then $4 end,
                 place = $3
             where name = $1 and owner = $2 returning disabled_at is not null",
        )
        .bind(name)
        .bind(owner)
        .bind(failure.place)
        .bind(now)
        .bind(reason)
        .bind(millis(failure.again))
        .bind(failure.patience.map_or(i64::MAX, millis))
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(disabled.unwrap_or(false))
    }

    async fn enable_sink(&self, name: &str) -> Result<u64, StoreError> {
        const OPERATION: &str = "enable a sink";
        let failed = fault(OPERATION);
        let (mut tx, _) = self.begin_at(OPERATION).await?;
        let missed: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "update sink set disabled_at = null, attempts = 0, failing_since = null, retry_at = 0, reason = null
             where name = $1
             returning coalesce((select {PLACE} from outbox where {PLACE} > 0 order by {PLACE} limit 1) - 1, {END})
                 - place"
        )))
        .bind(name)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let missing = || StoreError::NotFound { what: "sink", id: name.to_owned() };
        Ok(missed.ok_or_else(missing)?.max(0).unsigned_abs())
    }
}

impl Backend {
    /// The places of these assets, as events name them.
    async fn places_told(&self, mut assets: Vec<&str>) -> Result<HashMap<String, Vec<Value>>, StoreError> {
        assets.sort_unstable();
        assets.dedup();
        if assets.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select p.asset_id, {TOLD_PLACE} as uri, p.owner, p.correlation from {} a {FIRST_PLACES}
             order by p.asset_id, p.correlation is null, p.uri",
            each_text(1)
        )))
        .bind(json_array(&assets))
        .bind(PLACES_TOLD)
        .fetch_all(self.reader())
        .await
        .map_err(fault("look up the places of events"))?;
        let mut places: HashMap<String, Vec<Value>> = HashMap::new();
        for row in &rows {
            let place = json!({
                "uri": get::<String>(row, "uri")?,
                "owner": get::<Option<String>>(row, "owner")?,
                "correlation_id": get::<Option<String>>(row, "correlation")?,
            });
            places.entry(get(row, "asset_id")?).or_default().push(place);
        }
        Ok(places)
    }

    /// Forgets sinks that nobody has any more, and events that nobody waits for, a portion at a time.
    pub(super) async fn trim_outbox(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "forget events";
        let failed = fault(OPERATION);
        let gone = format!("select count(*) from sink where seen_at < {NOW} - $1");
        let gone: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(gone))
            .bind(millis(ABANDONED))
            .fetch_one(self.reader())
            .await
            .map_err(failed)?;
        if gone > 0 {
            let (mut tx, now) = self.begin_at(OPERATION).await?;
            let gone: Vec<String> = sqlx::query_scalar("delete from sink where seen_at < $1 returning name")
                .bind(now - millis(ABANDONED))
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            for sink in gone {
                tracing::warn!(sink, "no configuration names it since a week; its events are forgotten");
            }
        }
        // The first of those that all have passed, as far as they are old or too many.
        let old = format!(
            "select o.place from (
                 select {PLACE} as place, created_at from outbox
                 where {PLACE} <= coalesce((select min(place) from sink where disabled_at is null and name <> '{STREAM}'), {END})
                 order by {PLACE} limit $3) o
             where o.created_at < {NOW} - $1 or o.place <= {END} - $2"
        );
        let any = format!("select exists ({})", old.replace("$3", "1"));
        for _ in 0..DELETIONS {
            let any: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(any.clone()))
                .bind(millis(KEPT))
                .bind(MOST_KEPT)
                .fetch_one(self.reader())
                .await
                .map_err(failed)?;
            if !any {
                break;
            }
            let (mut tx, _) = self.begin_at(OPERATION).await?;
            sqlx::query(sqlx::AssertSqlSafe(format!("delete from outbox where {PLACE} in ({old})")))
                .bind(millis(KEPT))
                .bind(MOST_KEPT)
                .bind(DELETED_AT_ONCE)
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
            tx.commit().await.map_err(failed)?;
        }
        Ok(())
    }
}

fn asset_of(data: &Map<String, Value>) -> Option<&str> {
    data.get("asset_id").and_then(Value::as_str)
}

fn event(row: &Row) -> Result<EventRow, StoreError> {
    let millis: i64 = get(row, "created_at")?;
    Ok(EventRow {
        place: get(row, "place")?,
        id: get(row, "id")?,
        event: get(row, "event")?,
        millis,
        at: rfc3339(millis),
        data: serde_json::from_str(&get::<String>(row, "body")?)
            .map_err(|error| corrupt("event")(error.to_string()))?,
    })
}

fn sink(row: &Row) -> Result<SinkRow, StoreError> {
    let time = |column| Ok::<_, StoreError>(get::<Option<i64>>(row, column)?.map(rfc3339));
    let retry_at: i64 = get(row, "retry_at")?;
    Ok(SinkRow {
        name: get(row, "name")?,
        place: get(row, "place")?,
        waiting: get::<i64>(row, "waiting")?.max(0).unsigned_abs(),
        attempts: u32::try_from(get::<i64>(row, "attempts")?).unwrap_or(u32::MAX),
        failing_since: time("failing_since")?,
        retry_at: (retry_at > 0).then(|| rfc3339(retry_at)),
        reason: get(row, "reason")?,
        disabled_at: time("disabled_at")?,
    })
}
