//! Events wait beside what they tell of, in the same transaction, until somebody takes them.

use std::collections::HashMap;

use docent_pipelines::{AnalyzerId, FailureKind};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use sqlx::{Postgres, Transaction};

use super::identity::identify;
use super::record::publish;
use super::{PostgresStore, fault, get, text};
use crate::store::codec::{place_key, rfc3339};
use crate::store::{EventSink, Finished, FoundFile, OutcomeState, Registered, StoreError};

/// An asset with more places than this is told with so many, those that were submitted first.
const PLACES: i64 = 100;

impl PostgresStore {
    /// See [`crate::store::Ledger::relay_events`]. One process at a time tells, so that the order is kept; events that
    /// were told and could not be forgotten are told again, with the same id.
    pub(super) async fn relay(&self, sink: &dyn EventSink, limit: u32) -> Result<u64, StoreError> {
        const OPERATION: &str = "tell events";
        let failed = fault(OPERATION);
        // Most of the time there is nothing to tell.
        let any = "select exists (select 1 from outbox order by id limit 1)";
        if !sqlx::query_scalar::<_, bool>(any).fetch_one(&self.pool).await.map_err(failed)? {
            return Ok(0);
        }
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
        let mut events: Vec<(i64, String, i64, Map<String, Value>)> = Vec::with_capacity(rows.len());
        for row in &rows {
            let data = serde_json::from_str(&get::<String>(row, "body")?).unwrap_or_default();
            events.push((get(row, "id")?, get(row, "event")?, get(row, "created_at")?, data));
        }
        let places = places(&mut tx, events.iter().filter_map(|(.., data)| asset_of(data))).await?;
        let mut told: Vec<i64> = Vec::new();
        for (id, event, created_at, mut data) in events {
            let known = asset_of(&data).and_then(|asset| places.get(asset)).cloned();
            data.insert("places".to_owned(), Value::Array(known.unwrap_or_default()));
            let at = rfc3339(created_at);
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

    /// Keeps what the submission of a place is called, and tells that it was registered.
    pub(super) async fn tell_submitted(
        &self,
        file: &FoundFile,
        registered: Registered,
        correlation: Option<&str>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "tell of a submission";
        if !self.events {
            return Ok(());
        }
        let failed = fault(OPERATION);
        let (mut tx, now) = self.begin(OPERATION).await?;
        let Some(asset) = identify(&mut tx, &[file.hash]).await?.pop() else { return Ok(()) };
        sqlx::query("update asset_path set correlation = $3 where asset_id = $1 and uri = $2")
            .bind(asset.as_str())
            .bind(place_key(&file.uri))
            .bind(correlation.map(text))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let row = sqlx::query(
            "select pending is null as complete,
                 (select count(*) from suggestion where asset_id = $1 and status = 'pending') as pending,
                 (select count(*) from suggestion where asset_id = $1 and status = 'accepted') as accepted
             from asset where id = $1",
        )
        .bind(asset.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed)?;
        // It was forgotten since.
        let Some(row) = row else { return Ok(()) };
        let body = json!({
            "asset_id": asset, "uri": file.uri, "owner": file.owner, "correlation_id": correlation,
            "created": registered.new_assets > 0, "new_place": registered.new_paths > 0,
            "complete": get::<bool>(&row, "complete")?,
            "pending": get::<i64>(&row, "pending")?, "accepted": get::<i64>(&row, "accepted")?,
        });
        publish(&mut tx, "asset.registered", body, now).await.map_err(failed)?;
        tx.commit().await.map_err(failed)
    }
}

fn asset_of(data: &Map<String, Value>) -> Option<&str> {
    data.get("asset_id").and_then(Value::as_str)
}

/// The places of these assets, as events name them.
async fn places(
    tx: &mut Transaction<'_, Postgres>,
    assets: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Vec<Value>>, StoreError> {
    let mut assets: Vec<&str> = assets.collect();
    assets.sort_unstable();
    assets.dedup();
    let rows = sqlx::query(
        "select p.asset_id, coalesce(p.whole, p.uri) as uri, p.owner, p.correlation from unnest($1::text[]) a (id)
         cross join lateral (select * from asset_path where asset_id = a.id
                             order by correlation is null, uri limit $2) p",
    )
    .bind(assets)
    .bind(PLACES)
    .fetch_all(&mut **tx)
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

/// Says in the outbox which of `runs` have failed in part or as a whole, and will not be tried again.
pub(super) async fn tell_failures<'a>(
    tx: &mut Transaction<'_, Postgres>,
    runs: impl Iterator<Item = &'a Finished>,
    now: i64,
) -> Result<(), sqlx::Error> {
    let mut bodies: Vec<Json<Value>> = Vec::new();
    for Finished { run, outcomes, .. } in runs {
        let failures: Vec<Value> = outcomes
            .iter()
            .filter_map(|outcome| match &outcome.state {
                OutcomeState::Failed { failure } => Some(json!({
                    "analyzer": failure.analyzer, "kind": failure.kind, "reason": text(&failure.reason),
                })),
                _ => None,
            })
            .collect();
        if !failures.is_empty() {
            bodies.push(Json(json!({ "asset_id": run.asset, "failures": failures })));
        }
    }
    if bodies.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into outbox (event, body, created_at)
         select 'asset.failed', b.body, $2 from unnest($1::jsonb[]) with ordinality b (body, place) order by b.place",
    )
    .bind(bodies)
    .bind(now)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Says in the outbox that an asset was given up.
pub(super) async fn tell_given_up(
    tx: &mut Transaction<'_, Postgres>,
    asset: &str,
    reason: &str,
    now: i64,
) -> Result<(), sqlx::Error> {
    let failure =
        json!({ "analyzer": AnalyzerId::Decode, "kind": FailureKind::Permanent, "reason": text(reason) });
    publish(tx, "asset.failed", json!({ "asset_id": asset, "failures": [failure] }), now).await
}
