//! What a recorded run writes, inside its transaction.

use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Analysis, AnalyzerId, Confidence, Failure, Suggestion, VectorRecord};
use serde_json::{Value, json};
use sqlx::{Row, Sqlite, Transaction};

use super::{get, region, unavailable};
use crate::store::codec::{corrupt, json_array, kind_order, millis, text, vector_bytes};
use crate::store::{Outcome, OutcomeState, Recorded, Run, StoreError};

pub(super) async fn run_row(
    tx: &mut Transaction<'_, Sqlite>,
    run: &Run,
    analysis: &Analysis,
    repeated: bool,
    now: i64,
) -> Result<i64, sqlx::Error> {
    if repeated {
        let former: Option<i64> = sqlx::query_scalar("select max(id) from run where asset_id = $1")
            .bind(run.asset.as_str())
            .fetch_one(&mut **tx)
            .await?;
        if let Some(former) = former {
            return Ok(former);
        }
    }
    let models = serde_json::to_string(&analysis.completed).unwrap_or_default();
    let row = sqlx::query(
        "insert into run (asset_id, owner, finished_at, models) values ($1, $2, $3, $4) returning id",
    )
    .bind(run.asset.as_str())
    .bind(&run.owner)
    .bind(now)
    .bind(models)
    .fetch_one(&mut **tx)
    .await?;
    row.try_get("id")
}

/// Settles all work rows of a run in one statement: each one is a round trip to the database's thread.
pub(super) async fn settle(
    tx: &mut Transaction<'_, Sqlite>,
    asset: &str,
    outcomes: &[Outcome],
    count: bool,
    now: i64,
) -> Result<(), sqlx::Error> {
    let settled: Vec<(&Outcome, &str, i64, Option<&Failure>)> = outcomes
        .iter()
        .map(|outcome| match &outcome.state {
            OutcomeState::Done => (outcome, "done", 0, None),
            OutcomeState::Retry { after, failure } => {
                (outcome, "pending", now.saturating_add(millis(*after)), Some(failure))
            }
            OutcomeState::Failed { failure } => (outcome, "failed", 0, Some(failure)),
        })
        .collect();
    let rows = settled.iter().map(|(outcome, state, not_before, failure)| {
        json!({
            "analyzer": outcome.analyzer.as_str(), "state": state, "model": outcome.model.to_string(),
            "not_before": not_before, "kind": failure.map(|f| f.kind.as_str()),
            "reason": failure.map(|f| text(&f.reason)),
        })
    });
    sqlx::query(
        "insert into work (asset_id, analyzer, state, model, attempts, not_before, failure_kind, reason, updated_at)
         select $1, value ->> 'analyzer', value ->> 'state', value ->> 'model', 1, value ->> 'not_before',
                value ->> 'kind', value ->> 'reason', $3
         from json_each($2) where true
         on conflict do update set state = excluded.state, model = excluded.model, attempts = attempts + $4,
             not_before = excluded.not_before, failure_kind = excluded.failure_kind, reason = excluded.reason,
             updated_at = excluded.updated_at",
    )
    .bind(asset)
    .bind(Value::from_iter(rows).to_string())
    .bind(now)
    .bind(count)
    .execute(&mut **tx)
    .await?;
    // Without pixels nothing else can be done: it waits with the decoder, or is set aside with it.
    let decode = settled.iter().find(|(outcome, ..)| outcome.analyzer == AnalyzerId::Decode);
    let (others, not_before) = match decode {
        Some((_, "pending", at, _)) => {
            ("update work set not_before = $2 where asset_id = $1 and state = 'pending'", *at)
        }
        Some((_, "failed", ..)) => (
            "update work set state = 'blocked', not_before = $2 where asset_id = $1 and state = 'pending'",
            0,
        ),
        _ => return Ok(()),
    };
    sqlx::query(others).bind(asset).bind(not_before).execute(&mut **tx).await.map(drop)
}

/// Where suggestions belong: their run, their asset's time, the present.
pub(super) struct Place {
    pub run_id: i64,
    pub asset_at: i64,
    pub now: i64,
}

/// Replaces the pending suggestions of the completed analyzers; decided ones stay and answer what repeats them.
pub(super) async fn suggest(
    tx: &mut Transaction<'_, Sqlite>,
    run: &Run,
    analysis: &Analysis,
    place: &Place,
) -> Result<Recorded, StoreError> {
    let failed = unavailable("record suggestions");
    let asset = run.asset.as_str();
    let decided = sqlx::query(
        "select kind, value, confidence, region_x, region_y, region_width, region_height from suggestion
         where asset_id = $1 and status in ('accepted', 'rejected')",
    )
    .bind(asset)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?
    .iter()
    .map(|row| {
        Ok(Claim {
            kind: get::<String>(row, "kind")?.parse().map_err(corrupt("kind"))?,
            value: get(row, "value")?,
            confidence: Confidence::new(get(row, "confidence")?),
            region: region(row)?,
        })
    })
    .collect::<Result<Vec<Claim>, StoreError>>()?;
    let (answered, raised): (Vec<&Suggestion>, Vec<&Suggestion>) = analysis
        .suggestions
        .iter()
        .partition(|suggestion| decided.iter().any(|decided| suggestion.is_answered_by(decided)));
    let rows = raised.iter().map(|suggestion| {
        let region = suggestion.region;
        json!({
            "id": suggestion.id, "analyzer": suggestion.analyzer.as_str(), "kind": suggestion.kind.as_str(),
            "value": text(&suggestion.value), "confidence": suggestion.confidence.value(),
            "x": region.map(|r| r.x), "y": region.map(|r| r.y),
            "width": region.map(|r| r.width), "height": region.map(|r| r.height),
            "model": suggestion.model.to_string(), "order": kind_order(suggestion.kind),
        })
    });
    sqlx::query(
        "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, region_x, region_y, region_width,
             region_height, status, model, run_id, created_at, asset_at, kind_order)
         select value ->> 'id', $1, value ->> 'analyzer', value ->> 'kind', value ->> 'value',
                value ->> 'confidence', value ->> 'x', value ->> 'y', value ->> 'width', value ->> 'height',
                'pending', value ->> 'model', $3, $4, $5, value ->> 'order'
         from json_each($2) where true
         on conflict do update set confidence = excluded.confidence, model = excluded.model,
             analyzer = excluded.analyzer, run_id = excluded.run_id, status = 'pending'
         where status in ('pending', 'superseded')",
    )
    .bind(asset)
    .bind(Value::from_iter(rows).to_string())
    .bind(place.run_id)
    .bind(place.now)
    .bind(place.asset_at)
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    let superseded = sqlx::query(
        "update suggestion set status = 'superseded'
         where asset_id = $1 and status = 'pending' and analyzer in (select value from json_each($2))
           and id not in (select value from json_each($3))",
    )
    .bind(asset)
    .bind(json_array(analysis.completed.keys()))
    .bind(json_array(raised.iter().map(|suggestion| &suggestion.id)))
    .execute(&mut **tx)
    .await
    .map_err(failed)?
    .rows_affected();
    Ok(Recorded { raised: raised.len() as u64, answered: answered.len() as u64, superseded })
}

/// Overwrites the vectors in the spaces of the completed analyzers; each gets a new sequence number. Those of other
/// models stay until their space is dropped.
pub(super) async fn write_vectors(
    tx: &mut Transaction<'_, Sqlite>,
    asset: &str,
    analysis: &Analysis,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from vector where asset_id = $1 and space in (select value from json_each($2))")
        .bind(asset)
        .bind(json_array(&analysis.spaces))
        .execute(&mut **tx)
        .await?;
    for VectorRecord { id, space, region, values, .. } in &analysis.vectors {
        sqlx::query(
            "insert or replace into vector (id, asset_id, space, region_x, region_y, region_width, region_height, data)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id)
        .bind(asset)
        .bind(space.as_str())
        .bind(region.map(|r| r.x))
        .bind(region.map(|r| r.y))
        .bind(region.map(|r| r.width))
        .bind(region.map(|r| r.height))
        .bind(vector_bytes(values))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
