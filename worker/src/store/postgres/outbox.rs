//! Events wait beside what they tell of, in the same transaction, until somebody takes them.

use serde_json::{Value, json};

use super::{PostgresStore, fault, get};
use crate::store::codec::rfc3339;
use crate::store::{EventSink, StoreError};

impl PostgresStore {
    /// See [`crate::store::Ledger::relay_events`]. One process at a time tells, so that the order is kept; events that
    /// were told and could not be forgotten are told again, with the same id.
    pub(super) async fn relay(&self, sink: &dyn EventSink, limit: u32) -> Result<u64, StoreError> {
        const OPERATION: &str = "tell events";
        let failed = fault(OPERATION);
        let mut tx = self.pool.begin().await.map_err(failed)?;
        let mine: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtext('docent outbox'))")
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        if !mine {
            return Ok(0);
        }
        let rows =
            sqlx::query("select id, event, body::text as body, created_at from outbox order by id limit $1")
                .bind(i64::from(limit))
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
        let mut told: Vec<i64> = Vec::new();
        for row in &rows {
            let (id, event): (i64, String) = (get(row, "id")?, get(row, "event")?);
            let data: Value = serde_json::from_str(&get::<String>(row, "body")?).unwrap_or_default();
            let at = rfc3339(get(row, "created_at")?);
            let body = json!({ "version": 1, "id": id, "event": event, "at": at, "data": data });
            if let Err(error) = sink.send(&event, body.to_string().as_bytes()).await {
                let cause: &dyn std::error::Error = error.as_ref();
                tracing::warn!(error = cause, event, "cannot tell an event; it is kept");
                break;
            }
            told.push(id);
        }
        sqlx::query("delete from outbox where id = any($1::bigint[])")
            .bind(&told)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(told.len() as u64)
    }
}
